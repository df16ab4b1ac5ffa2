"""Models that genai's builder refuses, or exports into something else than they are: their config
in the form that it wants, and the graph set right afterwards. Measured with onnxruntime-genai 0.18
and transformers 5.23; tests/support/matrix.py holds every correction to transformers' own tokens.

- rope scaling: Llama's class in the builder knows llama3 alone and leaves linear and YaRN scaling
  away without a word; the other classes refuse llama3, and their YaRN has no defaults and does not
  round its range as transformers does. So the builder is told of no scaling, and the rotary tables
  are transformers' own.
- Gemma 3: transformers 5 keeps rope settings by layer type, the builder reads them flat.
- SmolLM3: layers without rope are given a rope of their own, on positions that the graph has no
  input for. Granite 4 without rope is given one all the same.
- OLMo: its norms take the mean away (LayerNorm), the builder's do not (RMSNorm); `clip_qkv` is left
  away.
- Phi, Nemotron, OLMo: the builder reads the norms' epsilon as `rms_norm_eps` and takes 1e-6 where
  they call it otherwise.
- Gemma: the square root of the width that scales the embeddings is rounded to two decimals.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import StageError
from ..models import causal_lm
from ..models.inspection.libraries import ROPE_BY_LENGTH

_MODEL, _DATA = "model.onnx", "model.onnx.data"
_SCALED = {"linear", "yarn", "llama3"}  # tables that are the same at every length
_GEMMAS = ("gemma", "gemma2", "gemma3_text")
_OLMO_EPSILON = 1e-5  # transformers' OlmoLayerNorm; config.json does not name it


def builder_changes(config: Any) -> dict[str, object]:
    """Return what config.json must say otherwise for the builder; `config` as transformers reads
    it. Raises StageError for a rope whose tables depend on the text's length."""
    changes = _rope_changes(config)
    named = [getattr(config, name, None) for name in ("rms_norm_eps", "layer_norm_eps", "norm_eps")]
    epsilon = next((value for value in named if value is not None), None)
    if config.model_type == "olmo":
        epsilon = _OLMO_EPSILON
    if epsilon not in (None, named[0]):
        changes["rms_norm_eps"] = epsilon
    if config.model_type == "smollm3":
        changes["no_rope_layers"] = [1] * config.num_hidden_layers
    return changes


def _rope_changes(config: Any) -> dict[str, object]:
    """Return what the builder must read of the rope in config.json's place."""
    rope = getattr(config, "rope_parameters", None) or {}
    if config.model_type == "gemma3_text":
        # Beside the entries by layer type: transformers reads those, the builder these.
        local, whole = rope["sliding_attention"], rope["full_attention"]
        flat = {
            "rope_type": "default",
            "rope_theta": whole["rope_theta"],
            "rope_local_base_freq": local["rope_theta"],
        }
        return {"rope_parameters": {**rope, **flat}}
    if rope.get("rope_type") in ROPE_BY_LENGTH:
        raise StageError(
            "dynamic rope scaling picks its factors by the text's length, which an exported graph "
            "cannot; "
            "take a model with another rope_type"
        )
    if (
        rope.get("rope_type") in _SCALED and config.model_type != "gpt_oss"
    ):  # whose YaRN the builder has right
        kept = {key: rope[key] for key in ("rope_theta", "partial_rotary_factor") if key in rope}
        return {"rope_parameters": {"rope_type": "default", **kept}}
    return {}


def correct_graph(folder: Path, source: Path) -> None:
    """Set the exported model in `folder` right where the builder has made another one of it than
    `source` describes."""
    import onnx_ir as ir

    config = causal_lm.load_config(source)
    tables, without_rope = dict(_rotary_tables(config)), _layers_without_rope(config)
    if not tables and not without_rope and config.model_type not in ("olmo", *_GEMMAS):
        return
    model = ir.load(folder / _MODEL)
    for names, layer_type in tables.items():
        _write_tables(model.graph, names, config, layer_type)
    for layer, node in _attentions(model.graph):
        if layer in without_rope:  # queries and keys stay as they are projected
            node.attributes["do_rotary"] = ir.AttrInt64("do_rotary", 0)
            for place in (7, 8):  # cos_cache, sin_cache
                node.replace_input_with(place, None)
    if config.model_type in _GEMMAS:
        # Multiply the embeddings with the factor itself, where the builder has put a rounded one.
        scaling: Any = next(node for node in model.graph if node.name == "/model/embed_tokens/Mul")
        dtype = scaling.inputs[1].producer().attributes["value"].as_tensor().dtype
        factor = float(config.hidden_size) ** 0.5
        scaling.replace_input_with(
            1, _constant(model.graph, "embedding_scale", factor, dtype.numpy())
        )
    if config.model_type == "olmo":
        # LayerNorms have the inputs of RMSNorms but for a bias, which may be left away.
        for node in model.graph:
            node.op_type = node.op_type.replace(
                "SimplifiedLayerNormalization", "LayerNormalization"
            )
        if config.clip_qkv:
            _clip_projections(model.graph, float(config.clip_qkv))
    ir.save(model, folder / _MODEL, external_data=_DATA)


