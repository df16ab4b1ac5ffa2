"""What the words of a question say about whether it needs the question before it: `follow_ups.toml`.
Knows nothing of libraries."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from .expressions import read_expressions
from .folding import fold
from .question_words import spoken_languages

_FILE = "follow_ups.toml"
_ARABIC = re.compile("[\u0600-\u06ff]")
_NAMES = ("goes_on", "part", "asks", "refers")


@dataclass(frozen=True, slots=True)
class FollowUpMarks:
    """What a question's words say. `goes_on`: it begins as one that goes on ("and", "what about");
    `part`: what is left begins a part of a sentence ("for a trader", "if ..."); `asks`: what is left
    has a word that asks, or begins with a verb; `refers_at`: where a word stands for something said
    before, in characters of the question, None where none does; `rest`: the question without its
    beginning `goes_on`, as it was written."""

    goes_on: bool
    part: bool
    asks: bool
    refers_at: int | None
    rest: str


def follow_up_marks(question: str, languages: Collection[str]) -> FollowUpMarks | None:
    """Return the marks of a question by the words of the language that it is asked in. Where
    several have as many of its words, English and `languages`, those of the library's documents, go
    first. None where that language is not in the file, so that its words say nothing."""
    if _ARABIC.search(question):
        spoken = {"ar"}
    else:
        expected = {"en", *filter(None, languages)}
        spoken = set(spoken_languages(question, sorted(expected | read_expressions(_FILE).keys())))
        spoken = spoken & expected or spoken
    known = tuple(sorted(spoken & read_expressions(_FILE).keys()))
    if not known:
        return None
    goes_on, part, asks, refers = _compiled(known)
    folded = fold(question)
    # Folding may change a text's length, and with it where things stand.
    same = question if len(folded) == len(question) else folded
    begins = goes_on.match(folded)
    start = begins.end() if begins else 0
    rest = folded[start:].strip()
    found = next((m for m in refers.finditer(folded, start) if not _is_name(m, same)), None)
    return FollowUpMarks(
        begins is not None,
        part.match(rest) is not None,
        asks.search(rest) is not None,
        found.start() if found else None,
        same[start:].strip(" ,;:"),
    )


def _is_name(match: re.Match[str], question: str) -> bool:
    """Return whether a word is an abbreviation, as "IT" in "IT helpdesk number"."""
    word = question[match.start() : match.end()]
    return len(word) > 1 and word.isupper() and not question.isupper()


@cache
def _compiled(languages: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    def any_of(kind: str) -> str:
        return "|".join(f"(?:{read_expressions(_FILE)[language][kind]})" for language in languages)

    beginning = {"goes_on": r"\W*(?:{})[\s,]*", "part": r"\W*(?:{})"}
    return tuple(re.compile(beginning.get(kind, "{}").format(any_of(kind))) for kind in _NAMES)
