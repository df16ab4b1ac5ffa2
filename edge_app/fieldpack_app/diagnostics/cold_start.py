"""Measures one cold start, in a process of its own: `python -m fieldpack_app.diagnostics.cold_start
SPEC` opens a bundle, asks one question and prints the moments of what happened, as JSON. The parent
subtracts the moment at which it started this process: both read CLOCK_MONOTONIC."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass

from fieldpack import Done, QuoteFound, TextPiece
from fieldpack import open as open_bundle
from fieldpack.memory import peak_bytes


@dataclass(frozen=True, slots=True)
class ColdStartSpec:
    """What the child is to do."""

    bundle: str
    question: str
    provider: str
    threads: int | None


@dataclass(frozen=True, slots=True)
class ColdStart:
    """What the child measured. Moments are of CLOCK_MONOTONIC; `quote_at` is None without a
    quote."""

    opened_at: float
    hashing_s: float
    loaded_at: float
    first_at: float
    first_token_ms: float
    quote_at: float | None
    peak_bytes: int


def main() -> None:
    """Open the bundle of the command line's spec, ask, and print what was measured."""
    spec = ColdStartSpec(**json.loads(sys.argv[1]))
    started = time.monotonic()
    expert = open_bundle(spec.bundle, provider=spec.provider, threads=spec.threads)
    opened = time.monotonic()
    expert.load()
    loaded = time.monotonic()
    quote_at = first_at = None
    first_token_ms = 0.0
    for event in expert.stream(spec.question):
        if isinstance(event, QuoteFound):
            quote_at = time.monotonic()
        elif isinstance(event, TextPiece):
            first_at = first_at or time.monotonic()
        elif isinstance(event, Done):
            first_token_ms = event.answer.timings.first_token_ms
            if event.answer.quote is not None:
                quote_at = quote_at or first_at  # the answer is the quote
    assert first_at is not None, "every answer has text"
    measured = ColdStart(
        opened, opened - started, loaded, first_at, first_token_ms, quote_at, peak_bytes()
    )
    print(json.dumps(asdict(measured)), flush=True)
    os._exit(0)  # genai's threads take their time to end, which is no part of a start


if __name__ == "__main__":
    main()
