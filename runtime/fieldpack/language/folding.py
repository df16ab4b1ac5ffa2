"""Words compared without regard to case and accents."""

from __future__ import annotations

import unicodedata
from functools import lru_cache


def fold(word: str) -> str:
    """Return a word in lower case, and without accents unless its letters are Cyrillic (й is no и
    with an accent) or of a script that writes vowels as marks."""
    return "".join(map(_folded, word.casefold()))


@lru_cache(4096)
def _folded(letter: str) -> str:
    base = unicodedata.normalize("NFD", letter)[0]
    return base if base < "\u0400" else letter
