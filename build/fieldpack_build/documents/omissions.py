"""Counts what a reader leaves out of a document, and says it in one line a kind. Knows nothing of
formats."""

from __future__ import annotations

from collections import Counter

AROUND = "words of the site around the content"
_NAMED = 8  # names of a kind in one line
_READ_IT = "knowledge.hidden: read reads it"


def is_routine(warning: str) -> bool:
    """Return whether a sentence of `Omissions` says that the site around a page's content is left
    out, as it is of nearly every page of a site."""
    return AROUND in warning


class Omissions:
    """What was left out, by kind, in the order in which each kind was first met."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._names: dict[str, list[str]] = {}
        self._hidden: set[str] = set()

    def add(self, kind: str, name: str = "", *, count: int = 1, hidden: bool = False) -> None:
        """Count something that was left out.

        `kind` in the plural ("pictures"); `name`: which one, where it has a name. `hidden`:
        `knowledge.hidden` decides.
        """
        self._counts[kind] += count
        if name:
            self._names.setdefault(kind, []).append(name)
        if hidden:
            self._hidden.add(kind)

    def sentences(self) -> tuple[str, ...]:
        """Return one line a kind.

        "not read: 2 hidden sheets (Lists, Old); knowledge.hidden: read reads it".
        """
        lines = []
        for kind, count in self._counts.items():
            names = list(dict.fromkeys(self._names.get(kind, ())))
            listed = ", ".join(names[:_NAMED]) + (
                f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            )
            which = f" ({listed})" if listed else ""
            how = f"; {_READ_IT}" if kind in self._hidden else ""
            what, of, whole = kind.partition(" of ")  # "1 word of hidden text"
            what = what.removesuffix("s") if count == 1 else what
            lines.append(f"not read: {count:,} {what}{of}{whole}{which}{how}")
        return tuple(lines)
