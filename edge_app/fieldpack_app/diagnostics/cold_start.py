"""One cold start, in a process of its own: `python -m fieldpack_app.diagnostics.cold_start SPEC`
opens a bundle, asks one question and prints when what happened, as JSON. The parent subtracts the
moment at which it started this process: both read CLOCK_MONOTONIC."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from fieldpack import Done, QuoteFound, TextPiece
from fieldpack import open as open_bundle

from .machine import peak_memory


def main() -> None:
    spec: dict[str, Any] = json.loads(sys.argv[1])
    started = time.monotonic()
    expert = open_bundle(spec["bundle"], provider=spec["provider"], threads=spec["threads"])
    opened = time.monotonic()
    expert.load()
    said: dict[str, Any] = {
        "opened_at": opened,
        "hashing_s": opened - started,
        "loaded_at": time.monotonic(),
    }
    for event in expert.stream(spec["question"]):
        if isinstance(event, QuoteFound):
            said["quote_at"] = time.monotonic()
        elif isinstance(event, TextPiece):
            said.setdefault("first_at", time.monotonic())
        elif isinstance(event, Done):
            said |= {
                "done_at": time.monotonic(),
                "first_token_ms": event.answer.timings.first_token_ms,
            }
            if event.answer.quote is not None:
                said.setdefault("quote_at", said["first_at"])  # the answer is the quote
    print(json.dumps({**said, "peak_bytes": peak_memory()}), flush=True)
    os._exit(0)  # genai's threads take their time to end, which is no part of a start


if __name__ == "__main__":
    main()
