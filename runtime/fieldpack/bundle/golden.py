"""The golden questions of a bundle, with what it answered where it was built: golden.json. The build
writes them, the device asks them again. Knows nothing of how they are chosen or asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..answers import Answer
from ..errors import BundleCorrupt
from ..untrusted import typed

FILENAME = "golden.json"


@dataclass(frozen=True, slots=True)
class Golden:
    """A question and its answer. `document`: that of the best passage, None in a bundle without
    knowledge. `example`: the page may propose it; older bundles do not say."""

    question: str
    answer: str
    refused: bool
    document: str | None
    example: bool = True

    def differs(self, answer: Answer) -> str | None:
        """Return how `answer` differs: "refusal" or "document", which another processor's rounding
        does not explain, or "text", which it may; None where it is the same."""
        if answer.refused != self.refused:
            return "refusal"
        if (answer.passages[0].document if answer.passages else None) != self.document:
            return "document"
        return None if answer.text == self.answer else "text"


def write_golden(folder: Path, questions: Sequence[Golden]) -> None:
    """Write golden.json into `folder`."""
    data = {"questions": [asdict(question) for question in questions]}
    (folder / FILENAME).write_text(
        json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def read_golden(folder: Path) -> list[Golden]:
    """Return the golden questions of a bundle; none where it has no file of them. Raises
    BundleCorrupt."""
    path = folder / FILENAME
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["questions"]
        names = [field.name for field in fields(Golden)]
        return [
            typed(Golden, {name: row[name] for name in names if name != "example" or name in row})
            for row in rows
        ]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise BundleCorrupt(f"{path}: {error}; copy the bundle again") from None
