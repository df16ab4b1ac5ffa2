"""Hyphens at the ends of lines: whether the word goes on without one, "mainte-" and "nance", or
keeps it, "price-" and "determining".

What the document itself says comes first: the word in one piece or with its hyphen elsewhere, in
this form or in another one of the document's language, and whether it hyphenates at all, as few
programs for letters and filings do. Then, for English, a list of words (SCOWL's). Knows nothing of
pdfium and of layout.
"""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Callable, Iterable
from enum import Enum
from functools import cache
from itertools import pairwise
from pathlib import Path

from snowballstemmer.english_stemmer import EnglishStemmer

from fieldpack.language import analyzer
from fieldpack_build.documents.language import detect_language
from fieldpack_build.documents.pdf.text import HYPHEN

_SPLIT = re.compile(rf"((?<=\w)[-–]|\b)(\w+){HYPHEN}[ \n]?(\w+)")
_WORD = re.compile(r"[^\W\d_]+")
_COMPOUND = re.compile(r"(?<![\w-])[^\W\d_]+(?:-[^\W\d_]+)+(?![\w-])")
# "Vor-" before "und Nachteile": the hyphen stands for the rest of the word.
_AND = frozenset(
    "and or to und oder bis sowie bzw et ou y o e och og en of a i či lub ani та або чи й і".split()
)
_ENGLISH = frozenset("the of and to in is for".split())
# of an English text's words at least; in other languages they are a few in a hundred at most
_ENGLISH_SHARE = 0.08
# hyphens of compounds that show a document's habit, if words broken at a hyphen are this many times
# fewer
_HABIT = 3
_WORDS_FILE = Path(__file__).with_name("data") / "english_words.txt.gz"


class _Verdict(Enum):
    JOINED = "joined"
    KEPT = "kept"
    BROKEN = "broken"  # joined, and one of its parts is no word: the document hyphenates
    UNKNOWN = "unknown"


@cache
def _english_stemmer() -> EnglishStemmer:
    return EnglishStemmer()


@cache
def _english() -> tuple[frozenset[str], frozenset[str]]:
    """The common words, and all words: a rare one is no evidence that a part stands for itself."""
    common, rest = gzip.decompress(_WORDS_FILE.read_bytes()).decode().split("\n\n")
    words = frozenset(common.split("\n"))
    return words, words | frozenset(rest.split("\n"))


class Hyphens:
    """Decides about the hyphens at the ends of a document's lines; `texts` are all of its texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        splits: list[tuple[str, str, str]] = []
        rest = []
        for text in texts:
            if HYPHEN in text:
                splits += _SPLIT.findall(text)
                text = _SPLIT.sub(" ", text)
            rest.append(text)
        self._words: Counter[str] = Counter()
        self._compounds: Counter[str] = Counter()
        for token, count in Counter(" ".join(rest).lower().split()).items():
            for word in _WORD.findall(token):
                self._words[word] += count
            if "-" in token:
                for compound in _COMPOUND.findall(token):
                    for first, second in pairwise(compound.split("-")):
                        self._compounds[f"{first}-{second}"] += count
        common = sum(self._words[word] for word in _ENGLISH)
        self._is_english = bool(splits) and common >= _ENGLISH_SHARE * self._words.total()
        self._stem: Callable[[str], str] = _english_stemmer().stemWord
        if splits and not self._is_english:
            self._stem = analyzer(detect_language(rest)).stem
        self._stems: Counter[str] = Counter()
        self._compound_stems: Counter[str] = Counter()
        if splits:
            for word, count in self._words.items():
                self._stems[self._stem(word)] += count
            for compound, count in self._compounds.items():
                self._compound_stems[self._compound_stem(*compound.split("-"))] += count
        verdicts = Counter(self._verdict(*parts) for parts in splits)
        self._keeps = verdicts[_Verdict.KEPT] >= _HABIT * max(verdicts[_Verdict.BROKEN], 1)

    def resolve(self, text: str) -> str:
        """Return a text without HYPHEN: its words joined, or with a plain hyphen."""
        return _SPLIT.sub(self._written, text).replace(HYPHEN, "-") if HYPHEN in text else text

    def _written(self, match: re.Match[str]) -> str:
        hyphen, first, second = match.groups()
        if second.lower() in _AND and second.islower():
            return f"{hyphen}{first}- {second}"
        verdict = self._verdict(hyphen, first, second)
        if verdict is _Verdict.UNKNOWN:
            verdict = _Verdict.KEPT if self._keeps else _Verdict.JOINED
        return f"{hyphen}{first}{'-' if verdict is _Verdict.KEPT else ''}{second}"

    def _verdict(self, hyphen: str, first: str, second: str) -> _Verdict:
        whole, pair = (first + second).lower(), f"{first}-{second}".lower()
        joined, kept = self._words[whole], self._compounds[pair]
        if not joined and not kept and whole.isalpha():
            joined = self._stems[self._stem(whole)]
            kept = self._compound_stems[self._compound_stem(first.lower(), second.lower())]
        if joined or kept:
            return self._evident(first, second) if joined >= kept else _Verdict.KEPT
        if (
            hyphen
            or not (first.isalpha() and second.isalpha() and second.islower())
            or (first.isupper() and len(first) > 1)
        ):
            return _Verdict.KEPT
        if not self._is_english:
            return _Verdict.UNKNOWN
        if whole in _english()[1] or whole.removesuffix("s") in _english()[1]:
            return self._evident(first, second)
        return _Verdict.KEPT if self._is_word(first) and self._is_word(second) else _Verdict.UNKNOWN

    def _compound_stem(self, first: str, second: str) -> str:
        return f"{first}-{self._stem(second)}"

    def _evident(self, first: str, second: str) -> _Verdict:
        both = self._is_english and self._is_word(first) and self._is_word(second)
        return _Verdict.JOINED if both else _Verdict.BROKEN

    def _is_word(self, part: str) -> bool:
        return len(part) > 1 and (part.lower() in _english()[0] or self._words[part.lower()] > 0)
