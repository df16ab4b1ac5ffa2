"""Sentence-transformers models of random weights, one an architecture: a layer or two of 32, a
tokenizer of fifty words. Saved as the real ones are: pooling, dense layers, prompts and longest
text in the model's own files."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

WORDS = (
    "what does the fund cost a year query passage : search document task result | title none text "
    "instruct given web "
    "search_query search_document "
    "settlement fails are chased from morning of day after contractual date pump valve lamp turns "
    "once in seconds"
).split()
_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}


@dataclass(frozen=True)
class Family:
    """`config`: class and settings in transformers. `ends`: special tokens before and after a text."""

    config: str
    settings: dict[str, Any] = field(default_factory=dict)
    pooling: str = "mean"
    ends: tuple[str, str] = ("[CLS] ", " [SEP]")
    prompts: dict[str, str] = field(default_factory=dict)
    dense: tuple[int, ...] = ()
    padding: str = "right"


_QWEN = "Instruct: given a query , search the web\nquery :"
_GEMMA = {"query": "task : search result | query : ", "document": "title : none | text : "}
FAMILIES = {
    "all-MiniLM-L6-v2": Family("BertConfig", {"num_hidden_layers": 2}),
    "bge-small-en-v1.5": Family("BertConfig", pooling="cls"),
    "e5-small-v2": Family("BertConfig"),
    "gte-base": Family("BertConfig"),
    "multilingual-e5-base": Family("XLMRobertaConfig", {"pad_token_id": 0, "type_vocab_size": 1}),
    "gte-multilingual-base": Family(
        "GteConfig", {"type_vocab_size": 1, "pad_token_id": 0}, pooling="cls"
    ),
    "nomic-embed-text-v1.5": Family("NomicBertConfig"),
    "jina-embeddings-v3-hf": Family(
        "JinaEmbeddingsV3Config",
        {"pad_token_id": 0},
        prompts={"retrieval.query": "query : ", "retrieval.passage": "text : "},
    ),
    "embeddinggemma-300m": Family(
        "Gemma3TextConfig",
        {
            "num_hidden_layers": 2,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "sliding_window": 8,
            "use_bidirectional_attention": True,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        prompts=_GEMMA,
        dense=(48, 32),
    ),
    "Qwen3-Embedding-0.6B": Family(
        "Qwen3Config",
        {"num_key_value_heads": 2, "head_dim": 8},
        pooling="lasttoken",
        ends=("", " [SEP]"),
        prompts={"query": _QWEN, "document": ""},
        padding="left",
    ),
}


def write(folder: Path, name: str, *, legacy: bool = False) -> Path:
    """`legacy`: the files as sentence-transformers 2 to 4 wrote them (the published models)."""
    import torch
    import transformers

    family = FAMILIES[name]
    folder.mkdir(parents=True)
    size = _write_tokenizer(folder, family)
    torch.manual_seed(7)
    config = getattr(transformers, family.config)(vocab_size=size, **{**_SIZES, **family.settings})
    network = transformers.AutoModel.from_config(config)
    for weight in network.parameters():  # the usual 0.02 would leave all texts' vectors alike
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.5)
    network.save_pretrained(folder)
    _write_modules(folder, family, legacy)
    return folder


def _write_modules(folder: Path, family: Family, legacy: bool) -> None:
    import torch
    from safetensors.torch import save_file

    kinds = ["Transformer", "Pooling", *["Dense"] * len(family.dense), "Normalize"]
    paths = ["", *(f"{i}_{kind}" for i, kind in enumerate(kinds) if i)]
    _json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (kind, path) in enumerate(zip(kinds, paths, strict=True))
        ],
    )
    _json(folder / "sentence_bert_config.json", {"max_seq_length": 32, "do_lower_case": False})
    _json(
        folder / "config_sentence_transformers.json",
        {"prompts": family.prompts, "default_prompt_name": None},
    )
    if legacy:
        old = {"mean": "mean_tokens", "cls": "cls_token", "lasttoken": "lasttoken"}
        modes = {
            f"pooling_mode_{kind}": kind == old[family.pooling]
            for kind in (*old.values(), "max_tokens")
        }
        _json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, **modes})
    else:
        _json(
            folder / "1_Pooling" / "config.json",
            {"embedding_dimension": 32, "pooling_mode": family.pooling},
        )
    sizes = [32, *family.dense]
    for i, (inner, outer) in enumerate(pairwise(sizes)):
        at = folder / f"{2 + i}_Dense"
        _json(
            at / "config.json",
            {
                "in_features": inner,
                "out_features": outer,
                "bias": i > 0,
                "activation_function": f"torch.nn.modules.{['linear.Identity', 'activation.Tanh'][i]}",
            },
        )
        bias = {"linear.bias": torch.randn(outer)} if i else {}
        save_file(
            {"linear.weight": torch.randn(outer, inner), **bias}, str(at / "model.safetensors")
        )


def _write_tokenizer(folder: Path, family: Family) -> int:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {
        word: i
        for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(WORDS)])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    before, after = family.ends
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{before}$A{after}",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        padding_side=family.padding,
    ).save_pretrained(folder)
    return len(vocabulary)


def _json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
