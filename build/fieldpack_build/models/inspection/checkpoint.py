"""Opens a model's folder or GGUF for a look: settings, tensors by name, tokenizer; every file that
is missing, cut off or something else becomes a sentence. Loads no weights. Knows nothing of recipes
or of what can be done with the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .headers import (
    BrokenFile,
    Gguf,
    Tensor,
    is_lfs_pointer,
    read_gguf,
    read_safetensors,
    same_bytes,
)
from .libraries import causal_classes, default_of, gguf_settings

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
CHAT_TEMPLATE = "chat_template.jinja"
_INDEX = "model.safetensors.index.json"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
# Last parts of the names that the input embeddings and the output matrix have in the architectures
# that transformers knows.
_EMBEDDINGS = (
    "embed_tokens.weight",
    "wte.weight",
    "word_embeddings.weight",
    "tok_embeddings.weight",
    "embed_in.weight",
    "embeddings.weight",
    "token_embd.weight",
)
_HEADS = ("lm_head.weight", "embed_out.weight", "output.weight", "output_layer.weight")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What there is to read of a model without its weights.

    `config`: config.json, or what a GGUF's header says in config.json's words. `tensors`: by
    name, empty where there are none to be read. `tokens`: the tokenizer's highest id plus one, None
    where it is not known. `problems`: sentences."""

    path: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    tokens: int | None
    has_chat_template: bool
    tokenizer_config: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def is_gguf(self) -> bool:
        """Whether the model is one GGUF file and not a folder."""
        return self.path.is_file()

    @property
    def embeddings(self) -> Tensor | None:
        """The input embeddings; None where no tensor has one of their names."""
        return _ending(self.tensors, _EMBEDDINGS)

    @property
    def head(self) -> Tensor | None:
        """The output matrix; None where it is no tensor of its own."""
        return _ending(self.tensors, _HEADS)

    @property
    def embedding_rows(self) -> int | None:
        """How many tokens the input embeddings have a row for. A GGUF writes a matrix's shape the
        other way round."""
        table = self.embeddings
        if table is None or len(table.shape) != 2:
            return None
        return table.shape[1 if self.is_gguf else 0]


def open_checkpoint(path: Path, *, weights: bool = True) -> Checkpoint:
    """Read what there is to read at `path`, a folder or a GGUF file. `weights`: False where they
    are not meant to be there yet. Never raises for what is in the files; the problems say it."""
    return _open_gguf(path) if path.is_file() else _open_folder(path, weights)


def file_problems(folder: Path) -> list[str]:
    """Return what is wrong with the large files of any model's folder, whatever the model is for:
    Git LFS pointers, and safetensors or GGUF files that are cut off or damaged."""
    problems = []
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".safetensors", ".gguf") and path.is_file():
            try:
                (read_safetensors if path.suffix == ".safetensors" else read_gguf)(path)
            except BrokenFile as error:
                problems.append(str(error))
    return problems


def decide_ties(checkpoint: Checkpoint) -> tuple[bool, str | None]:
    """Say whether input embeddings and output matrix are one, and what the files say against
    config.json, None if nothing. The tensors decide: a matrix that is there and differs is one of
    its own, whatever config.json says or leaves out, and one that is not there can only be the
    embeddings. A model read the wrong way answers with noise."""
    config = checkpoint.config
    written = config.get("tie_word_embeddings")
    default = bool(default_of(str(config.get("model_type")), "tie_word_embeddings"))
    tied = default if written is None else bool(written)
    source = (
        "says"
        if written is not None
        else "does not say, and transformers' default for its class is,"
    )
    at = f"{checkpoint.path / 'config.json'} {source} tie_word_embeddings: {str(tied).lower()}"
    head, table = checkpoint.head, checkpoint.embeddings
    if not checkpoint.tensors or table is None or checkpoint.is_gguf:
        return tied, None
    if tied and head is not None and not same_bytes(head, table):
        problem = "the output matrix is a tensor of its own and differs from the embeddings"
        return False, f"{at}; {problem}: read as untied"
    if not tied and head is None and written is None:
        return True, f"{at}; there is no output matrix among the tensors: read as tied"
    return tied, None


def _ending(tensors: Mapping[str, Tensor], endings: tuple[str, ...]) -> Tensor | None:
    """Return the first tensor whose name ends in one of `endings`, the first of these first."""
    for ending in endings:
        for name, tensor in tensors.items():
            if name == ending or name.endswith(f".{ending}"):
                return tensor
    return None


# --- a folder -------------------------------------------------------------------------------------


def _open_folder(path: Path, weights: bool) -> Checkpoint:
    problems: list[str] = []
    config = _read_json(path / "config.json", problems)
    tensors = _read_tensors(path, problems, required=weights)
    tokenizer_config = (
        _read_json(path / "tokenizer_config.json", problems)
        if (path / "tokenizer_config.json").exists()
        else {}
    )
    tokens = _count_tokens(path, problems)
    templates = path / CHAT_TEMPLATE, path / "chat_template.json"
    has_template = bool(tokenizer_config.get("chat_template")) or any(
        template.exists() for template in templates
    )
    return Checkpoint(
        path, config, tensors, tokens, has_template, tokenizer_config, tuple(problems)
    )


def _read_json(path: Path, problems: list[str]) -> Mapping[str, Any]:
    """Read a JSON object; empty, and a problem, where there is none."""
    if not path.is_file():
        problems.append(f"{path.parent}: no {path.name} in it; copy the model's whole folder")
        return {}
    if is_lfs_pointer(path):
        problems.append(
            f"{path}: a Git LFS pointer and not the file itself; run `git lfs pull`, or download "
            "it again"
        )
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        problems.append(f"{path}: not JSON ({error}); download it again")
        return {}
    if not isinstance(content, dict):
        problems.append(f"{path}: not a JSON object; download it again")
        return {}
    return content


