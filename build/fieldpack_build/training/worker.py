"""One of several training processes: `torchrun ... --module fieldpack_build.training.worker
FOLDER`, where the folder holds the job and its rows. Events go to stdout as JSON lines, what
libraries print to stderr."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import BuildError
from ..uncaught import as_build_error
from .job import Job
from .memory import OutOfMemory

_WATCH = 0.5  # seconds between looks at the parent


def main(folder: Path) -> None:
    from ..models import causal_lm

    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()

    def send(event: dict[str, Any]) -> None:
        channel.write(json.dumps(event) + "\n")
        channel.flush()

    def report(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """What Python calls for an exception that nothing caught."""
        sys.__excepthook__(kind, error, trace)
        meant = as_build_error(error, cache=folder.parent, log=folder.parent / "log.txt")
        send({"event": "uncaught", "kind": type(meant).__name__, "message": str(meant)[:2000]})
        sys.stderr.flush()
        os._exit(1)

    sys.excepthook = report
    causal_lm.quiet()
    from .engine import attempt

    first = os.environ["RANK"] == "0"
    try:
        attempt(*Job.read(folder), say=send if first else lambda event: None)
    except OutOfMemory as error:
        send({"event": "memory", "message": str(error)[:1000]})
        os._exit(1)  # the others wait for this one in a collective: torchrun ends them
    except BuildError as error:
        send({"event": "error", "kind": type(error).__name__, "message": str(error)[:2000]})
        os._exit(1)
    _leave()


def _leave() -> None:
    import torch

    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def _end_with(parent: int) -> None:
    """torchrun gives each rank a session of its own, which a kill of ours does not reach."""
    while os.getppid() == parent:
        time.sleep(_WATCH)
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
