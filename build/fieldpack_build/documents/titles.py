"""Decides which stated titles say something, and puts a file's name into words.

Knows nothing of formats; what titles of one kind of document are worth is in `vocabulary`.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from fieldpack_build.documents.vocabulary import Vocabulary

# What programs and templates leave where a title belongs.
_EMPTY = re.compile(
    r"""
    untitled.* | unknown | \(?(?:anonymous|unspecified|none)\)? | no[ ]title | \(?no[ ]subject\)? | title | titel
    | \[?document[ ]title\]? | default
    | (?:microsoft[ ](?:office[ ])?)?(?:word|excel|powerpoint|publisher|visio)
      (?:[ ][-–—][ ].*|[ ](?:document|workbook|dokument))?
    | powerpoint[ -]\S+
    | (?:new[ ]|neues[ ])?(?:document|dokument|doc|book|workbook|sheet|slide|page|presentation|mappe|tabelle)[ _-]?\d*
    | (?:scan|print|image|picture)[ _-]?\d*
    | (?:table[ ]of[ ])?contents | index | cover(?:[ ]page)? | home | welcome | draft | confidential | internal | attachment
    | (?:\S*[/\\])?[^ ]*\.(?:docx?|dotx?|xlsx?|pptx?|html?|pdf|indd|qxd|tmp|txt|rtf|tex|dvi|eps|ps|fm|pmd|wpd|odt|md)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TWO_LETTERS = re.compile(r"[^\W\d_]{2}")


def says_something(title: str, vocabulary: Vocabulary) -> bool:
    """Return whether a stated title tells its document from others.

    "Microsoft Word - x.doc", "Slide 1", "Table of Contents" and "10-K" do not; nor do the
    `empty_titles` of the vocabulary, as "UNITED STATES".
    """
    if not _TWO_LETTERS.search(title):
        return False
    words = title.strip(" .:*-_")
    return not (_EMPTY.fullmatch(words) or vocabulary.empty_title.fullmatch(words))


def words_of(path: str) -> str:
    """Return a file's name without its suffix, in words.

    "a/fund_guide-for-all_2024-01-31.md" is "fund guide for all 2024-01-31".
    """
    stem = PurePosixPath(path).stem.replace("%20", " ")
    # A hyphen in a word with digits is part of a date, of "10-K" or of an identifier.
    words = (
        word if re.search(r"\d", word) else word.replace("-", " ")
        for word in re.sub(r"[_+]+", " ", stem).split()
    )
    return " ".join(" ".join(words).split()) or stem
