"""Every reply of a model, written down when it comes: an interrupted stage goes on, and a later one
with other thresholds, or more rows, asks only what was never asked. Knows nothing of what is asked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ..pipeline.store import BEGUN, JOURNAL, fingerprint


class Writer(Protocol):
    """`group`: prompts it takes at a time."""

    @property
    def group(self) -> int: ...
    def write(self, prompts: Sequence[str], most_tokens: int) -> list[str]: ...


class Replies:
    """`source`: what of a model and its settings shapes a reply. `before`: replies from earlier
    runs; `asked`: prompts that were put to it now."""

    def __init__(
        self, out: Path, earlier: Path | None, lineage: str, source: object, writer: Writer
    ) -> None:
        self._source, self._writer = source, writer
        self._path = out / JOURNAL
        self._known = _read(self._path)
        self.asked = 0
        (out / BEGUN).write_text(json.dumps({"lineage": lineage}) + "\n", encoding="utf-8")
        self._file = self._path.open("a", encoding="utf-8")
        self._file.write("\n")  # behind half a line, if there is one
        for key, text in _read(earlier / JOURNAL if earlier else None).items():
            if key not in self._known:  # what an earlier stage paid for stays with the newest
                self._known[key] = text
                self._note(key, text)
        self.before = len(self._known)

    @property
    def group(self) -> int:
        return self._writer.group

    def to(self, prompts: Sequence[str], most_tokens: int) -> list[str]:
        """At most `group` prompts."""
        keys = [fingerprint([self._source, prompt, most_tokens]) for prompt in prompts]
        due = [
            (key, prompt)
            for key, prompt in zip(keys, prompts, strict=True)
            if key not in self._known
        ]
        if due:
            replies = self._writer.write([prompt for _, prompt in due], most_tokens)
            written = [
                text.encode("utf-8", "replace").decode() for text in replies
            ]  # half a surrogate pair fits in no file
            self.asked += len(due)
            for (key, _), text in zip(due, written, strict=True):
                self._known[key] = text
                self._note(key, text)
        return [self._known[key] for key in keys]

    def _note(self, key: str, text: str) -> None:
        self._file.write(json.dumps({"key": key, "text": text}, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _read(path: Path | None) -> dict[str, str]:
    """Half a line at the end is what a killed build was writing."""
    if path is None or not path.exists():
        return {}
    found = {}
    for line in path.read_bytes().split(b"\n"):
        try:
            row: dict[str, Any] = json.loads(line)
            found[row["key"]] = row["text"]
        except (ValueError, KeyError, TypeError):
            continue
    return found
