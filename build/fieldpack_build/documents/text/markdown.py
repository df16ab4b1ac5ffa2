"""Reads Markdown: the page's text is the source itself, so that a quote is what the author typed,
without what a reader of the page does not see as valid: struck-out text and comments.

Of the front matter it takes title, date and tags, in YAML's plain forms, and leaves the rest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fieldpack_build.documents.dates import iso_date
from fieldpack_build.documents.encoding import read_text
from fieldpack_build.documents.omissions import Omissions
from fieldpack_build.documents.pages import Block, Content, HeadingPath, Page, label

if TYPE_CHECKING:
    from markdown_it.token import Token

_FRONT_MATTER = re.compile(
    r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE
)
_FIELD = re.compile(r"^(\w[\w-]*):[ \t]*(.*(?:\n(?:[ \t]+|- ?).*)*)", re.MULTILINE)
_DATE_KEYS = ("updated", "last_updated", "lastmod", "date", "published", "created")
_TAG_KEYS = ("tags", "keywords", "categories")
# A fence, code on a line, or what may begin struck-out text or a comment.
_OPENING = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})|(?P<code>`+)|(?P<tildes>~~+)|(?P<comment><!--)"
    r"|<(?P<tag>del|s|strike)(?:\s[^<>]{0,200})?>",
    re.MULTILINE | re.IGNORECASE,
)


def read(data: bytes, name: str) -> Content:
    """Read Markdown, CommonMark with tables. Raises DocumentError for what is no text."""
    from markdown_it import MarkdownIt

    source, warnings = read_text(data, name)
    front_matter = _FRONT_MATTER.match(source)
    fields = _FIELD.findall(front_matter[1]) if front_matter else []
    stated = {key.lower(): value for key, value in fields}
    # Without a "key:" it is no front matter but text between two rules.
    text = source[front_matter.end() :].lstrip("\n") if front_matter and stated else source
    omissions = Omissions()
    text = _visible(text, omissions)
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
    date = next((date for date in dates if date), None)
    return Content(title, (page,), date, tuple(tags), (*warnings, *omissions.sentences()))


def _visible(source: str, omissions: Omissions) -> str:
    """The source without struck-out text and comments, which are counted; code is left alone."""
    kept: list[str] = []
    start = at = paragraph = 0  # `paragraph`: the end of the one that `at` is in
    never: set[str] = set()  # ends of which there is none any more
    while opening := _OPENING.search(source, at):
        at = opening.end()
        if opening.start() >= paragraph:
            blank = source.find("\n\n", opening.start())
            paragraph = blank if blank >= 0 else len(source)
        if fence := opening["fence"]:
            line = rf"^ {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$"
            end = re.compile(line, re.MULTILINE).search(source, at)
            at = end.end() if end else len(source)
            continue
        if code := opening["code"]:
            end = re.compile(rf"(?<!`){code}(?!`)").search(source, at, paragraph)
            at = end.end() if end else at
            continue
        kind = "words of comments" if opening["comment"] else "words of struck-out text"
        closing = re.escape(opening["tildes"] or "") or "-->"
        closing = rf"</{opening['tag']}\s*>" if opening["tag"] else closing
        if closing in never:
            continue
        limit = paragraph if opening["tildes"] else len(source)
        end = re.compile(closing, re.IGNORECASE).search(source, at, limit)
        if end is None:
            never |= set() if opening["tildes"] else {closing}
            continue
        words = source[at : end.start()]
        if opening["tildes"] and words != words.strip():
            continue  # two tildes amid blanks strike nothing
        omissions.add(kind, count=max(len(words.split()), 1))
        kept.append(source[start : opening.start()])
        start = at = end.end()
    return "".join([*kept, source[start:]])


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
        if end > start:
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
