"""Questions that travel with a bundle, with what it answered where it was built: golden.json.
Written by the build, asked anew on the device. Knows nothing of how the questions are chosen or
asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..answers import Answer
from ..errors import BundleCorrupt
from ..untrusted import typed

FILENAME = "golden.json"


@dataclass(frozen=True, slots=True)
class Golden:
    """`document`: that of the best passage, None in a bundle without knowledge."""

    question: str
    answer: str
    refused: bool
    document: str | None

    def differs(self, answer: Answer) -> str | None:
        """What another processor's rounding does not explain: "refusal", "document"; "text" for
        what it may; else None."""
        found = answer.passages[0].document if answer.passages else None
        if answer.refused != self.refused:
            return "refusal"
        if found != self.document:
            return "document"
        return None if answer.text == self.answer else "text"


def write_golden(folder: Path, questions: Sequence[Golden]) -> None:
    data = {"questions": [asdict(question) for question in questions]}
    (folder / FILENAME).write_text(
        json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def read_golden(folder: Path) -> list[Golden]:
    """Empty where the bundle has none. Raises BundleCorrupt."""
    path = folder / FILENAME
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["questions"]
        return [
            typed(
                Golden, {name: row[name] for name in ("question", "answer", "refused", "document")}
            )
            for row in rows
        ]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise BundleCorrupt(f"{path}: {error}; copy the bundle again") from None
