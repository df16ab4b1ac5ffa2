"""What a sentence-transformers folder says of itself: its modules, pooling, layers after it, and
prompts, in the layouts of versions 2 to 6. What only a model card says (E5's "query: ") is a table
here. Knows nothing of torch or ONNX.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from fieldpack.retrieval.embedder import DENSE, EmbedderSettings, Pooling

from ..errors import SourceError

_LEGACY = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "last",
}
_NAMES = {"lasttoken": "last", "mean_sqrt_len_tokens": "mean_sqrt_len"}
_ACTIVATIONS = {"Identity": "identity", "Tanh": "tanh"}
# What sentence-transformers' encode_query and encode_document look for, in this order; then
# jina-embeddings-v3's names.
_QUERY = ("query", "retrieval.query")
_PASSAGE = ("document", "passage", "corpus", "retrieval.passage")
_BGE = "Represent this sentence for searching relevant passages: "

# A model's name -> (query prefix, passage prefix), for models whose files name no prompts. From the
# "usage" of the cards of intfloat/e5-base-v2, intfloat/multilingual-e5-base, BAAI/bge-base-en-v1.5,
# BAAI/bge-base-zh-v1.5, nomic-ai/nomic-embed-text-v1.5.
CARDS: tuple[tuple[str, str, str], ...] = (
    (r"(multilingual-)?e5-(small|base|large)(-v2|-unsupervised)?", "query: ", "passage: "),
    (r"bge-(micro|small|base|large)-en(-v1\.5)?", _BGE, ""),
    (r"bge-(small|base|large)-zh(-v1\.5)?", "为这个句子生成表示以用于检索相关文章：", ""),
    (r"nomic-embed-text-v(1|1\.5|2-moe)", "search_query: ", "search_document: "),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of a sentence-transformers model's modules; `dense`: of the dense layers between
    pooling and norm, in order."""

    transformer: Path
    pooling: Path | None
    dense: tuple[Path, ...]


def read_layout(source: Path) -> Layout:
    """Read modules.json. Raises SourceError for a module that the device could not do."""
    if not (source / "modules.json").is_file():
        raise SourceError(f"{source} is no sentence-transformers model (no modules.json)")
    kinds = [
        (m["type"].rsplit(".", 1)[-1], source / m["path"]) for m in _json(source / "modules.json")
    ]
    unknown = sorted({kind for kind, _ in kinds} - {"Transformer", "Pooling", "Dense", "Normalize"})
    if unknown or [kind for kind, _ in kinds][:1] != ["Transformer"]:
        what = ", ".join(unknown) or "the first is no Transformer"
        raise SourceError(
            f"{source}: modules.json: {what}: not supported on the device; choose another "
            "embedding model"
        )
    folders = dict(kinds)
    return Layout(
        folders["Transformer"],
        folders.get("Pooling"),
        tuple(path for kind, path in kinds if kind == "Dense"),
    )


def read_settings(
    source: Path,
    *,
    dim: int,
    max_tokens: int,
    name: str = "",
    query_prefix: str | None = None,
    passage_prefix: str | None = None,
) -> EmbedderSettings:
    """Read what the device must know of the model in `source`. Raises SourceError for what it could
    not do.

    `name`: what the recipe calls the model, for the table of cards; a prefix given wins over files
    and table."""
    layout = read_layout(source)
    query, passage = prompts_of(source, name)
    settings = EmbedderSettings(
        dim=dim,
        max_tokens=max_tokens,
        pooling=_pooling(layout),
        normalize=True,
        query_prefix=query if query_prefix is None else query_prefix,
        passage_prefix=passage if passage_prefix is None else passage_prefix,
        dense=tuple(_activation(folder) for folder in layout.dense),
    )
    config = _json(layout.pooling / "config.json") if layout.pooling else {}
    if config.get("include_prompt") is False and (settings.query_prefix or settings.passage_prefix):
        raise SourceError(
            f"{source}: pooling without the prompt (include_prompt: false) is not supported on the "
            "device"
        )
    return settings


def prompts_of(source: Path, name: str) -> tuple[str, str]:
    """Return the prefixes of (query, passage): the model's own where its files have any, else its
    card's, else none."""
    path = source / "config_sentence_transformers.json"
    prompts = (_json(path).get("prompts") or {}) if path.is_file() else {}
    query, passage = (
        next((prompts[n] for n in names if prompts.get(n)), "") for names in (_QUERY, _PASSAGE)
    )
    if query or passage:
        return query, passage
    config = _json(read_layout(source).transformer / "config.json")
    for known in (name, source.name, str(config.get("_name_or_path") or "")):
        plain = re.split(r"[/:]", known.split("==")[0].rstrip("/").lower())[-1].replace("_", "-")
        # a hub model's folder in the cache: owner--name-revision
        plain = re.sub(r"^[\w.]+--", "", plain)
        for pattern, query, passage in CARDS:
            if re.fullmatch(pattern + r"(-[0-9a-f]{7,40})?", plain):
                return query, passage
    return "", ""


def write_dense(source: Path, folder: Path) -> None:
    """Write dense.npz for the runtime, where the model has layers after pooling: w0, b0, w1, ... in
    float32. Raises SourceError."""
    import numpy as np
    from safetensors.numpy import load_file

    weights: dict[str, Any] = {}
    for number, path in enumerate(read_layout(source).dense):
        file = path / "model.safetensors"
        if not file.is_file():
            raise SourceError(
                f"{path}: no model.safetensors (pickled .bin files are not read: they can run code)"
            )
        tensors = {
            name.rsplit(".", 1)[-1]: tensor.astype(np.float32)
            for name, tensor in load_file(str(file)).items()
        }
        weights[f"w{number}"] = tensors["weight"]
        weights[f"b{number}"] = tensors.get("bias", np.zeros(len(tensors["weight"]), np.float32))
    if weights:
        np.savez(folder / DENSE, **weights)


def _pooling(layout: Layout) -> Pooling:
    """Read the pooling, in the form of any version. Raises SourceError for one that the device could
    not do."""
    config = _json(layout.pooling / "config.json") if layout.pooling else {"pooling_mode": "mean"}
    mode = config.get("pooling_mode") or [name for key, name in _LEGACY.items() if config.get(key)]
    modes: Sequence[str] = [mode] if isinstance(mode, str) else mode
    pooling: Any = _NAMES.get(modes[0], modes[0]) if len(modes) == 1 else None
    if pooling not in get_args(Pooling):
        raise SourceError(
            f"{layout.pooling}: pooling {' + '.join(modes) or 'unnamed'} is not supported on the "
            "device"
        )
    return pooling  # type: ignore[no-any-return]


def _activation(folder: Path) -> str:
    """Read a dense layer's activation. Raises SourceError for one that the device could not do."""
    config = _json(folder / "config.json")
    name = str(config.get("activation_function", "Tanh")).rsplit(".", 1)[-1]
    if (
        name not in _ACTIVATIONS
        or config.get("module_input_name", "sentence_embedding") != "sentence_embedding"
    ):
        raise SourceError(f"{folder}: a dense layer with {name} is not supported on the device")
    return _ACTIVATIONS[name]


def _json(path: Path) -> Any:
    """Read a file of the model's. Raises SourceError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: {error}; is the model's folder whole?") from None
