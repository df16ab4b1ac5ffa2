"""Words of a language as terms of the index: Unicode's compatibility forms (NFKC), lower case, one
spelling where a language has two, and stems.

English, and text whose language is not known, is left as it is: SQLite's `porter unicode61` does
all for it. So an English library's index is the same, byte for byte, as one without languages.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from functools import cache, lru_cache
from importlib import import_module
from importlib.metadata import version
from typing import Protocol

from .folding import fold
from .ngrams import is_unspaced, split_unspaced
from .slovak import stem as stem_slovak
from .ukrainian import stem as stem_ukrainian

PLAIN = ""
"""The language of a document that is English, or in none of LANGUAGES."""

# Stemmed by Snowball (https://snowballstem.org, BSD): code -> the module of `snowballstemmer`.
_SNOWBALL = {
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "es": "spanish",
    "et": "estonian",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "lt": "lithuanian",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "tr": "turkish",
}
# Snowball has none of these: stemmers of our own.
_OWN = {"sk": stem_slovak, "uk": stem_ukrainian}
# Written without blanks, or with particles glued to words: cut into n-grams, not stemmed.
_UNSPACED = ("ja", "ko", "th", "zh")

LANGUAGES = tuple(sorted((*_SNOWBALL, *_OWN, *_UNSPACED)))
"""Codes (ISO 639-1) of the languages whose words are indexed in a way of their own."""

_VERSION = 1  # of what this package makes of a text; raised with every change of it

_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁱⁿ"
# Marks of a footnote are no part of the word before them, as in the tokenizer of `index.schema`;
# soft hyphens and blanks of no width are no part of any word.
_UNWRITTEN = {ord(c): " " for c in _SUPERSCRIPTS} | dict.fromkeys(
    (0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF)
)
_WORD = re.compile(r"\w+")
_CODE_BEFORE = re.compile(r"\d[-./_]?$")
_CODE_AFTER = re.compile(r"[-./_]?\d")
# п'ять, п’ять and п`ять are one word; U+02BC is a letter to Unicode, the others end a word.
_APOSTROPHE = re.compile(r"(?<=[\u0400-\u052f])['’ʼ‘`´](?=[\u0400-\u052f])")
# Letters that one writes in two where a keyboard lacks them: aa for å, oe for ø, ae for æ and ä.
# Snowball's German stemmer knows ae, oe, ue and ss itself.
_DIGRAPHS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "da": (("aa", "å"), ("ae", "æ"), ("oe", "ø")),
    "no": (("aa", "å"), ("ae", "æ"), ("oe", "ø")),
    "sv": (("aa", "å"),),
}


class _Stemmer(Protocol):
    def stemWord(self, word: str) -> str: ...


class Analyzer:
    """Makes terms of texts in one language: for the index (`text`) and for a question (`terms`)."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._digraphs = _DIGRAPHS.get(language, ())
        self._stem = _stemmer(language)
        self.stem = lru_cache(100_000)(self._stem_word)

    def text(self, text: str) -> str:
        """Return a text as it goes into the index: its words as stems, and nothing else. (What
        stands between words is no word to Python; SQLite takes some newer signs for letters.)"""
        if self.language == PLAIN:
            return text
        return " ".join(map(self._indexed, _WORD.finditer(self._prepared(text))))

    def terms(self, question: str, leave_out: Collection[str] = ()) -> list[str]:
        """Return the terms of a question, each once, in their order. `leave_out`: words, folded,
        that are not looked for; in languages without blanks, where a word has no bounds, they are
        cut out of the text."""
        if self.language in _UNSPACED:
            question = self._normal(question)
            for word in sorted(filter(is_unspaced, leave_out), key=len, reverse=True):
                question = question.replace(word, " ")
        words = _WORD.findall(self._prepared(question))
        terms = (
            self.stem(word) if word.isalpha() else word.casefold()
            for word in words
            if fold(word) not in leave_out
        )
        return list(dict.fromkeys(terms))

    def spans(self, text: str, terms: Collection[str]) -> list[tuple[int, int]]:
        """Return where a text says one of a question's `terms`: [start, end) of each word, or of
        each run of letters that neighbouring n-grams cover, in order."""
        spans: list[tuple[int, int]] = []
        for match in _WORD.finditer(text):
            word, first = match[0], match.start()
            if not is_unspaced(word):
                if any(term in terms for term in self.terms(word)):
                    spans.append(match.span())
                continue
            for start in range(len(word)):
                for end in (start + 2, start + 3):
                    if end <= len(word) and word[start:end] in terms:
                        if spans and spans[-1][1] >= first + start:
                            spans[-1] = (spans[-1][0], max(spans[-1][1], first + end))
                        else:
                            spans.append((first + start, first + end))
        return spans

    def _normal(self, text: str) -> str:
        text = unicodedata.normalize("NFKC", text.translate(_UNWRITTEN))
        return text.replace("İ", "i").replace("I", "ı") if self.language == "tr" else text

    def _prepared(self, text: str) -> str:
        return split_unspaced(_APOSTROPHE.sub("", self._normal(text)))

    def _indexed(self, match: re.Match[str]) -> str:
        word = match[0]
        if not word.isalpha() or (len(word) > 1 and word.isupper() and _in_code(match)):
            return word.casefold()
        return self.stem(word)

    def _stem_word(self, word: str) -> str:
        word = word.casefold()
        for two, one in self._digraphs:
            word = word.replace(two, one)
        return self._stem(word) or word


def _in_code(match: re.Match[str]) -> bool:
    """Return whether capitals stand next to figures: TESTER-100 is a name, no word to stem. Small
    letters may be a code too, but are words far more often (12-stündig)."""
    text, start, end = match.string, match.start(), match.end()
    return bool(
        _CODE_AFTER.match(text, end) or _CODE_BEFORE.search(text[max(start - 2, 0) : start])
    )


def _stemmer(language: str) -> Callable[[str], str]:
    if language in _OWN:
        return _OWN[language]
    if language in _SNOWBALL:
        name = _SNOWBALL[language]
        module = import_module(f"snowballstemmer.{name}_stemmer")
        stemmer: _Stemmer = getattr(module, f"{name.capitalize()}Stemmer")()
        return stemmer.stemWord
    return lambda word: word


@cache
def analyzer(language: str) -> Analyzer:
    """Return the analyzer of one of LANGUAGES, or of PLAIN. Raises KeyError for another one."""
    if language not in (PLAIN, *LANGUAGES):
        raise KeyError(language)
    return Analyzer(language)


def analysis_version() -> str:
    """Return what decides how a text is indexed: our own version, Snowball's, and Unicode's as
    Python has it. An index that was made by others is searched, but not changed in place."""
    return f"{_VERSION} {version('snowballstemmer')} {unicodedata.unidata_version}"


def same_analysis(stored: str) -> bool:
    """Return whether questions find what an index of this `analysis_version` holds. Releases of
    Snowball and of Unicode change a few rare words, our own number all of them."""
    return stored.split(" ")[0] == str(_VERSION)
