"""The findings of checks, and how they are printed. Knows nothing of what is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypedDict

import click

from ..terminal.render import colours, printable

Level = Literal["ok", "note", "warning", "wrong", "damaged"]
_COLOURS = {"ok": "green", "note": "blue", "warning": "yellow", "wrong": "red", "damaged": "red"}


class FindingJson(TypedDict):
    """A finding in the JSON of `fieldpack doctor`."""

    name: str
    level: Level
    says: str
    advice: str
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has to say. `level`: ok; note; warning, where something is slower or other than
    it was measured; wrong, where it will not work, or not well, before something is done; damaged,
    where it is the bundle itself. `advice`: what to do. `facts`: the figures, for JSON."""

    name: str
    level: Level
    says: str
    advice: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)

    def to_dict(self) -> FindingJson:
        """Return the finding as JSON."""
        return {
            "name": self.name,
            "level": self.level,
            "says": self.says,
            "advice": self.advice,
            "facts": self.facts,
        }

    def lines(self) -> str:
        """Return the finding as a line for a person, and one of advice if there is any."""
        level = f"{self.level:<7}"
        shown = click.style(level, fg=_COLOURS[self.level]) if colours() else level
        text = f"{shown}  {self.name:<10}  {' '.join(printable(self.says).split())}"
        return text + (f"\n{'':<21}-> {printable(self.advice)}" if self.advice else "")


def exit_code(findings: list[Finding]) -> int:
    """Return what the command ends with: 0 healthy, 1 something is wrong, 3 the bundle is
    damaged."""
    levels = {finding.level for finding in findings}
    return 3 if "damaged" in levels else 1 if "wrong" in levels else 0
