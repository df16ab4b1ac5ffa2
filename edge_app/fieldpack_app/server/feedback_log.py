"""Writes ratings and unanswered questions into the state folder, a line each. Knows nothing of HTTP
or of who asks."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from fieldpack import Answer

from ..state import FEEDBACK, append_line
from ..terminal.render import dumps
from .errors import HttpError
from .metrics import Metrics


class FeedbackLog:
    """The file STATE/feedback.jsonl, of at most `max_bytes`. Safe to use from several threads."""

    def __init__(self, state: Path, max_bytes: int, metrics: Metrics) -> None:
        self._path = state / FEEDBACK
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._lock = threading.Lock()

    def write(self, kind: str, bundle: str, fields: Mapping[str, object]) -> None:
        """Append a line. Raises HttpError (503) when the file is full or cannot be written."""
        time = datetime.now(UTC).isoformat(timespec="seconds")
        line = dumps({"kind": kind, "time": time, "bundle": bundle, **fields})
        try:
            with self._lock:
                size = self._path.stat().st_size if self._path.exists() else 0
                if size + len(line.encode("utf-8", "backslashreplace")) > self._max_bytes:
                    raise HttpError(
                        503,
                        "notes_full",
                        f"{self._path} is full; move it away to make room for more",
                    )
                append_line(self._path, line)
        except HttpError:
            self._metrics.count("notes_lost")
            raise
        except OSError as error:
            self._metrics.count("notes_lost")
            raise HttpError(
                503, "notes_lost", f"{self._path}: {error.strerror}; nothing was written"
            ) from None
        self._metrics.count("notes")

    def unanswered(self, bundle: str, answer: Answer) -> None:
        """Write down a refusal: what people ask and the documents do not say. Where there is no
        room, only the metrics say so."""
        passages = [passage.chunk_id for passage in answer.passages]
        with contextlib.suppress(HttpError):
            self.write(
                "unanswered",
                bundle,
                {"question": answer.question, "refused": True, "passages": passages},
            )
