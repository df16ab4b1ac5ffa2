"""MLflow, Weights & Biases, TensorBoard: only when the recipe asks, offline and beside the recipe
unless their own environment variables say otherwise. Writes nothing into a stage's folder, whose
files are sealed when it ends."""

from __future__ import annotations

import importlib.util
import os

from ..errors import MachineError
from ..recipe.schema import Recipe

FOLDER = "runs"


def set_up(recipe: Recipe) -> list[str]:
    """Set the environment of the recipe's trackers, and return their names as transformers has
    them. Raises MachineError for one that is not installed."""
    trackers: list[str] = list(recipe.train.track)  # each is named as its package is
    missing = [name for name in trackers if importlib.util.find_spec(name) is None]
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
    if trackers:
        folder.mkdir(parents=True, exist_ok=True)
    for name in trackers:
        for key, value in defaults[name].items():
            os.environ.setdefault(key, value)
    return trackers
