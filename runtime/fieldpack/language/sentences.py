"""Where sentences end. A full stop ends none behind an abbreviation ("Ms. Ortega", "Nr. 14"), an
initial, the number of a day ("12. Mai") or of a list's item, or before a small letter. The abbreviations of all languages
are looked for at once, as a text's language is not known everywhere. Knows nothing of words' stems.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from .expressions import read_words

_FILE = "abbreviations.toml"
_CLOSING = r"[\"'”’)\]»]*"  # quotes and brackets that still belong to the sentence
# A mark at which a sentence may end, with what closes behind it: before a blank, or, in scripts
# without blanks, anywhere.
_MARK = re.compile(rf"[.!?]+{_CLOSING}(?=\s|$)|[。！？]+[”’）」』]*")
_WORD_BEFORE = re.compile(r"[^\s(\[\"“«/]+$")
_LONGEST_WORD = 40  # characters: no abbreviation is as long, and the search back ends there
_DAY = re.compile(r"\d{1,2}")
_LIST_NUMBER = re.compile(r"\d{1,3}")  # alone at the head of a line
_FIGURE = re.compile(r"[\d§]|[IVXLC]+\b")


def sentence_ends(text: str, start: int = 0, end: int | None = None) -> Iterator[int]:
    """Yield the offsets behind the sentences of text[start:end], without the blanks that follow;
    not its own end, unless a mark stands there. Line breaks are blanks."""
    stop = len(text) if end is None else end
    for mark in _MARK.finditer(text, start, stop):
        if _ends_sentence(text, mark, start, stop):
            yield mark.end()


def sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield [start, end) of each sentence of each line, blanks around it aside."""
    for line in re.finditer(r"[^\n]+", text):
        start = line.start()
        for stop in (*sentence_ends(text, start, line.end()), line.end()):
            sentence = text[start:stop]
            if stripped := sentence.strip():
                first = start + len(sentence) - len(sentence.lstrip())
                yield first, first + len(stripped)
            start = stop


def _ends_sentence(text: str, mark: re.Match[str], start: int, stop: int) -> bool:
    if mark.group()[0] != "." or mark.group().startswith(".."):
        return True
    after = "".join(text[mark.end() : min(mark.end() + _LONGEST_WORD, stop)].split(None, 1)[:1])
    after = after.lstrip("\"'“‘«(")
    word = _WORD_BEFORE.search(text, max(start, mark.start() - _LONGEST_WORD), mark.start())
    if not after or word is None:
        return True
    if after[0].islower():
        return False
    before = word.group().lstrip("'‘").casefold()
    if _LIST_NUMBER.fullmatch(before) and _at_line_start(text, word.start()):
        return False
    if _DAY.fullmatch(before):
        return after.strip(".,;:)").casefold() not in _words("months")
    last = before.rpartition(".")[2]  # "z.B", "U.S", "Dipl.-Ing" by their last part
    last = last.rpartition("-")[2]
    if len(last) == 1 and last.isalpha():
        return before in _words("ends_too")
    if {before, last} & _words("before_text"):
        return False
    return not ({before, last} & _words("before_figure") and _FIGURE.match(after))


def _at_line_start(text: str, offset: int) -> bool:
    line = text.rfind("\n", max(0, offset - _LONGEST_WORD), offset)
    if line < 0 and offset > _LONGEST_WORD:
        return False
    return not text[line + 1 : offset].strip()


@cache
def _words(kind: str) -> frozenset[str]:
    lists: dict[str, dict[str, str]] = read_words(_FILE)
    return frozenset(word for words in lists[kind].values() for word in words.split())
