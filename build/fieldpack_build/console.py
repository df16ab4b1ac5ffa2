"""What a person sees of a build: a line a stage, a bar with the time left, plain lines where there
is no terminal. Knows nothing of how stages work."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from .ingest import table
from .ingest.summary import LibraryResult
from .pipeline.events import ProgressEvent, StageEvent
from .pipeline.plan import Step
from .pipeline.run import Listener
from .pipeline.store import Receipt
from .stages.results import summary

_EVERY = 15.0  # seconds between plain progress lines
_WIDE = 110  # columns of a terminal that has room for a long bar beside what it is at


def duration(seconds: float) -> str:
    """Say seconds as "8.2 s", "3 min 20 s" or "2 h 05 min"."""
    if seconds < 59.95:  # what rounds to 60.0 s is a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02d} s"
        if minutes < 60
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )


def say(text: str) -> None:
    """Print a line on stderr: stdout is for `--json`."""
    print(text, file=sys.stderr, flush=True)


class PlainConsole(Listener):
    """For logs and pipes: stage begun, where it is every 15 seconds, stage done."""

    def __init__(self) -> None:
        self._last = 0.0
        self._begun = 0.0
        self._done, self._counted = 0.0, ""

    def skipped(self, step: Step) -> None:
        """Say that a stage was done before; nothing of one that `--only` leaves out."""
        if step.receipt is not None:
            say(f"  {step.name:<10} done before ({step.key[:12]})")

    def started(self, step: Step, number: int, total: int) -> None:
        """Say what a stage does."""
        self._begun = self._last = time.monotonic()
        self._done, self._counted = 0.0, ""
        say(f"  {step.name:<10} [{number}/{total}] {step.stage.does}")

    def event(self, step: Step, event: StageEvent) -> None:
        """Say lines and warnings at once, and every 15 seconds how far a stage is."""
        if event["event"] == "warning":
            say(f"  {step.name:<10} warning: {event['text']}")
        elif event["event"] == "say":
            say(f"  {step.name:<10} {event['text']}")
        elif event["event"] == "progress":
            if self._counts_anew(event):
                self._begun = time.monotonic()
            if time.monotonic() - self._last >= _EVERY:
                self._last = time.monotonic()
                say(f"  {step.name:<10} {_count(event)} {event['note']}{self._left(event)}")

    def finished(self, step: Step, receipt: Receipt) -> None:
        """Say what a stage took and came to."""
        say(
            f"  {step.name:<10} done in {duration(receipt.seconds)}, {receipt.peak_rss_mb:,.0f} "
            f"MB; {summary(step.name, receipt.result)}"
        )
        if step.name == "knowledge":
            show_library(receipt.result, indent=13)

    def _counts_anew(self, event: ProgressEvent) -> bool:
        """Whether a stage counts another thing than before, so that the time left is that one's."""
        counted = event["note"].partition(" ")[0].rstrip(",;")  # "steps, loss 1.2": figures change
        anew = event["done"] < self._done or self._counted not in ("", counted)
        self._done, self._counted = event["done"], counted
        return anew

    def _left(self, event: ProgressEvent) -> str:
        """The time left as a clause; nothing where nothing is done yet, or all is."""
        left = event.get("left")  # of a stage that knows: what an earlier run did took no time now
        if left is None and 0 < event["done"] < event["total"]:
            spent = time.monotonic() - self._begun
            if spent < 1:  # the first of another thing: no speed is known yet
                return ""
            left = spent / event["done"] * (event["total"] - event["done"])
        return "" if left is None else f", about {duration(left)} left"


def _count(event: ProgressEvent) -> str:
    """ "1,234/17,344", with "~" before a total that is a guess, or what the stage says itself."""
    if count := event.get("count"):
        return count
    return f"{event['done']:,.0f}/{'~' if event.get('guess') else ''}{event['total']:,.0f}"


class BarConsole(PlainConsole):
    """The same on a terminal, with a live bar for the stage at work."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            SpinnerColumn,
            Task,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.table import Column
        from rich.text import Text

        class Note(TextColumn):
            """What a stage is at, on one line: it is cut where a terminal is narrow, and not the
            times beside it."""

            def render(self, task: Task) -> Text:
                text = super().render(task)
                text.no_wrap, text.overflow = True, "ellipsis"
                return text

        class Left(TimeRemainingColumn):
            """The time left that a stage states, else what its pace so far tells."""

            def render(self, task: Task) -> Text:
                if (left := task.fields.get("left")) is None:
                    return super().render(task)
                return Text(str(timedelta(seconds=round(left))), style="progress.remaining")

        console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=28 if console.width >= _WIDE else 10),
            Note("{task.fields[count]} {task.fields[note]}", table_column=Column()),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            TextColumn("left"),
            Left(table_column=Column(no_wrap=True)),
            console=console,
            transient=True,
        )
        self._bar: Any = None

    def started(self, step: Step, number: int, total: int) -> None:
        """Say what a stage does, and start its bar."""
        super().started(step, number, total)
        self._progress.start()
        self._bar = self._progress.add_task(step.name, total=1, count="", note=step.stage.does)

    def event(self, step: Step, event: StageEvent) -> None:
        """Move the bar; say lines and warnings above it."""
        if event["event"] == "progress":
            shown: dict[str, Any] = {
                "count": _count(event),
                "note": event["note"],
                "left": event.get("left"),
            }
            if self._counts_anew(event):
                self._progress.reset(self._bar, total=event["total"], **shown)
            self._progress.update(self._bar, completed=event["done"], total=event["total"], **shown)
        elif event["event"] == "note":
            self._progress.reset(self._bar, total=1, count="", note=event["text"], left=None)
        else:
            super().event(step, event)

    def finished(self, step: Step, receipt: Receipt) -> None:
        """Take the bar away and say what the stage took and came to."""
        self._close()
        super().finished(step, receipt)

    def stopped(self, step: Step) -> None:
        """Take the bar away."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._progress.remove_task(self._bar)
            self._bar = None
        self._progress.stop()


def show_library(result: Mapping[str, Any], *, indent: int = 0) -> None:
    """Print the table of what was read and what was not, on stderr."""
    shown = cast(LibraryResult, result)
    if sys.stderr.isatty():
        table.print_rich(shown)
        return
    for line in table.lines(shown):
        say(" " * indent + line)


def make_console() -> Listener:
    """Return a bar for a terminal, plain lines for a pipe or a log."""
    return BarConsole() if sys.stderr.isatty() else PlainConsole()
