"""Reads Markdown: the page's text is the source itself, so that a quote is what the author typed.

Of the front matter it takes title, date and tags, in YAML's plain forms, and leaves the rest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fieldpack_build.documents.dates import iso_date
from fieldpack_build.documents.encoding import read_text
from fieldpack_build.documents.pages import Block, Content, HeadingPath, Page, label

if TYPE_CHECKING:
    from markdown_it.token import Token

_FRONT_MATTER = re.compile(
    r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE
)
_FIELD = re.compile(r"^(\w[\w-]*):[ \t]*(.*(?:\n(?:[ \t]+|- ?).*)*)", re.MULTILINE)
_DATE_KEYS = ("updated", "last_updated", "lastmod", "date", "published", "created")
_TAG_KEYS = ("tags", "keywords", "categories")
_COMMENT = re.compile(r"\s*<!--.*-->\s*", re.DOTALL)


def read(data: bytes, name: str) -> Content:
    """Read Markdown, CommonMark with tables. Raises DocumentError for what is no text."""
    from markdown_it import MarkdownIt

    source, warnings = read_text(data, name)
    front_matter = _FRONT_MATTER.match(source)
    fields = _FIELD.findall(front_matter[1]) if front_matter else []
    stated = {key.lower(): value for key, value in fields}
    # Without a "key:" it is no front matter but text between two rules.
    text = source[front_matter.end() :].lstrip("\n") if front_matter and stated else source
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    titles = [
        _heading_text(tokens[i + 1]) for i, token in enumerate(tokens) if _is_heading(token, "h1")
    ]
    page = Page(None, text, tuple(_blocks(text, tokens)))
    title = label(_plain(stated.get("title", ""))) or (titles[0] if titles else "")
    dates = (iso_date(_plain(stated.get(key, ""))) for key in _DATE_KEYS)
    tags: dict[str, None] = {}  # "[a, b]", "a, b" or lines of "- a"
    for value in (stated.get(key, "") for key in _TAG_KEYS):
        parts = re.split(
            r"(?:^|\n)[ \t]*-[ \t]+" if "\n" in value else ",",
            value.strip().removeprefix("[").removesuffix("]"),
        )
        tags |= dict.fromkeys(tag for part in parts if (tag := label(_plain(part))))
    return Content(
        title, (page,), next((date for date in dates if date), None), tuple(tags), warnings
    )


def _plain(value: str) -> str:
    """A value without quotation marks, and without the comment behind it."""
    value = re.sub(r"(?:^|\s)#.*", "", value) if value[:1] not in ("'", '"') else value
    return value.strip().strip("\"'")


def _blocks(text: str, tokens: list[Token]) -> list[Block]:
    # The offset of each line, and at last that of the text's end.
    starts = [0, *(match.end() for match in re.finditer("\n", text)), len(text)]
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
            blocks.append(
                Block("table" if token.type == "table_open" else "text", start, end, path.path)
            )
    return blocks


def _is_heading(token: Token, tag: str = "") -> bool:
    return token.type == "heading_open" and token.level == 0 and tag in ("", token.tag)


def _heading_text(inline: Token) -> str:
    """The words of a heading without its markup."""
    words = [
        child.content or " " * (child.type in ("softbreak", "hardbreak"))
        for child in inline.children or []
    ]
    return label("".join(words))
