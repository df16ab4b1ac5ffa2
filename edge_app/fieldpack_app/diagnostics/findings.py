"""What a check found, and how it is said. Knows nothing of what is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import click

from ..terminal.render import colours, printable

Level = Literal["ok", "note", "warning", "wrong", "damaged"]
_COLOURS = {"ok": "green", "note": "blue", "warning": "yellow", "wrong": "red", "damaged": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`warning`: slower or other than it was measured. `wrong`: it will not work, or not well,
    before something is done. `damaged`: the bundle itself. `advice`: what to do. `facts`: the
    figures, for JSON."""

    name: str
    level: Level
    says: str
    advice: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def lines(self) -> str:
        level = f"{self.level:<7}"
        shown = click.style(level, fg=_COLOURS[self.level]) if colours() else level
        text = f"{shown}  {self.name:<10}  {' '.join(printable(self.says).split())}"
        return text + (f"\n{'':<21}-> {printable(self.advice)}" if self.advice else "")


def exit_code(findings: list[Finding]) -> int:
    """0 healthy, 1 something hinders, 3 the bundle is damaged."""
    levels = {finding.level for finding in findings}
    return 3 if "damaged" in levels else 1 if "wrong" in levels else 0
