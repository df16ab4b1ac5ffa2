"""Text in scripts that put no blanks between words, cut into overlapping n-grams: pairs of
characters for Chinese, Japanese and Korean, as Lucene's CJKAnalyzer does, and threes for Thai,
whose letters are sounds. A question is cut the same way, and bm25 adds up what agrees."""

from __future__ import annotations

import re

# Han with its extensions, kana, Hangul
_CJK = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff"
    "\U00020000-\U0003134f"
)
_THAI = "\u0e01-\u0e3a\u0e40-\u0e4e"
UNSPACED_LETTERS = _CJK + _THAI
"""Letters of such scripts, as they stand between the brackets of a regular expression."""
_RUN = re.compile(f"[{_CJK}]+|[{_THAI}]+")
# Tone marks and the sign of a silent letter; left out by those who type fast.
_TONES = dict.fromkeys(range(0x0E47, 0x0E4F))
# Vowels above and below the line end a word, to SQLite's unicode61 as to Python. A letter does not,
# so each is written as one that no text here has: a rune.
_VOWELS = str.maketrans("ัิีึืฺุู", "ᚠᚢᚦᚨᚱᚲᚷᚹ")
_THAI_LETTERS = 3


def split_unspaced(text: str) -> str:
    """Return the text with each run of Chinese, Japanese, Korean or Thai letters as its n-grams,
    with blanks between and around; other text stays. A run shorter than an n-gram stands for
    itself."""
    return _RUN.sub(_ngrams, text)


def ngram_spans(text: str) -> list[tuple[int, int]]:
    """Return [start, end) of the n-grams of a text's runs of such letters, in order, each for the
    letters that it is made of."""
    spans = []
    for run in _RUN.finditer(text):
        n = _length(run[0])
        last = max(run.end() - n, run.start())
        spans += [(at, min(at + n, run.end())) for at in range(run.start(), last + 1)]
    return spans


def is_unspaced(text: str) -> bool:
    """Return whether a text has letters of such a script."""
    return _RUN.search(text) is not None


def _length(run: str) -> int:
    return _THAI_LETTERS if "\u0e01" <= run[0] <= "\u0e4e" else 2


def _ngrams(match: re.Match[str]) -> str:
    run, n = match[0], _length(match[0])
    if n == _THAI_LETTERS:
        run = run.translate(_TONES).translate(_VOWELS)
    grams = [run[i : i + n] for i in range(max(len(run) - n + 1, 1))]
    return f" {' '.join(grams)} "