def _read_tensors(path: Path, problems: list[str], *, required: bool) -> dict[str, Tensor]:
    """Return the tensors of all safetensors files in a folder; whatever keeps one from being there
    is a problem, that there are none where they are `required`."""
    files = sorted(path.glob("*.safetensors"))
    tensors: dict[str, Tensor] = {}
    for file in files:
        try:
            tensors |= read_safetensors(file)
        except BrokenFile as error:
            problems.append(str(error))
    index = path / _INDEX
    named = _read_json(index, problems).get("weight_map") if index.exists() else None
    if isinstance(named, dict):
        gone = sorted({str(file) for file in named.values()} - {file.name for file in files})
        if gone:
            problems.append(
                f"{path}: {len(gone)} of {len(set(named.values()))} files of weights are missing "
                f"({_some(gone)}); download the rest of the model"
            )
            return tensors
    elif required and not files:
        pickled = sorted(file.name for pattern in _PICKLED for file in path.glob(pattern))
        if pickled:
            problems.append(
                f"{path}: no *.safetensors weights but pickled ones ({_some(pickled)}), which are "
                "not read: they can run "
                "code; save the model again with save_pretrained, or name a revision that has "
                "model.safetensors"
            )
        else:
            problems.append(f"{path}: no *.safetensors weights in it; download the whole model")
    if isinstance(named, dict) and not problems and (lost := sorted(set(named) - set(tensors))):
        problems.append(
            f"{index}: {len(lost)} tensors that it names are in no file ({_some(lost)}); download "
            "the model again"
        )
    return tensors


def _count_tokens(path: Path, problems: list[str]) -> int | None:
    """Return the highest id of a folder's tokenizer plus one; None where it is not known."""
    if not any((path / name).exists() for name in TOKENIZER_FILES):
        problems.append(
            f"{path}: no tokenizer in the model's folder (looked for {', '.join(TOKENIZER_FILES)})"
        )
        return None
    for name in ("tokenizer.model", "spiece.model"):
        if (path / name).is_file() and is_lfs_pointer(path / name):
            problems.append(
                f"{path / name}: a Git LFS pointer and not the file itself; run `git lfs pull` in "
                "its folder"
            )
    if (path / "tokenizer.json").exists():
        tokenizer = _read_json(path / "tokenizer.json", problems)
        model, added = tokenizer.get("model"), tokenizer.get("added_tokens")
        vocabulary = model.get("vocab") if isinstance(model, dict) else None
        ids = (
            [token.get("id") for token in added if isinstance(token, dict)]
            if isinstance(added, list)
            else []
        )
        if isinstance(vocabulary, dict):
            ids += vocabulary.values()
        elif isinstance(vocabulary, list):  # Unigram: [token, score], the id is the place
            ids.append(len(vocabulary) - 1)
    elif (path / "vocab.json").exists():
        ids = list(_read_json(path / "vocab.json", problems).values())
        if (path / "added_tokens.json").exists():
            ids += _read_json(path / "added_tokens.json", problems).values()
    else:  # a sentencepiece model: its loading says what is wrong with it
        return None
    known = [number for number in ids if isinstance(number, int)]
    return max(known) + 1 if known else None


def _some(names: list[str]) -> str:
    """Join the first three names."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


# --- a GGUF ---------------------------------------------------------------------------------------


def _open_gguf(path: Path) -> Checkpoint:
    try:
        gguf = read_gguf(path)
    except BrokenFile as error:
        return Checkpoint(path, {}, {}, None, has_chat_template=True, problems=(str(error),))
    config, problems = _gguf_config(path, gguf)
    has_template = (
        "tokenizer.chat_template" in gguf.metadata or (path.parent / CHAT_TEMPLATE).is_file()
    )
    tokens = gguf.lengths.get("tokenizer.ggml.tokens")
    if tokens is None:
        problems.append(
            f"{path}: no tokenizer in it; convert the model again with its tokenizer, or name its "
            "folder"
        )
    if not gguf.tensors:
        problems.append(
            f"{path}: no weights in it; download the model itself and not its vocabulary alone"
        )
    return Checkpoint(path, config, gguf.tensors, tokens, has_template, problems=tuple(problems))


def _gguf_config(path: Path, gguf: Gguf) -> tuple[Mapping[str, Any], list[str]]:
    """Return (what the header says in config.json's words, problems), by transformers' own table."""
    parts = gguf.metadata.get("split.count")
    if isinstance(parts, int) and parts > 1:
        advice = "join them with llama.cpp's `llama-gguf-split --merge`"
        return {}, [f"{path}: one of {parts} parts of a model; {advice}"]
    kind = str(gguf.metadata.get("general.architecture"))
    names = gguf_settings().get(kind)
    if names is None:
        problem = f"a GGUF of architecture {kind}, which transformers does not read"
        return {}, [f"{path}: {problem}; name the model's folder instead"]
    config = {
        name: gguf.metadata[f"{kind}.{key}"]
        for key, name in names.items()
        if name and f"{kind}.{key}" in gguf.metadata
    }
    model_type = kind if kind in causal_classes() else kind.replace("-", "_")
    config["model_type"] = model_type
    config["tie_word_embeddings"] = "output.weight" not in gguf.tensors
    if architecture := causal_classes().get(model_type):
        config["architectures"] = [architecture]
    return config, []
