"""The language of a document, found out from its text.

Scripts that one language alone is written in decide by themselves, and English by its commonest
words; the others py3langid tells apart (Naive Bayes over n-grams of bytes, 139 languages, BSD; its
model takes half a second and 90 MB to load, once a process). Knows nothing of formats and stems.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from fieldpack.language import LANGUAGES, PLAIN

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

# Of a long document so many pieces from all over it are looked at.
_PIECES, _PIECE = 20, 1_000
_ENGLISH = re.compile(r"\b(?:the|of|and|to|in|is|for)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
# Of an English text's words at least; in other languages these are a few in a hundred at most.
_ENGLISH_SHARE = 0.08
_ENGLISH_WORDS = 50  # fewer say little
_SCRIPT_SHARE = 0.3  # of the letters: Chinese manuals have Latin names and units
_SCRIPTS = {
    "th": re.compile("[\u0e01-\u0e4e]"),
    "ko": re.compile("[\uac00-\ud7a3]"),
    "kana": re.compile("[\u3041-\u30fa]"),
    "han": re.compile("[\u3400-\u4dbf\u4e00-\u9fff]"),
}
# Below it py3langid guesses: part lists and code get 0.1, five lines of a known language 0.9.
_SURE = 0.5
_SAME = {"nn": "no"}


def detect_language(texts: Sequence[str]) -> str:
    """Return the language of a document's texts: one of `fieldpack.language.LANGUAGES`, or PLAIN
    for English, for a language that is not among them, and where it cannot be told."""
    sample = _sample("\n".join(texts))
    letters = "".join(_WORD.findall(sample))
    counts = {name: len(script.findall(letters)) for name, script in _SCRIPTS.items()}
    if sum(counts.values()) > _SCRIPT_SHARE * len(letters):
        if counts["th"] == max(counts.values()):
            return "th"
        if counts["ko"] > counts["han"] + counts["kana"]:
            return "ko"
        # Kana stand between the Han of every Japanese sentence, and in no Chinese one.
        return "ja" if counts["kana"] > 0.05 * counts["han"] else "zh"
    words = _WORD.findall(sample)
    english = len(_ENGLISH.findall(sample))
    if len(words) >= _ENGLISH_WORDS and english >= _ENGLISH_SHARE * len(words):
        return PLAIN
    prose = " ".join(words)
    language, confidence = _identifier().classify(prose)
    language = _SAME.get(language, language)
    return language if confidence >= _SURE and language in LANGUAGES else PLAIN


def _sample(text: str) -> str:
    if len(text) <= _PIECES * _PIECE:
        return text
    step = len(text) / _PIECES
    return "\n".join(text[int(i * step) : int(i * step) + _PIECE] for i in range(_PIECES))


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