def _rotary_tables(config: Any) -> Iterator[tuple[tuple[str, str], str | None]]:
    """Yield (names of cosine and sine, layer type) of the tables that the builder was not told of."""
    rope = getattr(config, "rope_parameters", None) or {}
    if config.model_type == "gemma3_text":
        for name, layer_type in (("global", "full_attention"), ("local", "sliding_attention")):
            if rope[layer_type]["rope_type"] in _SCALED:
                yield (f"cos_cache_{name}", f"sin_cache_{name}"), layer_type
    elif rope.get("rope_type") in _SCALED:
        yield ("cos_cache", "sin_cache"), None


def _write_tables(graph: Any, names: tuple[str, str], config: Any, layer_type: str | None) -> None:
    """Write cos and sin of position times frequency, [positions, half of what is rotated], by
    transformers' own formula."""
    import onnx_ir as ir
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = config.rope_parameters[layer_type] if layer_type else config.rope_parameters
    frequencies, scale = ROPE_INIT_FUNCTIONS[rope["rope_type"]](
        config, torch.device("cpu"), layer_type=layer_type
    )
    for name, function in zip(names, (torch.cos, torch.sin), strict=True):
        old = graph.initializers[name]
        positions = torch.arange(old.shape[0], dtype=torch.float32)
        table = (
            (function(torch.outer(positions, frequencies)) * scale)
            .numpy()
            .astype(old.const_value.dtype.numpy())
        )
        assert list(table.shape) == list(old.shape)
        old.const_value = ir.tensor(table, name=name)


def _attentions(graph: Any) -> Iterator[tuple[int, Any]]:
    """Yield (layer, its attention node)."""
    for node in graph:
        if node.op_type == "GroupQueryAttention":
            yield int(node.name.split("/layers.")[1].split("/")[0]), node


def _layers_without_rope(config: Any) -> list[int]:
    """Return the numbers of the layers that rotate nothing, where the builder would."""
    if config.model_type == "smollm3":
        return [layer for layer, rope in enumerate(config.no_rope_layers) if not rope]
    nowhere = config.model_type == "granitemoehybrid" and config.position_embedding_type != "rope"
    return list(range(config.num_hidden_layers)) if nowhere else []


def _clip_projections(graph: Any, limit: float) -> None:
    """Keep queries, keys and values within +-limit, before their rotation."""
    import onnx_ir as ir

    attentions = list(_attentions(graph))
    dtype = attentions[0][1].inputs[3].dtype.numpy()  # of the keys before
    bounds = [
        _constant(graph, f"clip_{name}", value, dtype)
        for name, value in (("low", -limit), ("high", limit))
    ]
    for layer, node in attentions:
        for place, value in enumerate(node.inputs[:3]):  # query (or all three packed), key, value
            if value is not None:
                clip = ir.node(
                    "Clip", [value, *bounds], name=f"/fieldpack/layers.{layer}/clip_{place}"
                )
                graph.insert_before(node, clip)
                node.replace_input_with(place, clip.outputs[0])


def _constant(graph: Any, name: str, value: float, dtype: Any) -> Any:
    """Register a number as an initializer, a scalar."""
    import numpy as np
    import onnx_ir as ir

    tensor = ir.tensor(np.array(value, dtype=dtype), name=f"/fieldpack/{name}")
    made = ir.Value(
        name=tensor.name, const_value=tensor, type=ir.TensorType(tensor.dtype), shape=ir.Shape([])
    )
    graph.register_initializer(made)
    return made
