"""Parses an HTML page into a tree of small nodes: names, the attributes that are read, and strings.

libxml2 reads the markup (through lxml) and says what begins and ends; a node of its own tree takes
270 bytes with its text, one of Beautiful Soup's 1,300, one of these 130. A page of tables has a
node for every ten bytes of its file. Knows nothing of what elements mean, but that the text of
scripts is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

# All that is read of an element; pictures in `src` alone may be most of a saved page.
ATTRIBUTES = frozenset((
    "alt", "aria-hidden", "checked", "class", "colspan", "content", "epub:type", "hidden", "href",
    "id", "itemprop", "name", "open", "property", "reversed", "role", "rowspan", "selected",
    "srcdoc", "start", "style", "type", "value",
))  # fmt: skip
# No words of the page: ix:header holds the hidden facts of an inline XBRL filing, an annotation
# repeats a formula in TeX. Their text is not kept, but that of style sheets in `Page.sheet`.
WITHOUT_TEXT = frozenset(
    ("script", "style", "template", "ix:header", "annotation", "annotation-xml", "rp")
)
_AS_WRITTEN = frozenset(("pre", "textarea"))  # whose blanks count
_BLANKS = " \n\t\f\r"
_SHEET_LIMIT = 1 << 20  # characters of style sheets; what hides a thing stands in the first of them
_MOST_SHARED = 4_096  # different sets of attributes that elements share; a page's classes are fewer


class Element:
    """An element with what stands in it: elements and strings, in order.

    `attributes`: names and values in turn. There is no way up, so that what is not needed any more
    is freed at once.
    """

    __slots__ = ("attributes", "contents", "name")

    def __init__(self, name: str, attributes: tuple[str, ...] = ()) -> None:
        self.name = name
        self.attributes = attributes
        self.contents: tuple[Element | str, ...] = ()

    def get(self, name: str) -> str | None:
        """Return the value of an attribute, "" for one without a value, None where it is not there.

        Of an `href` the first character alone is known: whether it leads to a place of the page.
        """
        assert name in ATTRIBUTES, name
        for at in range(0, len(self.attributes), 2):
            if self.attributes[at] == name:
                return self.attributes[at + 1]
        return None

    def has(self, name: str) -> bool:
        """Return whether the element has an attribute."""
        return self.get(name) is not None

    def put(self, name: str, value: str) -> None:
        """Set an attribute."""
        pairs = zip(self.attributes[::2], self.attributes[1::2], strict=True)
        others = [part for pair in pairs if pair[0] != name for part in pair]
        self.attributes = (*others, name, value)

    def elements(self) -> Iterator[Element]:
        """Yield the elements directly in this one."""
        for child in self.contents:
            if isinstance(child, Element):
                yield child

    def descendants(self) -> Iterator[Element]:
        """Yield all elements in this one, in the order in which they begin."""
        waiting = [self.elements()]
        while waiting:
            for child in waiting[-1]:
                yield child
                if child.contents:
                    waiting.append(child.elements())
                    break
            else:
                waiting.pop()

    def all(self, *names: str) -> Iterator[Element]:
        """Yield the elements in this one that have one of some names."""
        return (element for element in self.descendants() if element.name in names)

    def first(self, *names: str) -> Element | None:
        """Return the first element in this one that has one of some names."""
        return next(self.all(*names), None)

    def strings(self) -> Iterator[str]:
        """Yield the text in this element, without the readings that ruby adds to it."""
        waiting = [iter(self.contents)]
        while waiting:
            for child in waiting[-1]:
                if isinstance(child, str):
                    yield child
                elif child.name != "rt" and child.contents:
                    waiting.append(iter(child.contents))
                    break
            else:
                waiting.pop()


class Markup(NamedTuple):
    """A page: all of it in an element without a name, and the start of its style sheets."""

    root: Element
    sheet: str


def parse(text: str) -> Markup:
    """Return the tree of a page, whatever its markup is."""
    from lxml import etree

    builder = _Builder()
    parser = etree.HTMLParser(target=builder, recover=True)
    parser.feed(text)
    markup: Markup = parser.close()
    return markup


class _Builder:
    """Takes what the parser says, as lxml's `target`."""

    def __init__(self) -> None:
        self._open = [Element("")]
        self._contents: list[list[Element | str]] = [[]]
        self._data: list[str] = []
        self._as_written = self._without_text = 0  # such elements that are open
        self._sheets: list[str] = []
        self._names: dict[str, str] = {}
        self._shared: dict[tuple[str, ...], tuple[str, ...]] = {}

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Begin an element."""
        self._end_string()
        name = self._names.setdefault(name, name)
        read: tuple[str, ...] = ()
        for key, value in attributes.items():
            if key in ATTRIBUTES:
                key = self._names.setdefault(key, key)
                read += (key, value[:1] if key == "href" else value)
        if read:
            is_known = read in self._shared or len(self._shared) < _MOST_SHARED
            read = self._shared.setdefault(read, read) if is_known else read
        element = Element(name, read)
        self._contents[-1].append(element)
        self._open.append(element)
        self._contents.append([])
        self._as_written += name in _AS_WRITTEN
        self._without_text += name in WITHOUT_TEXT

    def end(self, name: str) -> None:
        """End the innermost element of a name, and those in it that are still open."""
        self._end_string()
        for depth in range(len(self._open) - 1, 0, -1):
            if self._open[depth].name == name:
                while len(self._open) > depth:
                    self._end_innermost()
                return

    def data(self, text: str) -> None:
        """Take a piece of text."""
        self._data.append(text)

    def comment(self, text: str) -> None:
        """End the string before a comment."""
        self._end_string()

    def pi(self, target: str, data: str | None = None) -> None:
        """End the string before a processing instruction."""
        self._end_string()

    def doctype(self, *_: object) -> None:
        """End the string before a document type."""
        self._end_string()

    def close(self) -> Markup:
        """Return the page."""
        self._end_string()
        while len(self._open) > 1:
            self._end_innermost()
        root = self._open[0]
        root.contents = tuple(self._contents.pop())
        return Markup(root, "\n".join(self._sheets)[:_SHEET_LIMIT])

    def _end_innermost(self) -> None:
        element = self._open.pop()
        element.contents = tuple(self._contents.pop())
        self._as_written -= element.name in _AS_WRITTEN
        self._without_text -= element.name in WITHOUT_TEXT

    def _end_string(self) -> None:
        if not self._data:
            return
        text = "".join(self._data)
        self._data.clear()
        if self._without_text:
            if self._open[-1].name == "style" and sum(map(len, self._sheets)) < _SHEET_LIMIT:
                self._sheets.append(text)
        elif self._as_written or text.strip(_BLANKS):
            self._contents[-1].append(text)
        else:
            self._contents[-1].append("\n" if "\n" in text else " ")
