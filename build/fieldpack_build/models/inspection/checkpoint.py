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
    """`config`: config.json, or what a GGUF's header says in config.json's words. `tensors`: by
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
        return self.path.is_file()

    @property
    def embeddings(self) -> Tensor | None:
        return _ending(self.tensors, _EMBEDDINGS)

    @property
    def head(self) -> Tensor | None:
        return _ending(self.tensors, _HEADS)

    @property
    def embedding_rows(self) -> int | None:
        """Tokens that the input embeddings have a row for. A GGUF writes a matrix's shape the other
        way round."""
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
    said = default if written is None else bool(written)
    source = (
        "says"
        if written is not None
        else "does not say, and transformers' default for its class is,"
    )
    at = f"{checkpoint.path / 'config.json'} {source} tie_word_embeddings: {str(said).lower()}"
    head, table = checkpoint.head, checkpoint.embeddings
    if not checkpoint.tensors or table is None or checkpoint.is_gguf:
        return said, None
    if said and head is not None and not same_bytes(head, table):
        return (
            False,
            (
                f"{at}; the output matrix is a tensor of its own and differs from the embeddings: read "
                "as untied"
            ),
        )
    if not said and head is None and written is None:
        return True, f"{at}; there is no output matrix among the tensors: read as tied"
    return said, None


def _ending(tensors: Mapping[str, Tensor], endings: tuple[str, ...]) -> Tensor | None:
    for ending in endings:
        for name, tensor in tensors.items():
            if name == ending or name.endswith(f".{ending}"):
                return tensor
    return None


# --- a folder -------------------------------------------------------------------------------------


def _open_folder(path: Path, weights: bool) -> Checkpoint:
    problems: list[str] = []
    config = _read_json(path / "config.json", problems)
    tensors = _read_tensors(path, problems, wanted=weights)
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


def _read_json(path: Path, problems: list[str]) -> dict[str, Any]:
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
        read = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        problems.append(f"{path}: not JSON ({error}); download it again")
        return {}
    if not isinstance(read, dict):
        problems.append(f"{path}: not a JSON object; download it again")
        return {}
    return read


def _read_tensors(path: Path, problems: list[str], *, wanted: bool) -> dict[str, Tensor]:
    """The tensors of all safetensors files in a folder; whatever keeps one from being there is a
    problem."""
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
            missing = (
                f"{path}: {len(gone)} of {len(set(named.values()))} files of weights are missing "
                f"({_some(gone)}); "
            )
            problems.append(f"{missing}download the rest of the model")
            return tensors
    elif wanted and not files:
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
        read = _read_json(path / "tokenizer.json", problems)
        model, added = read.get("model"), read.get("added_tokens")
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
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


# --- a GGUF ---------------------------------------------------------------------------------------


def _open_gguf(path: Path) -> Checkpoint:
    try:
        read = read_gguf(path)
    except BrokenFile as error:
        return Checkpoint(path, {}, {}, None, has_chat_template=True, problems=(str(error),))
    config, problems = _gguf_config(path, read)
    has_template = (
        "tokenizer.chat_template" in read.metadata or (path.parent / CHAT_TEMPLATE).is_file()
    )
    tokens = read.lengths.get("tokenizer.ggml.tokens")
    if tokens is None:
        problems.append(
            f"{path}: no tokenizer in it; convert the model again with its tokenizer, or name its "
            "folder"
        )
    if not read.tensors:
        problems.append(
            f"{path}: no weights in it; download the model itself and not its vocabulary alone"
        )
    return Checkpoint(path, config, read.tensors, tokens, has_template, problems=tuple(problems))


def _gguf_config(path: Path, read: Gguf) -> tuple[dict[str, Any], list[str]]:
    """(what the header says in config.json's words, problems), by transformers' own table."""
    parts = read.metadata.get("split.count")
    if isinstance(parts, int) and parts > 1:
        return {}, [
            (
                f"{path}: one of {parts} parts of a model; join them with llama.cpp's "
                "`llama-gguf-split --merge`"
            )
        ]
    kind = str(read.metadata.get("general.architecture"))
    names = gguf_settings().get(kind)
    if names is None:
        return {}, [
            (
                f"{path}: a GGUF of architecture {kind}, which transformers does not read; name the "
                "model's folder instead"
            )
        ]
    config = {
        name: read.metadata[f"{kind}.{key}"]
        for key, name in names.items()
        if name and f"{kind}.{key}" in read.metadata
    }
    model_type = kind.replace("-", "_") if kind not in causal_classes() else kind
    architecture = causal_classes().get(model_type)
    config |= {"model_type": model_type, "tie_word_embeddings": "output.weight" not in read.tensors}
    return config | ({"architectures": [architecture]} if architecture else {}), []
