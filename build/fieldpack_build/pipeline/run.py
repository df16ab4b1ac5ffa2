"""Runs the stages of a plan in order, each only if its key has no finished folder. Knows nothing of
how a stage does its work."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ..errors import ProcessKilled, RecipeError, StageError
from .events import OnEvent, StageEvent, StageResult
from .plan import Plan, Step
from .stage import Stage
from .store import Receipt, files_of, fingerprint, interrupted
from .worker import run_stage


class Listener:
    """What the pipeline says while it works; the console and tests override what they want to hear."""

    def skipped(self, step: Step) -> None:
        """A stage was done before, or is left out by `--only`."""

    def started(self, step: Step, number: int, total: int) -> None:
        """A stage begins, as the `number`th of `total` that run."""

    def event(self, step: Step, event: StageEvent) -> None:
        """A stage says how it fares."""

    def finished(self, step: Step, receipt: Receipt) -> None:
        """A stage has ended well."""

    def stopped(self, step: Step) -> None:
        """A stage has ended and there is no receipt to show: in an error, or as it keeps none. What
        was shown of its progress is taken away."""


def run_plan(plan: Plan, listener: Listener, *, only: Iterable[str] | None = None) -> list[str]:
    """Run what is not done; gives the names of the stages that ran. Only success is kept. Raises
    what a stage raised, a StageError with the stage's name before it, and RecipeError where `only`
    names one whose inputs were never made."""
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
            listener.stopped(step)
            if isinstance(error, StageError):
                raise type(error)(f"stage {step.name}: {error}") from error
            raise
        listener.finished(step, receipt)
        ran.append(step.name)
    return ran


def run_aside(
    name: str, does: str, function: str, plan: Plan, listener: Listener, *, reads: Iterable[str]
) -> StageResult:
    """Run a function on the finished stages of a plan and return its result, which is shown and not
    kept. Its process, its progress and its log are those of a stage."""
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
        listener.stopped(step)
    plan.store.discard(name, key)
    return done["result"]


def _run_step(plan: Plan, step: Step, on_event: OnEvent) -> Receipt:
    """Run one stage, once more after a kill where it can be made to need less memory, and keep what
    it has made."""
    keys = {other.name: other.key for other in _read_by(plan, step)}
    inputs = {name: plan.store.folder(name, key) for name, key in keys.items()}
    work = plan.store.begin(step.name, step.key, keep=step.stage.resumes)
    started = time.perf_counter()
    previous_output, lineage = _previous_output(plan, step)
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
                on_event,
                previous_output,
                lineage,
            )
            break
        except ProcessKilled:
            if not (again := step.stage.after_kill(work)):
                raise
            warnings.append(f"its process was killed, as happens where memory runs out: {again}")
            on_event({"event": "warning", "text": warnings[-1]})
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


def _previous_output(plan: Plan, step: Step) -> tuple[Path | None, str]:
    """The newest folder of this stage and recipe that differs in what may differ, finished or
    interrupted, and what they share. None when the very stage is there already: it is asked for
    again, all of it."""
    updates = step.stage.updates
    if updates is None:
        return None, ""
    shared = updates(step.parts)
    lineage = fingerprint([plan.recipe.name, shared])
    if plan.store.find(step.name, step.key):
        return None, lineage
    finished = plan.store.newest(
        step.name, lambda r: r.recipe == plan.recipe.name and updates(r.parts) == shared
    )
    folders = (finished, interrupted(plan.store.root / "stages" / step.name, lineage))
    newest = max(
        (folder for folder in folders if folder),
        key=lambda folder: max(path.stat().st_mtime_ns for path in folder.iterdir()),
        default=None,
    )
    return newest, lineage


def _read_by(plan: Plan, step: Step) -> list[Step]:
    """The stages whose folders a stage is given."""
    names = {*step.parts["inputs"], *step.sees}
    return [other for other in plan.steps if other.name in names]


def _require_inputs(plan: Plan, step: Step) -> None:
    """With `--only` a stage may be asked for whose inputs were never made."""
    for other in _read_by(plan, step):
        if plan.store.find(other.name, other.key) is None:
            raise RecipeError(
                f"--only {step.name}: it needs `{other.name}`, which is not built yet; leave "
                "--only away"
            )
