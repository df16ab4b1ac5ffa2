"""One of several training processes: `torchrun ... --module fieldpack_build.training.worker
FOLDER`, where the folder holds the job and its rows. Events go to stdout as JSON lines, what
libraries print to stderr."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from ..child_process import EventChannel
from ..errors import BuildError
from .events import TrainingEvent
from .job import Job
from .memory import OutOfMemory

_WATCH = 0.5  # seconds between looks at the parent
_MAX_MESSAGE = 2000  # characters of an error: all processes write into one pipe


def main(folder: Path) -> None:
    """Train the job in `folder` as the rank that torchrun's environment names, then leave."""
    from ..models import causal_lm

    channel = EventChannel(max_message=_MAX_MESSAGE)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    channel.report_uncaught(
        cache=folder.parent, log=folder.parent / "log.txt", event="uncaught", leave=True
    )
    causal_lm.quiet()
    from .engine import train_in_process

    def send(event: TrainingEvent) -> None:
        if os.environ["RANK"] == "0":
            channel.send(event)

    try:
        train_in_process(*Job.read(folder), on_event=send)
    except OutOfMemory as error:
        channel.send_error(error, event="memory")
        os._exit(1)  # the others wait for this one in a collective: torchrun ends them
    except BuildError as error:
        channel.send_error(error)
        os._exit(1)
    import torch

    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def _end_with(parent: int) -> None:
    """End this process when its parent has ended: torchrun gives each rank a session of its own,
    which a kill of ours does not reach."""
    while os.getppid() == parent:
        time.sleep(_WATCH)
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
