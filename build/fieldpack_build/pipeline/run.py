"""Runs the stages of a plan in order, each only if its key has no finished folder. Knows nothing of
how a stage does its work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import BuildError, ProcessKilled, RecipeError
from .plan import Plan, Step
from .stage import Stage
from .store import Receipt, files_of, fingerprint, interrupted
from .worker import run_stage


class Listener:
    """What the pipeline says while it works; the console and tests override what they want to hear."""

    def skipped(self, step: Step) -> None: ...
    def started(self, step: Step, number: int, total: int) -> None: ...
    def event(self, step: Step, event: dict[str, Any]) -> None: ...
    def finished(self, step: Step, receipt: Receipt) -> None: ...
    def failed(self, step: Step) -> None: ...


def run_plan(plan: Plan, listener: Listener, *, only: Iterable[str] | None = None) -> list[str]:
    """Run what is not done; gives the names of the stages that ran. Only success is kept."""
    wanted = set(only) if only is not None else {step.name for step in plan.steps}
    ran: list[str] = []
    todo = [step for step in plan.steps if step.receipt is None and step.name in wanted]
    for step in plan.steps:
        if step.receipt is not None or step.name not in wanted:
            listener.skipped(step)
            continue
        _require_inputs(plan, step)
        listener.started(step, len(ran) + 1, len(todo))
        try:
            receipt = _run_step(plan, step, partial(listener.event, step))
        except BaseException as error:
            listener.failed(step)
            if isinstance(error, BuildError) and error.exit_code == 8:
                raise type(error)(f"stage {step.name}: {error}") from error
            raise
        listener.finished(step, receipt)
        ran.append(step.name)
    return ran


def run_aside(
    name: str, does: str, function: str, plan: Plan, listener: Listener, *, reads: Iterable[str]
) -> dict[str, Any]:
    """Work on the finished stages of a plan whose result is shown and not kept. Its process, its
    progress and its log are those of a stage."""
    key = fingerprint([name, plan.recipe.name])
    step = Step(Stage(name, 1, does, settings=lambda recipe: None), key, {}, None, ())
    work = plan.store.begin(name, key, keep=False)
    wanted = set(reads)
    inputs = {
        other.name: plan.store.folder(other.name, other.key)
        for other in plan.steps
        if other.name in wanted
    }
    listener.started(step, 1, 1)
    try:
        done = run_stage(
            function, plan.recipe, inputs, {}, work, plan.store, partial(listener.event, step)
        )
    finally:
        listener.failed(step)  # takes the bar away; there is no receipt to show
    plan.store.discard(name, key)
    result: dict[str, Any] = done["result"]
    return result


def _run_step(plan: Plan, step: Step, listen: Callable[[dict[str, Any]], None]) -> Receipt:
    inputs = {name: plan.store.folder(name, plan.step(name).key) for name in _read_by(plan, step)}  # type: ignore[union-attr]
    keys = {name: plan.step(name).key for name in inputs}  # type: ignore[union-attr]
    work = plan.store.begin(step.name, step.key, keep=step.stage.resumes)
    started = time.perf_counter()
    earlier, lineage = _earlier(plan, step)
    warnings: list[str] = []
    while True:
        try:
            done = run_stage(
                step.stage.function,
                plan.recipe,
                inputs,
                keys,
                work,
                plan.store,
                listen,
                earlier,
                lineage,
            )
            break
        except ProcessKilled:
            if not (again := step.stage.after_kill(work)):
                raise
            warnings.append(f"its process was killed, as happens where memory runs out: {again}")
            listen({"event": "warning", "text": warnings[-1]})
    receipt = Receipt(
        stage=step.name,
        recipe=plan.recipe.name,
        key=step.key,
        parts=step.parts,
        seen={name: keys[name] for name in step.sees if name in keys},
        files=files_of(work),
        seconds=round(time.perf_counter() - started, 2),
        peak_rss_mb=done["peak_rss_mb"],
        result=done["result"],
        warnings=(*warnings, *done["warnings"]),
    )
    plan.store.commit(work, receipt)
    return receipt


def _earlier(plan: Plan, step: Step) -> tuple[Path | None, str]:
    """The newest folder of this stage and recipe that differs in what may differ, finished or
    interrupted, and what they share. None when the very stage is there already: it is asked for
    again, all of it."""
    updates = step.stage.updates
    if updates is None:
        return None, ""
    alike = updates(step.parts)
    lineage = fingerprint([plan.recipe.name, alike])
    if plan.store.find(step.name, step.key):
        return None, lineage
    finished = plan.store.newest(
        step.name, lambda r: r.recipe == plan.recipe.name and updates(r.parts) == alike
    )
    found = [
        folder
        for folder in (finished, interrupted(plan.store.root / "stages" / step.name, lineage))
        if folder
    ]
    return max(
        found,
        key=lambda folder: max(path.stat().st_mtime_ns for path in folder.iterdir()),
        default=None,
    ), lineage


def _read_by(plan: Plan, step: Step) -> list[str]:
    named = {*step.parts["inputs"], *step.sees}
    return [other.name for other in plan.steps if other.name in named]


def _require_inputs(plan: Plan, step: Step) -> None:
    """With `--only` a stage may be asked for whose inputs were never made."""
    for name in _read_by(plan, step):
        other = plan.step(name)
        if other and plan.store.find(name, other.key) is None:
            raise RecipeError(
                f"--only {step.name}: it needs `{name}`, which is not built yet; leave --only away"
            )
