"""Reads Markdown: the page's text is the source itself, so that a quote is what the author typed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fieldpack_build.documents.encoding import decode
from fieldpack_build.documents.pages import Block, Content, HeadingPath, Page, label

if TYPE_CHECKING:
    from markdown_it.token import Token

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+?)[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"\s*<!--.*-->\s*", re.DOTALL)


def read(data: bytes, name: str) -> Content:
    from markdown_it import MarkdownIt

    text, stated = _without_front_matter(decode(data))
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    titles = [_heading_text(tokens[i + 1]) for i, token in enumerate(tokens) if _is_heading(token, "h1")]
    page = Page(None, text, tuple(_blocks(text, tokens)))
    return Content(stated or (titles[0] if titles else ""), (page,))


def _without_front_matter(text: str) -> tuple[str, str]:
    """The text from its first line of Markdown on, and the title that the front matter states, or ""."""
    found = _FRONT_MATTER.match(text)
    # Without a "key:" it is no front matter but text between two rules.
    if found is None or not re.search(r"^[\w-]+:", found[1], re.MULTILINE):
        return text, ""
    title = _FRONT_TITLE.search(found[1])
    return text[found.end() :].lstrip("\n"), label(title[1].strip("\"'")) if title else ""


def _blocks(text: str, tokens: list[Token]) -> list[Block]:
    starts = _line_starts(text)
    path = HeadingPath()
    blocks: list[Block] = []
    for i, token in enumerate(tokens):
        if token.level or token.map is None or token.type == "hr":
            continue
        if _is_heading(token):
            path.enter(int(token.tag[1]), _heading_text(tokens[i + 1]))
            continue
        start, end = starts[token.map[0]], starts[min(token.map[1], len(starts) - 1)]
        end = start + len(text[start:end].rstrip())
        if end > start and not _COMMENT.fullmatch(text, start, end):
            blocks.append(Block("table" if token.type == "table_open" else "text", start, end, path.path))
    return blocks


def _line_starts(text: str) -> list[int]:
    """The offset of each line, and at last that of the text's end."""
    return [0, *(found.end() for found in re.finditer("\n", text)), len(text)]


def _is_heading(token: Token, tag: str = "") -> bool:
    return token.type == "heading_open" and token.level == 0 and tag in ("", token.tag)


def _heading_text(inline: Token) -> str:
    """The words of a heading without its markup."""
    words = [child.content or " " * (child.type in ("softbreak", "hardbreak")) for child in inline.children or []]
    return label("".join(words))
