"""Reads plain text: paragraphs between blank lines, no headings."""

from __future__ import annotations

import re

from fieldpack_build.documents.encoding import read_text
from fieldpack_build.documents.pages import Block, Content, Page

_PARAGRAPH = re.compile(r"[^\n]*\S[^\n]*(?:\n[^\n]*\S[^\n]*)*")
_TITLE_LIMIT = 100  # characters; a longer first line is the text itself


def read(data: bytes, name: str) -> Content:
    """Read plain text. Raises DocumentError for what is none."""
    text, warnings = read_text(data, name)
    blocks = tuple(
        Block("text", match.start(), match.end(), ()) for match in _PARAGRAPH.finditer(text)
    )
    first = text.lstrip().split("\n", 1)[0].strip()
    return Content(
        first if len(first) <= _TITLE_LIMIT else "", (Page(None, text, blocks),), warnings=warnings
    )
