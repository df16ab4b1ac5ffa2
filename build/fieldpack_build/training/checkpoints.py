"""The checkpoints of a training, as transformers' Trainer leaves them: which are whole, whether the
last one is the end, and what of them is kept. Imports nothing heavy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ..errors import CheckFailed

FOLDER, ADAPTER, LOG = "checkpoints", "adapter", "log.json"
_STATE = "trainer_state.json"  # what the trainer writes last
_FILES = ("adapter_config.json", "adapter_model.safetensors")


def path(out: Path, step: int) -> Path:
    return out / FOLDER / f"checkpoint-{step}"


def whole(out: Path) -> list[int]:
    """Steps whose checkpoint was written to its end."""
    steps = [int(found.name.rsplit("-", 1)[1]) for found in (out / FOLDER).glob("checkpoint-*")]
    return sorted(step for step in steps if _state(out, step))


def last(out: Path) -> int | None:
    return max(whole(out), default=None)


def finished(out: Path) -> bool:
    """Whether the last checkpoint is of the last step, or of one at which early stopping ended it:
    a trainer that went on from it would go a step too far."""
    step = last(out)
    if step is None:
        return False
    state = _state(out, step)
    watchers = state.get("stateful_callbacks", {}).get("EarlyStoppingCallback", [])
    stopped = any(
        one["attributes"]["early_stopping_patience_counter"]
        >= one["args"]["early_stopping_patience"]
        for one in (watchers if isinstance(watchers, list) else [watchers])
    )
    return stopped or bool(step >= state["max_steps"])


def keep(out: Path) -> dict[str, Any]:
    """Write adapter/ and log.json; gives the figures of the run."""
    step = last(out)
    assert step is not None
    state = _state(out, step)
    kept = state.get("best_global_step") or step
    (out / ADAPTER).mkdir(exist_ok=True)
    for name in _FILES:
        if not (path(out, kept) / name).is_file():
            raise CheckFailed(
                f"{path(out, kept)}: no {name}; run `build recipe --from train` to train again"
            )
        shutil.copyfile(path(out, kept) / name, out / ADAPTER / name)
    log = curves(state) | {"kept_step": kept}
    (out / LOG).write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")
    return _figures(log) | {"steps": step, "kept_step": kept}


def curves(state: dict[str, Any]) -> dict[str, Any]:
    """The losses by step, from the trainer's history."""
    history = state["log_history"]
    shown = ("step", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_s")
    return {
        "train": [
            {name: _rounded(e[name]) for name in shown if name in e} for e in history if "loss" in e
        ],
        "validation": [
            {"step": e["step"], "loss": _rounded(e["eval_loss"])}
            for e in history
            if "eval_loss" in e
        ],
    }


def _figures(log: dict[str, Any]) -> dict[str, Any]:
    train, held = log["train"], {e["step"]: e["loss"] for e in log["validation"]}
    seconds = sum(e["tokens"] / e["tokens_per_s"] for e in train)
    return {
        "first_loss": train[0]["loss"] if train else None,
        "last_loss": train[-1]["loss"] if train else None,
        "held_out_loss": held.get(log["kept_step"]),
        "tokens_per_s": round(sum(e["tokens"] for e in train) / seconds, 1) if seconds else None,
    }


def _rounded(value: float) -> float:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _state(out: Path, step: int) -> dict[str, Any]:
    """Empty where it is missing or cut off."""
    try:
        found: dict[str, Any] = json.loads((path(out, step) / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
