"""The checkpoints of a training, as transformers' Trainer leaves them: which are complete, whether
the last one is the end, and what of them is kept. Imports nothing heavy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ..errors import CheckFailed

FOLDER, ADAPTER, LOG = "checkpoints", "adapter", "log.json"
_STATE = "trainer_state.json"  # what the trainer writes last
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
_HELD_OUT = ("loss", "wrong_refusals", "right_refusals")
_LOGGED = ("step", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_s")

LogEntry: TypeAlias = dict[str, float]


@dataclass(frozen=True, slots=True)
class TrainedAdapter:
    """How a training went. `kept_step`: the step whose adapter is kept, of `steps`. Losses are in
    nats a token; `held_out_wrong_refusals` is the share of the held-out answerable questions that
    the kept adapter refuses. None where none was computed."""

    first_loss: float | None
    last_loss: float | None
    held_out_loss: float | None
    held_out_wrong_refusals: float | None
    tokens_per_s: float | None
    steps: int
    kept_step: int


@dataclass(frozen=True, slots=True)
class _TrainerState:
    """What we read of transformers' `trainer_state.json`."""

    max_steps: int
    best_step: int | None
    stopped_early: bool
    history: list[LogEntry]

    @classmethod
    def read(cls, folder: Path) -> _TrainerState | None:
        """Read a checkpoint's state; None where it is missing or cut off."""
        try:
            state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        watchers = state.get("stateful_callbacks", {}).get("EarlyStoppingCallback", [])
        stopped = any(
            one["attributes"]["early_stopping_patience_counter"]
            >= one["args"]["early_stopping_patience"]
            for one in (watchers if isinstance(watchers, list) else [watchers])
        )
        return cls(state["max_steps"], state.get("best_global_step"), stopped, state["log_history"])


def checkpoint_folder(out: Path, step: int) -> Path:
    """Return where the trainer writes the checkpoint of `step`."""
    return out / FOLDER / f"checkpoint-{step}"


def complete_steps(out: Path) -> list[int]:
    """Return the steps whose checkpoint was written to its end, in ascending order."""
    steps = [int(path.name.rsplit("-", 1)[1]) for path in (out / FOLDER).glob("checkpoint-*")]
    return sorted(step for step in steps if _TrainerState.read(checkpoint_folder(out, step)))


def last_step(out: Path) -> int | None:
    """Return the step of the last complete checkpoint; None where there is none."""
    return max(complete_steps(out), default=None)


def is_finished(out: Path) -> bool:
    """Return whether the last checkpoint is of the last step, or of one at which early stopping
    ended the training: a trainer that went on from it would go a step too far."""
    step = last_step(out)
    state = _TrainerState.read(checkpoint_folder(out, step)) if step is not None else None
    if step is None or state is None:
        return False
    return state.stopped_early or step >= state.max_steps


def keep_adapter(out: Path) -> TrainedAdapter:
    """Write `adapter/` and `log.json` from the checkpoints of a finished training, and return its
    figures. Raises CheckFailed where the checkpoint to keep lacks a file."""
    step = last_step(out)
    assert step is not None
    state = _TrainerState.read(checkpoint_folder(out, step))
    assert state is not None
    kept = state.best_step or step
    source = checkpoint_folder(out, kept)
    (out / ADAPTER).mkdir(exist_ok=True)
    for name in _ADAPTER_FILES:
        if not (source / name).is_file():
            raise CheckFailed(
                f"{source}: no {name}; run `build recipe --from train` to train again"
            )
        shutil.copyfile(source / name, out / ADAPTER / name)
    train = [_rounded(entry, _LOGGED) for entry in state.history if "loss" in entry]
    validation = [
        _rounded({"step": entry["step"], **_held_out_figures(entry)}, ("step", *_HELD_OUT))
        for entry in state.history
        if "eval_loss" in entry
    ]
    log = {"train": train, "validation": validation, "kept_step": kept}
    (out / LOG).write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")
    held_out: LogEntry = next((entry for entry in validation if entry["step"] == kept), {})
    seconds = sum(entry["tokens"] / entry["tokens_per_s"] for entry in train)
    tokens = sum(entry["tokens"] for entry in train)
    return TrainedAdapter(
        first_loss=train[0]["loss"] if train else None,
        last_loss=train[-1]["loss"] if train else None,
        held_out_loss=held_out.get("loss"),
        held_out_wrong_refusals=held_out.get("wrong_refusals"),
        tokens_per_s=round(tokens / seconds, 1) if seconds else None,
        steps=step,
        kept_step=kept,
    )


def _held_out_figures(entry: Mapping[str, float]) -> LogEntry:
    """Return the figures of an evaluation under our names; transformers puts `eval_` before them."""
    return {name: entry[f"eval_{name}"] for name in _HELD_OUT if f"eval_{name}" in entry}


def _rounded(entry: Mapping[str, float], names: tuple[str, ...]) -> LogEntry:
    """Return the named values of a log entry, floats to six significant digits."""
    return {
        name: float(f"{entry[name]:.6g}") if isinstance(entry[name], float) else entry[name]
        for name in names
        if name in entry
    }
