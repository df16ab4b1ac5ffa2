"""A question's words. Knows nothing of indexes."""

from __future__ import annotations

import re

# Words of questions, not of documents: rare in a library, so bm25 would weigh them most.
QUESTION_WORDS = frozenset(
    "a an and any are as at be been but by can could do does did for from had has have how i if in "
    "into is it its "
    "many may me much must my of on or our shall should so that the their them there these they "
    "this to was we were "
    "what when where which who whom whose why will with would you your".split()
)
_MOST_WORDS = 64
_LETTERS_OR_DIGITS = re.compile(r"[^\W\d_]+|\d+")


def parts_of(word: str) -> list[str]:
    """The letters and the digits of a word that has both, in their order: "2023q4" is 2023, q and
    4."""
    parts: list[str] = _LETTERS_OR_DIGITS.findall(word)
    return parts if len(parts) > 1 else []


def content_words(question: str) -> list[str]:
    """The words to look for, each once, in their order: "FY2022" is looked for as "2022" too."""
    found: dict[str, None] = {}
    for word in re.findall(r"\w+", question.lower()):
        mixed = [part for part in parts_of(word) if len(part) > 1]
        found |= dict.fromkeys(w for w in (word, *mixed) if w not in QUESTION_WORDS)
    return list(found)[:_MOST_WORDS]


def word_spans(question: str) -> list[tuple[int, int]]:
    """Return the [start, end) of each of a question's words that are looked for, in characters; of
    all its words where it has no such."""
    spans = [match.span() for match in re.finditer(r"\w+", question)][:_MOST_WORDS]
    content = [(a, b) for a, b in spans if question[a:b].lower() not in QUESTION_WORDS]
    return content or spans
