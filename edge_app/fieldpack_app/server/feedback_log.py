"""Ratings and questions without an answer, a line each in the state folder. Knows nothing of HTTP
or of who asks."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fieldpack import Answer

from ..state import FEEDBACK, append_line
from ..terminal.render import dumps
from .errors import HttpError
from .metrics import Metrics


class FeedbackLog:
    """Appends to STATE/feedback.jsonl until that holds `most` bytes. Safe to use from several
    threads."""

    def __init__(self, state: Path, most: int, metrics: Metrics) -> None:
        self._path = state / FEEDBACK
        self._most = most
        self._metrics = metrics
        self._lock = threading.Lock()

    def write(self, kind: str, bundle: str, fields: dict[str, Any]) -> None:
        """Raises HttpError (503) when the file is full or cannot be written."""
        time = datetime.now(UTC).isoformat(timespec="seconds")
        line = dumps({"kind": kind, "time": time, "bundle": bundle, **fields})
        try:
            with self._lock:
                self._append(line)
        except HttpError:
            self._metrics.count("notes_lost")
            raise
        self._metrics.count("notes")

    def unanswered(self, bundle: str, answer: Answer) -> None:
        """A refusal: what people ask and the documents do not say. Where there is no room, the
        metrics alone tell."""
        passages = [passage.chunk_id for passage in answer.passages]
        with contextlib.suppress(HttpError):
            self.write(
                "unanswered",
                bundle,
                {"question": answer.question, "refused": True, "passages": passages},
            )

    def _append(self, line: str) -> None:
        try:
            if self._size() + len(line.encode("utf-8", "backslashreplace")) > self._most:
                raise HttpError(
                    503, "notes_full", f"{self._path} is full; move it away to make room for more"
                )
            append_line(self._path, line)
        except OSError as error:
            raise HttpError(
                503, "notes_lost", f"{self._path}: {error.strerror}; nothing was written"
            ) from None

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0
