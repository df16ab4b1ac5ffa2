"""The decimal mark that is usual in a language. Knows nothing of figures or texts."""

from __future__ import annotations

from collections.abc import Collection

from .analysis import PLAIN

# A comma in all the others that the index has a way for (Unicode CLDR 46, symbols-numberSystem-latn).
_POINT = frozenset((PLAIN, "ja", "ko", "th", "zh"))


def decimal_mark(languages: Collection[str]) -> str | None:
    """Return the decimal mark, "." or ",", that is usual in all of a library's languages; None where
    they differ or there are none. A document in none of the languages that are indexed in a way of
    their own counts as English. In Switzerland and in Latin America a point is usual in languages
    that have a comma here: figures that show it outrank this."""
    marks = {"." if language in _POINT else "," for language in languages}
    return marks.pop() if len(marks) == 1 else None
