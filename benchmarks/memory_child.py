"""Opens one bundle in a process of its own, fills its context, and says how much memory that took.

Asked by benchmarks/memory.py: {"bundle", "limit_mb", "cgroup"}; megabytes are of 10^6 bytes.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, TypedDict

from fieldpack.child import answer_parent


class Question(TypedDict):
    """`limit_mb`: what `fieldpack.open(memory_mb=...)` is given; None for no limit. `cgroup`: the
    folder of a cgroup to join first."""

    bundle: str
    limit_mb: float | None
    cgroup: str | None


def measure(question: Question) -> dict[str, Any]:
    """Search, then answer the longest question that the bundle takes, and return the memory after
    each step with what the runtime predicts for this context."""
    if question["cgroup"]:
        (Path(question["cgroup"]) / "cgroup.procs").write_text(str(os.getpid()))
    import fieldpack
    from fieldpack.memory import budget_of, peak_bytes

    folder = Path(question["bundle"])
    steps = {}
    with fieldpack.open(folder, memory_mb=question["limit_mb"]) as expert:
        steps["opened"] = peak_bytes() / 1e6
        longest = _longest_question(folder, expert.settings.max_question_chars)
        expert.search(longest[:200])
        steps["searched"] = peak_bytes() / 1e6
        expert.load()
        steps["loaded"] = peak_bytes() / 1e6
        timings = expert.ask(longest).to_dict()["timings"]
        context = expert.settings.max_context
        predicted = budget_of(folder, expert.manifest).needed(context)
    return {
        "context": context,
        "predicted_mb": round(predicted, 1),
        "peak_mb": round(peak_bytes() / 1e6, 1),
        "steps_mb": {name: round(value, 1) for name, value in steps.items()},
        "prompt_tokens": timings["prompt_tokens"],
        "tokens": timings["tokens"],
    }


def _longest_question(folder: Path, characters: int) -> str:
    """Return words of the bundle's own documents, as many as a question may have."""
    path = folder / "knowledge" / "chunks.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT text FROM chunks ORDER BY length(text) DESC, id LIMIT 40")
        text = " ".join(" ".join(row[0].split()) for row in rows)
    return text[: characters - 1] + "?"


if __name__ == "__main__":
    answer_parent(measure)
