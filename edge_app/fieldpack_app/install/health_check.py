"""Opens a bundle and everything in it, asks the questions that it brings, and prints what came of
it as JSON: `python -m fieldpack_app.install.health_check FOLDER`. A process of its own: what a new
release does to it, even end it by a signal, the installer sees and survives."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from fieldpack import FieldpackError
from fieldpack import open as open_bundle
from fieldpack.bundle.golden import read_golden

from .health import Health


def check(folder: Path) -> Health:
    """Raises FieldpackError where it does not open or a question cannot be answered."""
    started = time.monotonic()
    with open_bundle(folder) as expert:
        expert.load()
        golden = read_golden(folder)
        differ = [
            one.question
            for one in golden
            if one.differs(expert.ask(one.question)) in ("refusal", "document")
        ]
        if not golden and expert.manifest.has("knowledge"):
            expert.search("What is this about?")
    return Health(len(golden), tuple(differ), round(time.monotonic() - started, 2))


def main() -> None:
    """Check the bundle that the first argument names and print what came of it as one line of
    JSON."""
    if hasattr(os, "nice"):
        os.nice(10)  # a server that answers beside it comes first
    try:
        health = check(Path(sys.argv[1]))
    except FieldpackError as error:
        print(json.dumps({"error": str(error)}))
        raise SystemExit(1) from None
    print(json.dumps(health.to_dict()))


if __name__ == "__main__":
    main()
