"""Compound words: where one may be cut into the words that it is made of, and how two words are
joined to one. "Kündigungsfrist" is Kündigung, a linking s, and Frist.

Which of the ways is right is for a library's own words to say: Koehn & Knight, "Empirical methods
for compound splitting" (2003), do it by a corpus, and so does `index.compound_terms`. A stem costs
50 us, so a word is stemmed once, and not at each of its letters. Knows nothing of indexes.
"""

from __future__ import annotations

from collections.abc import Iterator

from .analysis import analyzer
from .folding import fold

# What stands between the parts, by language, besides nothing at all (Duden, "Fugenelement").
_LINKS = {"de": ("s", "es", "n", "en", "e", "er")}
COMPOUNDING = frozenset(_LINKS)
"""Languages whose compounds are cut and joined."""

# A stem leaves "Bildung" as it is and makes "schimmelbild" of Schimmelbildung. Behind a word of two
# syllables every ending is one to Snowball, which looks for them in a word's later part alone.
_HEAD_OF_TWO = "abend"
_SHORTEST = 3  # letters of a part: Tür, Weg
_LEAST, _MOST = 7, 40  # letters of a word that is cut


def cuts(word: str, language: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the ways to cut a word in two: the letters of its first part, linking letters included,
    and the terms that the second part may be in the index: with all of its ending, or less."""
    if not word.isalpha() or not _LEAST <= len(word) <= _MOST:
        return
    letters, stem = _folded(word, language), analyzer(language).stem(word)
    ends = range(len(stem) if letters.startswith(stem) else len(letters), len(letters) + 1)
    for at in range(_SHORTEST, ends[0] - _SHORTEST + 1):
        yield letters[:at], tuple(letters[at:end] for end in ends)


def joined(first: str, second: str, language: str) -> Iterator[str]:
    """Yield the compounds of two words, as the index may have them: the first one as it is, as its
    stem (Mahngebühr has that of Mahnung), and without what may be an ending, each with any linking
    letters; then the second one."""
    if not (first.isalpha() and second.isalpha() and min(len(first), len(second)) >= _SHORTEST):
        return
    links = _LINKS[language]
    letters = _folded(first, language)
    bases = {letters, *_stems(first, language)}
    bases |= {letters.removesuffix(link) for link in links if len(letters) - len(link) >= _SHORTEST}
    for head in sorted({base + link for base in bases for link in ("", *links)}):
        for tail in sorted(_stems(second, language)):
            yield head + tail


def _stems(word: str, language: str) -> set[str]:
    """Return a word's stem, and what its stem is at the end of a longer word."""
    stem = analyzer(language).stem
    return {stem(word), stem(_HEAD_OF_TWO + word).removeprefix(_HEAD_OF_TWO)}


def _folded(word: str, language: str) -> str:
    """Return a word's letters as its language's stems have them: ß as ss, ü and ue as u."""
    stem = analyzer(language).stem
    letters = fold(word)
    if letters.startswith(stem(word)):
        return letters
    return stem(word + _HEAD_OF_TWO).removesuffix(_HEAD_OF_TWO)
