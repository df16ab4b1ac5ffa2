"""Which stated titles say something, and what a file's name says in words. Knows nothing of
formats."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

# What programs and templates leave where a title belongs, and first lines that stand on thousands
# of documents.
_WORTHLESS = re.compile(
    r"""
    untitled.* | unknown | \(?(?:anonymous|unspecified|none)\)? | no[ ]title | \(?no[ ]subject\)? | title | titel
    | \[?document[ ]title\]? | default
    | (?:microsoft[ ](?:office[ ])?)?(?:word|excel|powerpoint|publisher|visio)
      (?:[ ][-–—][ ].*|[ ](?:document|workbook|dokument))?
    | powerpoint[ -]\S+
    | (?:new[ ]|neues[ ])?(?:document|dokument|doc|book|workbook|sheet|slide|page|presentation|mappe|tabelle)[ _-]?\d*
    | (?:scan|print|image|picture)[ _-]?\d*
    | (?:table[ ]of[ ])?contents | index | cover(?:[ ]page)? | home | welcome | draft | confidential | internal | attachment
    | united[ ]states(?:[ ]of[ ]america)?(?:[ ]securities[ ]and[ ]exchange[ ]commission.*)?
    | securities[ ]and[ ]exchange[ ]commission.* | form[ ]\S+ | annual[ ]report | washington,?[ ]d\.?c\.?.*
    | (?:\S*[/\\])?[^ ]*\.(?:docx?|dotx?|xlsx?|pptx?|html?|pdf|indd|qxd|tmp|txt|rtf|tex|dvi|eps|ps|fm|pmd|wpd|odt|md)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TWO_LETTERS = re.compile(r"[^\W\d_]{2}")


def says_something(title: str) -> bool:
    """False for "Microsoft Word - x.doc", "Slide 1", "Table of Contents", "UNITED STATES", "10-K"
    and their like."""
    return (
        _TWO_LETTERS.search(title) is not None
        and _WORTHLESS.fullmatch(title.strip(" .:*-_")) is None
    )


def words_of(path: str) -> str:
    """The file's name without its suffix in words: "a/fund_guide-for-all_2024-01-31.md" is "fund
    guide for all 2024-01-31"."""
    stem = PurePosixPath(path).stem.replace("%20", " ")
    # A hyphen in a word with digits is part of a date, of "10-K" or of an identifier.
    words = (
        word if re.search(r"\d", word) else word.replace("-", " ")
        for word in re.sub(r"[_+]+", " ", stem).split()
    )
    return " ".join(" ".join(words).split()) or stem
