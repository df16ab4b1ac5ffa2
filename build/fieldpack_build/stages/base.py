"""Resolve the base model and make of it a full-precision folder that every later stage reads.

model/         config, weights (safetensors), tokenizer; a link where the source already is that
chat.json      its chat template as strings
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fieldpack.prompt import ChatFormat

from .. import models, sources
from ..chat_template import chat_format
from ..errors import SourceError
from ..task import Task

MODEL, CHAT = "model", "chat.json"


def run(task: Task) -> dict[str, Any]:
    recipe = task.recipe
    task.note("fetching the model")
    path = sources.fetch(recipe.base, recipe, task.store.models, settings_only=recipe.rehearsal)
    models.quiet()
    tokenizer = models.load_tokenizer(path)
    chat = chat_format(tokenizer, recipe.base.model)
    target = task.out / MODEL
    if recipe.rehearsal:
        task.note("making a tiny random model of the same architecture")
        config = models.load_config(path)
        _save(models.tiny_random_model(config, dtype=models.stored_dtype(path, config)), tokenizer, target)
    elif path.is_file():
        task.note("converting GGUF to full precision")
        _save(models.load_model(path), tokenizer, target)
    else:
        _check_weights(path)
        target.symlink_to(path.resolve(), target_is_directory=True)
    (task.out / CHAT).write_text(json.dumps(asdict(chat), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    config = models.load_config(target)
    return {
        "architecture": (config.architectures or ["?"])[0], "context": getattr(config, "max_position_embeddings", None),
        "vocabulary": config.vocab_size, "source": recipe.base.model, "license": recipe.base.license,
    }  # fmt: skip


def read_chat(base: Path, *, skip_tokens: int = 0) -> ChatFormat:
    data = json.loads((base / CHAT).read_text(encoding="utf-8"))
    return ChatFormat(**{**data, "special_tokens": tuple(data["special_tokens"]), "skip_tokens": skip_tokens})


def _save(model: Any, tokenizer: Any, target: Path) -> None:
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _check_weights(path: Path) -> None:
    if not list(path.glob("*.safetensors")):
        raise SourceError(f"{path}: no *.safetensors weights (pickled .bin files are not read: they can run code)")
