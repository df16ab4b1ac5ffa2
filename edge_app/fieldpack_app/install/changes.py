"""What an update changed for a reader: documents added, changed, removed, and the report's figures
before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fieldpack import BundleError, read_manifest
from fieldpack.index.reader import library_documents

from ..info import at, read_report
from .state import Installed
from .store import Store

_FIGURES = ("f1", "value_match", "refused_right", "refused_wrong", "citations_valid")
_SHOWN = 5  # names of each kind in a line


@dataclass(frozen=True, slots=True)
class Changes:
    """`added`, `changed`, `removed`: documents' paths. `figures`: name -> (before, now), of those
    that both reports have."""

    before: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    figures: Mapping[str, tuple[float, float]]

    def counts(self) -> dict[str, object]:
        """Return how many documents there are of each kind, and the figures, as plain values."""
        return {
            "before": self.before,
            "added": len(self.added),
            "changed": len(self.changed),
            "removed": len(self.removed),
            "figures": {name: list(pair) for name, pair in self.figures.items()},
        }

    def lines(self) -> list[str]:
        """One line for each kind of change; none where the documents are the same."""
        texts = []
        for word, names in (
            ("added", self.added),
            ("changed", self.changed),
            ("removed", self.removed),
        ):
            if names:
                more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
                documents = "document" if len(names) == 1 else "documents"
                listed = ", ".join(names[:_SHOWN])
                texts.append(f"{len(names):,} {documents} {word}: {listed}{more}")
        texts += [
            f"{name.replace('_', ' ')}: {then:.3g} -> {now:.3g}"
            for name, (then, now) in self.figures.items()
            if then != now
        ]
        return texts


def changes_of(store: Store, entry: Installed) -> Changes | None:
    """Return what the current release of a bundle changed against the one before it, from the two
    on the disk; None where there is none before it, or the device went back to this one."""
    before = entry.previous
    if before is None or before.number >= entry.current.number:
        return None
    if not store.slot(before.digest).is_dir():
        return None
    return compare_documents(store.slot(before.digest), store.slot(entry.current.digest))


def compare_documents(old: Path, new: Path) -> Changes | None:
    """Compare two bundles' libraries and reports; None where the old one cannot be read any
    more."""
    try:
        before, version = _documents(old), read_manifest(old).version
        was = _figures(old)
    except BundleError:
        return None
    now, figures = _documents(new), _figures(new)
    return Changes(
        version,
        added=tuple(sorted(set(now) - set(before))),
        changed=tuple(sorted(path for path in now if path in before and before[path] != now[path])),
        removed=tuple(sorted(set(before) - set(now))),
        figures={
            name: (was[name], figures[name]) for name in _FIGURES if name in was and name in figures
        },
    )


def _documents(bundle: Path) -> dict[str, str]:
    """Path -> SHA-256; empty in a bundle without knowledge."""
    if not read_manifest(bundle).has("knowledge"):
        return {}
    return {record.path: record.sha256 for record in library_documents(bundle / "knowledge")}


def _figures(bundle: Path) -> dict[str, float]:
    report = read_report(bundle, read_manifest(bundle)) or {}
    arm = at(report, "arms", str(report.get("shipped")))
    return {
        name: float(value) for name in _FIGURES if isinstance(value := arm.get(name), int | float)
    }
