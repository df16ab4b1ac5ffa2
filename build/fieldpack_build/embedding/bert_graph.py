"""Writes the encoders of the BERT family (MiniLM, BGE, GTE, E5, multilingual E5) as an ONNX graph
of few, fused steps.

The graph is for one text at a time, which is how the runtime runs it: no padding, so no mask, and a
text's vector cannot depend on its neighbours. That lets attention be a single operator of
onnxruntime's, and leaves only the matrix products. Reads config.json and model.safetensors; knows
nothing of torch, pooling or tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# onnxruntime's own operators (attention, layer norm of a sum, GELU): part of every build of it.
_CONTRIB = "com.microsoft"
_OPSET, _IR = 17, 9


def can_write(source: Path) -> bool:
    """Return whether the model is one that `write` knows: plain BERT, RoBERTa or XLM-RoBERTa with
    GELU."""
    config = _config(source)
    return (
        config.get("model_type") in ("bert", "roberta", "xlm-roberta", "camembert")
        and config.get("hidden_act", "gelu") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder")
        and not config.get("auto_map")
        and (source / "model.safetensors").is_file()
    )


def write(source: Path, path: Path) -> None:
    """Write the encoder in `source`: `input_ids` [1, tokens] int64 -> `token_embeddings` [1, tokens,
    hidden] float32."""
    import onnx
    from safetensors.numpy import load_file

    tensors = {}
    for name, tensor in load_file(str(source / "model.safetensors")).items():
        # A checkpoint saved with a head carries `bert.` or `roberta.` before every name.
        short = name.partition(".")[2] if name.split(".")[0] in ("bert", "roberta") else name
        tensors[short] = tensor.astype("float32") if tensor.dtype.kind == "f" else tensor
    onnx.save(_Graph(_config(source), tensors).model(), str(path))


def _config(source: Path) -> Mapping[str, Any]:
    config: Mapping[str, Any] = json.loads((source / "config.json").read_text(encoding="utf-8"))
    return config


class _Graph:
    """The graph as it is put together: nodes and weights in the order in which they are needed. A
    method that adds a step returns its output's name."""

    def __init__(self, config: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
        self._config, self._tensors = config, tensors
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def model(self) -> Any:
        """Put the whole encoder together."""
        from onnx import TensorProto, helper

        hidden = self._embeddings()
        for number in range(self._config["num_hidden_layers"]):
            hidden = self._layer(number, hidden)
        self._nodes[-1].output[0] = "token_embeddings"
        size = self._config["hidden_size"]
        graph = helper.make_graph(
            self._nodes,
            "encoder",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"])],
            [
                helper.make_tensor_value_info(
                    "token_embeddings", TensorProto.FLOAT, [1, "tokens", size]
                )
            ],
            self._weights,
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIB, 1)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=_IR, producer_name="fieldpack"
        )

    def _embeddings(self) -> str:
        """Add words and positions, the one token type folded into the positions. RoBERTa counts
        positions from padding + 1."""
        import numpy as np

        first = self._config["pad_token_id"] + 1 if self._config["model_type"] != "bert" else 0
        table = self._tensors["embeddings.position_embeddings.weight"][first:]
        table = table + self._tensors["embeddings.token_type_embeddings.weight"][0]
        words = self._weight("words", self._tensors["embeddings.word_embeddings.weight"])
        count = self._op("Shape", ["input_ids"], start=1, end=2)
        ends = [
            self._weight("zero", np.zeros(1, np.int64)),
            count,
            self._weight("axis", np.zeros(1, np.int64)),
        ]
        positions = self._op("Slice", [self._weight("positions", table), *ends])
        total = self._op("Add", [self._op("Gather", [words, "input_ids"]), positions])
        return self._norm("embeddings.LayerNorm", [total])

    def _layer(self, number: int, hidden: str) -> str:
        at = f"encoder.layer.{number}"
        attended = self._attention(f"{at}.attention.self", hidden)
        projected = self._linear(f"{at}.attention.output.dense", attended)
        hidden = self._norm(f"{at}.attention.output.LayerNorm", [projected, hidden])
        wide = self._op("Gelu", [self._linear(f"{at}.intermediate.dense", hidden)], domain=_CONTRIB)
        return self._norm(
            f"{at}.output.LayerNorm", [self._linear(f"{at}.output.dense", wide), hidden]
        )

    def _attention(self, at: str, hidden: str) -> str:
        """Add attention with one product for query, key and value: the text is quantised once for
        the three."""
        import numpy as np

        parts = [f"{at}.{name}" for name in ("query", "key", "value")]
        weight = np.concatenate([self._tensors[f"{part}.weight"] for part in parts])
        bias = np.concatenate([self._tensors[f"{part}.bias"] for part in parts])
        joined = self._product(f"{at}.qkv", hidden, weight, bias)
        names = [f"{at}.{name}.out" for name in ("q", "k", "v")]
        self._op("Split", [joined], outputs=names, axis=2, num_outputs=None)
        heads = self._config["num_attention_heads"]
        return self._op("MultiHeadAttention", names, domain=_CONTRIB, num_heads=heads)

    def _linear(self, at: str, value: str) -> str:
        return self._product(at, value, self._tensors[f"{at}.weight"], self._tensors[f"{at}.bias"])

    def _product(self, at: str, value: str, weight: Any, bias: Any) -> str:
        product = self._op("MatMul", [value, self._weight(f"{at}.weight", weight.T)])
        return self._op("Add", [product, self._weight(f"{at}.bias", bias)])

    def _norm(self, at: str, values: list[str]) -> str:
        """Add the layer norm of one value, or of the sum of two: onnxruntime's fused
        SkipLayerNormalization is the slower way."""
        scale = [self._weight(f"{at}.{n}", self._tensors[f"{at}.{n}"]) for n in ("weight", "bias")]
        epsilon = float(self._config.get("layer_norm_eps", 1e-12))
        total = values[0] if len(values) == 1 else self._op("Add", values)
        return self._op("LayerNormalization", [total, *scale], epsilon=epsilon, axis=-1)

    def _weight(self, name: str, value: Any) -> str:
        import numpy as np
        from onnx import numpy_helper

        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _op(
        self, kind: str, inputs: list[str], *, outputs: list[str] | None = None, **attributes: Any
    ) -> str:
        from onnx import helper

        name = f"{kind}.{len(self._nodes)}"
        outputs = outputs or [name]
        present = {key: value for key, value in attributes.items() if value is not None}
        self._nodes.append(helper.make_node(kind, inputs, outputs, name=f"{name}.node", **present))
        return outputs[0]
