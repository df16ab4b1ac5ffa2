"""Resolve the base model and make of it a full-precision folder that every later stage reads.
Refuse here what later stages would fail on, before anything is paid.

model/         config, weights (safetensors), tokenizer; a link where the source already is that, or
               links to its files beside
               a config.json that says what the tensors say
chat.json      its chat template as strings
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..base_model import inspect_base
from ..errors import SourceError
from ..models import causal_lm, sources
from ..models.causal_lm import MODEL
from ..models.chat_template import CHAT, chat_format
from ..models.inspection import ties_embeddings
from ..pipeline.task import Task
from ..recipe.schema import ModelSource
from .results import BaseResult

_CONFIG = "config.json"


def run(task: Task) -> BaseResult:
    """Write the base model in full precision into `model/`, and its chat template into `chat.json`.

    Raises SourceError for a model that later stages would fail on."""
    recipe, source = task.recipe, task.recipe.base
    assert source  # else the stage is not active
    task.note("fetching the model")
    path = sources.fetch(source, recipe, task.store.models, settings_only=recipe.rehearsal)
    _inspect(task, source, path)
    causal_lm.quiet()
    if path.is_file():
        causal_lm.check_gguf(path)
    tokenizer = causal_lm.load_tokenizer(path)
    chat = chat_format(tokenizer, source.model, path)
    target = task.out / MODEL
    if recipe.rehearsal:
        task.note("making a tiny random model of the same architecture")
        config = causal_lm.load_config(path)
        _save(
            causal_lm.tiny_random_model(config, dtype=causal_lm.stored_dtype(path, config)),
            tokenizer,
            target,
        )
    elif path.is_file():
        task.note("converting GGUF to full precision")
        _save(causal_lm.load_model(path), tokenizer, target)
        causal_lm.check_numbers(target)
    else:
        task.note("looking at every weight")
        causal_lm.check_tensors(path)
        causal_lm.check_numbers(
            path, lambda done, total: task.progress(done, total, "tensors looked at")
        )
        _link(path, target)
    (task.out / CHAT).write_text(
        json.dumps(asdict(chat), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    config = causal_lm.load_config(target)
    return {
        "architecture": (config.architectures or ["?"])[0],
        "context": getattr(config, "max_position_embeddings", None),
        "vocabulary": config.vocab_size,
        "source": source.model,
        "license": source.license,
    }


def _inspect(task: Task, source: ModelSource, path: Path) -> None:
    """Raise SourceError with all that is wrong with the model. Of a rehearsal's remote model only
    settings were fetched."""
    remote = sources.is_remote(source)
    inspection = inspect_base(path, task.recipe, weights=not (task.recipe.rehearsal and remote))
    if inspection.problems:
        raise SourceError("\n".join(inspection.problems))
    if remote:  # of a local one the check before a build has said them
        for warning in inspection.warnings:
            task.warn(warning)


def _link(path: Path, target: Path) -> None:
    """Make `target` a link to the folder; or a folder of links to its files with a config.json of
    our own, where its own does not say of the embeddings what the tensors say: the export would
    ship the untuned model spoilt."""
    config = json.loads((path / _CONFIG).read_text(encoding="utf-8"))
    tied = ties_embeddings(path)
    if config.get("tie_word_embeddings") is tied:
        target.symlink_to(path.resolve(), target_is_directory=True)
        return
    target.mkdir()
    for file in sorted(path.iterdir()):
        if file.name != _CONFIG:
            (target / file.name).symlink_to(file.resolve())
    (target / _CONFIG).write_text(
        json.dumps(config | {"tie_word_embeddings": tied}, indent=1) + "\n", encoding="utf-8"
    )


def _save(model: Any, tokenizer: Any, target: Path) -> None:
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
