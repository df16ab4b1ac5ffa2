"""Reads any XML: prose as paragraphs, titles as headings, short values as lines "name: value" of
the element around them.

Knows no vocabulary: an element with words and other elements in it is a paragraph, one with a few
words a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fieldpack_build.documents.encoding import refuse_binary
from fieldpack_build.documents.omissions import Omissions
from fieldpack_build.documents.pages import Content, HeadingPath, PageBuilder, label, squeeze
from fieldpack_build.documents.raised import lower, raise_, settle
from fieldpack_build.errors import DocumentError

_TITLES = ("title", "head", "heading", "subject", "headline")
_RAISED, _LOWERED = ("sup", "superscript"), ("sub", "subscript")
_DEEPEST = 6
_PROSE = 8  # words; fewer are a value
_SPACE = "{http://www.w3.org/XML/1998/namespace}"


def read(data: bytes, name: str) -> Content:
    """Read XML. Entities that it defines itself are text, within libxml2's limits; nothing is loaded.

    Raises DocumentError for what is none.
    """
    from lxml import etree

    refuse_binary(data, name)

    def parsed(*, entities: bool) -> Any:
        parser = etree.XMLParser(
            resolve_entities="internal" if entities else False,
            no_network=True,
            load_dtd=False,
            remove_comments=True,
            remove_pis=True,
        )
        return etree.fromstring(data, parser)

    try:
        try:
            root = parsed(entities=True)
        except etree.XMLSyntaxError:  # an entity of another file is an error then
            root = parsed(entities=False)
    except (etree.XMLSyntaxError, ValueError) as error:
        if "XML_PARSE_HUGE" in str(error):  # libxml2's own limits: 256 levels, 10 MB of text
            raise DocumentError(
                f"{name}: its elements are nested too deeply, or one of them holds more than 10 MB"
            ) from error
        raise DocumentError(
            f"{name}: is no XML, or a damaged one: {squeeze(str(error))}"
        ) from error
    builder = PageBuilder(HeadingPath())
    if _is_prose(root):
        builder.text(_words(root))
    else:
        _Walk(builder).element(root, 1)
    title = next(
        (
            squeeze("".join(entry.itertext()))
            for entry in root.iter("*")
            if _local(entry) in _TITLES
        ),
        "",
    )
    omissions = Omissions()
    for entity in root.iter(etree.Entity):
        omissions.add("external references", entity.name)
    return Content(label(title), (builder.page(),), warnings=omissions.sentences())


class _Walk:
    def __init__(self, builder: PageBuilder) -> None:
        self._builder = builder

    def element(self, element: Any, level: int) -> None:
        """Its own values in one block, then what is inside, one after the other."""
        lines = list(_attributes(element, ""))
        children = list(element.iterchildren("*"))
        for child in children:
            if _local(child) in _TITLES and not lines and _is_leaf(child):
                self._builder.close(level)
                self._builder.heading(min(level, _DEEPEST), _words(child))
            elif _is_prose(child):
                lines = self._flush(lines)
                self._builder.text(_words(child))
            elif _is_leaf(child):
                name, words = _local(child), _words(child)
                lines += [f"{name}: {words}"] if words else []
                lines += _attributes(child, f"{name}.")
            else:
                lines = self._flush(lines)
                self.element(child, min(level + 1, _DEEPEST))
        if not children and (own := _words(element)):
            lines.append(own)
        self._flush(lines)

    def _flush(self, lines: list[str]) -> list[str]:
        self._builder.text("\n".join(lines))
        return []


def _attributes(element: Any, path: str) -> Iterator[str]:
    for key, value in element.attrib.items():
        if (
            not key.startswith(_SPACE)
            and not key.rpartition("}")[2].startswith("schemaLocation")
            and value.strip()
        ):
            yield f"{path}{key.rpartition('}')[2]}: {squeeze(value)}"


def _is_leaf(element: Any) -> bool:
    return next(element.iterchildren("*"), None) is None


def _is_prose(element: Any) -> bool:
    """Many words, or words beside other elements: prose with marks in it."""
    if _is_leaf(element):
        return len(_words(element).split()) >= _PROSE
    beside = [element.text, *(child.tail for child in element)]
    return any((text or "").strip() for text in beside)


def _words(element: Any) -> str:
    return squeeze(settle("".join(_pieces(element))))


def _pieces(element: Any) -> Iterator[str]:
    """The strings of an element, raised and lowered ones apart. Two elements without anything
    between them may be two cells: their figures stay two."""
    yield element.text or ""
    before = ""
    for child in element:
        if isinstance(child.tag, str):
            text = "".join(_pieces(child))
            name = _local(child).lower()
            if name in _RAISED:
                text = raise_(text)
            elif name in _LOWERED:
                text = lower(text)
            elif before[-1:].isdigit() and text[:1].isdigit():
                yield " "
            yield text
            before = text if not child.tail else ""
        yield child.tail or ""


def _local(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]
