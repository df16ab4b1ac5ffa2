"""MLflow, Weights & Biases, TensorBoard: only when the recipe asks, offline and beside the recipe
unless their own environment variables say otherwise. Writes nothing into a stage's folder, whose
files are sealed when it ends."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence

from ..errors import MachineError
from ..recipe.schema import Recipe

FOLDER = "runs"
_PACKAGES = {"mlflow": "mlflow", "wandb": "wandb", "tensorboard": "tensorboard"}


def set_up(recipe: Recipe) -> list[str]:
    """The trackers by transformers' names, their environment set. Raises MachineError for one that
    is not installed."""
    wanted: Sequence[str] = recipe.train.track
    missing = [name for name in wanted if importlib.util.find_spec(_PACKAGES[name]) is None]
    if missing:
        raise MachineError(
            f"train.track: {', '.join(missing)} not installed; pip install {' '.join(missing)}"
        )
    folder = recipe.path(FOLDER).resolve()
    defaults = {
        "wandb": {
            "WANDB_MODE": "offline",
            "WANDB_DIR": str(folder),
            "WANDB_PROJECT": recipe.name,
            "WANDB_SILENT": "true",
        },
        "mlflow": {
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "MLFLOW_EXPERIMENT_NAME": recipe.name,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
        },
        "tensorboard": {
            "TENSORBOARD_LOGGING_DIR": str(
                folder / "tensorboard" / f"{recipe.name}-{recipe.version}"
            )
        },
    }
    if wanted:
        folder.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        for key, value in defaults[name].items():
            os.environ.setdefault(key, value)
    return list(wanted)
