"""What a command has done with one bundle, for people and for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .changes import Changes
from .health import Health


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done with one bundle. `action`: installed, updated, unchanged, waiting (its share of
    devices does not include this one yet), rolled back. `copied`: bytes that came from the source,
    of `size`."""

    name: str
    action: str
    version: str
    number: int
    size: int = 0
    copied: int = 0
    seconds: float = 0.0
    health: Health | None = None
    changes: Changes | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, for JSON."""
        return asdict(self)
