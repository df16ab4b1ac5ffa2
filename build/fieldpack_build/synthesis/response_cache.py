"""Every reply of a model, written down when it comes: an interrupted stage goes on, and a later one
with other thresholds, or more rows, asks only what was never asked. Knows nothing of what is asked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ..pipeline.store import BEGUN, JOURNAL, fingerprint


class Writer(Protocol):
    """What writes: `Endpoint` or `LocalModel`. `group`: prompts that it takes at a time."""

    @property
    def group(self) -> int:
        """Prompts that it takes at a time."""

    def write(self, prompts: Sequence[str], max_tokens: int) -> list[str]:
        """Return a reply for each prompt, of at most `max_tokens` tokens."""


class ResponseCache:
    """The replies of a model, in the folder `out`.

    `previous`: a folder of an earlier run, whose replies are taken over. `source`: what of a model
    and its settings shapes a reply. `loaded`: replies from earlier runs; `new`: prompts that were
    put to the model now."""

    def __init__(
        self, out: Path, previous: Path | None, lineage: str, source: object, writer: Writer
    ) -> None:
        self._source, self._writer = source, writer
        self._path = out / JOURNAL
        self._known = _read(self._path)
        self.new = 0
        (out / BEGUN).write_text(json.dumps({"lineage": lineage}) + "\n", encoding="utf-8")
        self._file = self._path.open("a", encoding="utf-8")
        self._file.write("\n")  # behind half a line, if there is one
        for key, text in _read(previous / JOURNAL if previous else None).items():
            if key not in self._known:  # what an earlier stage paid for stays with the newest
                self._known[key] = text
                self._note(key, text)
        self.loaded = len(self._known)

    @property
    def group(self) -> int:
        """Prompts that the model takes at a time."""
        return self._writer.group

    def replies(self, prompts: Sequence[str], max_tokens: int) -> list[str]:
        """Return a reply for each of at most `group` prompts; what is not known yet is asked."""
        keys = [fingerprint([self._source, prompt, max_tokens]) for prompt in prompts]
        due = [
            (key, prompt)
            for key, prompt in zip(keys, prompts, strict=True)
            if key not in self._known
        ]
        if due:
            replies = self._writer.write([prompt for _, prompt in due], max_tokens)
            # half a surrogate pair fits in no file
            written = [text.encode("utf-8", "replace").decode() for text in replies]
            self.new += len(due)
            for (key, _), text in zip(due, written, strict=True):
                self._known[key] = text
                self._note(key, text)
        return [self._known[key] for key in keys]

    def _note(self, key: str, text: str) -> None:
        self._file.write(json.dumps({"key": key, "text": text}, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the journal."""
        self._file.close()


def _read(path: Path | None) -> dict[str, str]:
    """Read a journal, key -> text. Half a line at its end is what a killed build was writing."""
    if path is None or not path.exists():
        return {}
    texts: dict[str, str] = {}
    for line in path.read_bytes().split(b"\n"):
        try:
            row = json.loads(line)
            texts[row["key"]] = row["text"]
        except (ValueError, KeyError, TypeError):
            continue
    return texts
