"""Opens a bundle and answers from it with the device's half alone, wherever this Python runs: one line
of JSON on stdin, {"bundle", "questions"}, one line of JSON on stdout."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import fieldpack

DEPTH = 10  # passages of a search


def answer(bundle: Path, questions: list[str]) -> dict[str, Any]:
    """Verify and open the bundle, then search and ask each question. `passages`: where each passage
    stands, best first, with its similarity beside."""
    rows = []
    with fieldpack.open(bundle, threads=1) as expert:  # it hashes every file
        for question in questions:
            passages = expert.search(question, DEPTH)
            said = expert.ask(question)
            rows.append(
                {
                    "passages": [[p.document, p.page, p.start] for p in passages],
                    "similarities": [round(float(p.similarity), 4) for p in passages],
                    "text": said.text,
                    "refused": said.refused,
                    "citations": [[c.document, c.quote] for c in said.citations],
                }
            )
    return {"machine": platform.machine(), "answers": rows}


if __name__ == "__main__":
    wanted = json.loads(sys.stdin.readline())
    print(json.dumps(answer(Path(wanted["bundle"]), wanted["questions"])), flush=True)
    os._exit(0)  # genai's threads need seconds to end by themselves
