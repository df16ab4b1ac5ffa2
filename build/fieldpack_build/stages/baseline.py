"""Export the untuned base exactly as the tuned model is exported, so that the report compares like with like."""

from __future__ import annotations

from typing import Any

from ..task import Task
from .base import MODEL
from .export import export_model


def run(task: Task) -> dict[str, Any]:
    return export_model(task, task.inputs["base"] / MODEL)
