"""Opens one IR as an NPU's static pipeline, emulated on the CPU, and reads and writes a token with it.
Runs by its path, with OpenVINO GenAI on its import path.

Asked by `openvino_ir.static_failure`: {"folder", "max_prompt", "max_answer"}; it answers with what
went wrong, empty where nothing did.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from fieldpack.child import answer_parent
from fieldpack.errors import FieldpackError
from fieldpack.generation.openvino import OpenVinoGenerator, StaticShape


class Question(TypedDict):
    """`folder`: of the IR. `max_prompt`, `max_answer`: tokens that the shapes are compiled for."""

    folder: str
    max_prompt: int
    max_answer: int


def failure(question: Question) -> str:
    """Return why the IR does not open and answer in static shapes; empty where it does."""
    shape = StaticShape(question["max_prompt"], question["max_answer"], emulated=True)
    try:
        generator = OpenVinoGenerator.open(
            Path(question["folder"]), device="NPU", max_context=shape.total, static=shape
        )
        for _ in generator.stream("One", max_new_tokens=1, max_context=shape.total):
            pass
    except FieldpackError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    answer_parent(failure)
