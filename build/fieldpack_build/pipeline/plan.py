"""Which stages of a recipe have a finished folder and which do not: a key for each, a hash of all
that goes into it. Knows nothing of how a stage does its work."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import toolchains
from ..errors import DataError
from ..recipe.schema import Recipe
from .stage import Stage
from .store import Receipt, Store, fingerprint


@dataclass(frozen=True)
class Step:
    """One stage of one build: its key, what went into the key, and the receipt if it is done
    already."""

    stage: Stage
    key: str
    parts: Mapping[str, Any]
    receipt: Receipt | None
    sees: tuple[str, ...]

    @property
    def name(self) -> str:
        """The stage's name."""
        return self.stage.name


@dataclass(frozen=True)
class Plan:
    """The stages of one build, in order, and where they lie."""

    recipe: Recipe
    store: Store
    steps: tuple[Step, ...] = field(default_factory=tuple)

    def step(self, name: str) -> Step | None:
        """Return the step of a stage; None where it is not active."""
        return next((step for step in self.steps if step.name == name), None)

    def folder(self, name: str) -> Path | None:
        """Return the folder of a stage, finished or to come; None where it is not active."""
        step = self.step(name)
        return self.store.folder(name, step.key) if step else None


def make_plan(
    stages: Sequence[Stage], recipe: Recipe, store: Store, *, redo: Iterable[str] = ()
) -> Plan:
    """Make the keys of all of `stages` that are active, from the recipe and the sources alone:
    nothing is run, nothing heavy imported. `stages` come in an order in which each is behind those
    that it needs. Stages in `redo` count as not done. Raises DataError for a source that cannot be
    read."""
    redo = set(redo)
    steps: dict[str, Step] = {}
    for stage in stages:
        if not stage.active(recipe):
            continue
        needs = (*stage.needs, *stage.needs_too(recipe))
        parts = {
            "code": stage.code,
            "settings": stage.settings(recipe),
            "inputs": {name: steps[name].key for name in needs if name in steps},
            "sources": _hash_sources(stage, recipe, store),
            "tools": {tool: importlib.metadata.version(tool) for tool in stage.tools},
            "locks": {name: toolchains.lock_hash(name) for name in stage.locks},
        }
        key = fingerprint({"stage": stage.name, **parts})
        receipt = None if stage.name in redo else store.find(stage.name, key)
        sees = tuple(name for name in stage.sees(recipe) if name in steps)
        steps[stage.name] = Step(stage, key, parts, receipt, sees)
    return Plan(recipe, store, tuple(steps.values()))


def _hash_sources(stage: Stage, recipe: Recipe, store: Store) -> dict[str, str]:
    try:
        return _relative(store.hash_files(stage.files(recipe)), recipe)
    except OSError as error:
        what = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise DataError(f"{error.filename}: {what}; stage {stage.name} reads it") from None


def _relative(hashes: Mapping[str, str], recipe: Recipe) -> dict[str, str]:
    """Paths relative to the recipe, so that a checkout elsewhere has the same keys."""
    home = recipe.folder
    return {
        path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path): digest
        for path, digest in ((Path(name), digest) for name, digest in hashes.items())
    }
