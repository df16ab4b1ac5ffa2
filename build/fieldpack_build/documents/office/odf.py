"""Reads OpenDocument files: texts (.odt), sheets (.ods) and slides (.odp), whose content is one XML
file in a zip.

odfpy, the library for it, has had no release since 2020 and gives no more than the XML does.
Figures in sheets are as the program showed them, which the file keeps.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any, NamedTuple

from fieldpack_build.documents.dates import iso_date
from fieldpack_build.documents.grid import REPEATED_LIMIT, add_grid
from fieldpack_build.documents.merged import Cell, lay_out
from fieldpack_build.documents.office.docx_numbering import FORMATS
from fieldpack_build.documents.office.package import (
    PACKAGE_ERRORS,
    check_sizes,
    parse_xml,
    split_tags,
)
from fieldpack_build.documents.omissions import Omissions
from fieldpack_build.documents.pages import Content, HeadingPath, Page, PageBuilder, label, squeeze
from fieldpack_build.documents.raised import lower, raise_, settle
from fieldpack_build.documents.titles import says_something
from fieldpack_build.documents.vocabulary import DEFAULT, read_vocabulary
from fieldpack_build.errors import DocumentError

_O = "{urn:oasis:names:tc:opendocument:xmlns:%s:1.0}"
_TEXT, _TABLE, _OFFICE, _STYLE, _DRAW = (
    _O % name for name in ("text", "table", "office", "style", "drawing")
)
_FO, _PRES = "{urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0}", _O % "presentation"
_MATH = "{http://www.w3.org/1998/Math/MathML}"
_NUMBER_FORMATS = {
    "1": "decimal",
    "a": "lowerLetter",
    "A": "upperLetter",
    "i": "lowerRoman",
    "I": "upperRoman",
}
_MOST_REPEATED = (
    1000  # rows or columns that a file states at once; a sheet ends with a million empty ones
)
_MAX_CELLS = 20_000_000
_BASES_DEEP = 20
# What a cell states beside the text that it shows, which some programs leave away.
_STATED = ("value", "date-value", "time-value", "boolean-value", "string-value")


class _Level(NamedTuple):
    """How a list numbers one of its levels; an empty `kind` is a bullet."""

    kind: str = ""
    before: str = ""
    after: str = ""
    start: int = 1
    shown: int = 1


class _Look(NamedTuple):
    place: str = ""
    struck: bool = False
    hidden: bool = False


def read(data: bytes, name: str, *, hidden: bool = False, vocabulary: str = DEFAULT) -> Content:
    """Read an OpenDocument text, sheet or presentation.

    `hidden`: its hidden sheets, rows, columns, slides and text, and comments too. Raises
    DocumentError for a file that is encrypted, damaged or of another format.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as package:
            check_sizes(package.infolist(), name)
            members = package.namelist()
            if "META-INF/manifest.xml" in members and b"encryption-data" in package.read(
                "META-INF/manifest.xml"
            ):
                raise DocumentError(f"{name}: is encrypted; save it without a password")
            content, styles, meta = (
                parse_xml(package.read(part)) if part in members else None
                for part in ("content.xml", "styles.xml", "meta.xml")
            )
    except (*PACKAGE_ERRORS, ValueError) as error:
        raise DocumentError(
            f"{name}: is no OpenDocument file, or a damaged one: {squeeze(str(error))}"
        ) from error
    body = content.find(f"{_OFFICE}body") if content is not None else None
    if content is None or body is None or len(body) == 0:
        raise DocumentError(
            f"{name}: is a damaged OpenDocument file: content.xml is missing or cut off"
        )
    reader = _Reader([root for root in (styles, content) if root is not None], hidden=hidden)
    pages = tuple(reader.pages(body))

    def stated(name: str) -> list[str]:
        """What the metadata says under an element's name."""
        nodes = meta.iter(f"{{*}}{name}") if meta is not None else ()
        return [(node.text or "").strip() for node in nodes]

    dates = (iso_date(value[:10]) for key in ("date", "creation-date") for value in stated(key))
    date = next((date for date in dates if date), None)
    tags = tuple(dict.fromkeys(tag for words in stated("keyword") for tag in split_tags(words)))
    title = label(next(iter(stated("title")), ""))
    title = title if says_something(title, read_vocabulary(vocabulary)) else ""
    title = reader.title or title or reader.first_heading
    return Content(title, pages, date, tags, reader.omissions.sentences())


class _Reader:
    def __init__(self, roots: list[Any], *, hidden: bool) -> None:
        self.omissions = Omissions()
        self.title = self.first_heading = ""
        self._hidden = hidden
        self._styles = {
            style.get(f"{_STYLE}name"): style
            for root in roots
            for style in root.iter(f"{_STYLE}style")
        }
        lists = [style for root in roots for style in root.iter(f"{_TEXT}list-style")]
        self._lists = {style.get(f"{_STYLE}name"): _levels(style) for style in lists}
        outline = next(
            (style for root in roots for style in root.iter(f"{_TEXT}outline-style")), None
        )
        self._outline = _levels(outline) if outline is not None else {}
        self._outline_counts: dict[int, int] = {}
        self._margins = [
            part
            for root in roots
            for name in ("header", "footer")
            for part in root.iter(f"{_STYLE}{name}")
        ]
        self._builder = PageBuilder(HeadingPath())
        self._aside: list[str] = []
        self._list_counts: dict[str, dict[int, int]] = {}  # of lists by their ids and styles

    def pages(self, body: Any) -> Iterator[Page]:
        main = next(body.iterchildren("*"))
        if main.tag == f"{_OFFICE}spreadsheet":
            for number, table in enumerate(main.findall(f"{_TABLE}table"), start=1):
                if self._is_shown(
                    table,
                    "hidden sheets",
                    table.get(f"{_TABLE}name") or "",
                    f"{_TABLE}display",
                    "false",
                ):
                    yield self._sheet(table, number)
        elif main.tag == f"{_OFFICE}presentation":
            for number, slide in enumerate(main.findall(f"{_DRAW}page"), start=1):
                if self._is_shown(
                    slide, "hidden slides", str(number), f"{_PRES}visibility", "hidden"
                ):
                    yield self._slide(slide, number)
        else:
            self._blocks(main)
            self._margin_texts()
            yield self._builder.page()

    def _is_shown(self, element: Any, kind: str, name: str, attribute: str, hiding: str) -> bool:
        style = self._styles.get(
            element.get(f"{_TABLE}style-name") or element.get(f"{_DRAW}style-name")
        )
        stated = [node.get(attribute) for node in style.iter("*")] if style is not None else []
        if hiding not in stated or self._hidden:
            return True
        self.omissions.add(kind, name, hidden=True)
        return False

    # --- texts

    def _blocks(self, parent: Any) -> None:
        for element in parent.iterchildren("*"):
            if element.tag == f"{_TEXT}h":
                self._heading(element)
            elif element.tag == f"{_TEXT}p":
                self._builder.text(self._text(element).strip())
            elif element.tag == f"{_TEXT}list":
                self._builder.text("\n".join(self._list(element, "", 0, self._counts(element))))
            elif element.tag == f"{_TABLE}table":
                table = lay_out(
                    list(self._rows(element)),
                    len(element.findall(f"{_TABLE}table-header-rows/{_TABLE}table-row")),
                )
                self._builder.text(table.title)
                self._builder.table(table.rows)
            elif element.tag == f"{_TEXT}tracked-changes":
                words = sum(
                    len("".join(part.itertext()).split())
                    for part in element.iter(f"{_TEXT}deletion")
                )
                if words:
                    self.omissions.add("words of tracked deletions", count=words)
            elif element.tag == f"{_DRAW}frame":
                self._frame(element)
            elif element.tag in (
                f"{_TEXT}section",
                f"{_TEXT}index-body",
                f"{_TEXT}table-of-content",
            ):
                if element.get(f"{_TEXT}display") == "none" and not self._hidden:
                    self.omissions.add(
                        "hidden sections", element.get(f"{_TEXT}name") or "", hidden=True
                    )
                else:
                    self._blocks(element)
            elif next(element.iter(f"{_TEXT}p", f"{_TEXT}h"), None) is not None:
                self._blocks(element)  # other indexes, shapes, numbered paragraphs
            self._flush()

    def _counts(self, element: Any) -> dict[int, int]:
        """The numbers that a list begins with: those of the list that it continues, or none."""
        style = element.get(f"{_TEXT}style-name") or ""
        before = element.get(f"{_TEXT}continue-list")
        if before is None and element.get(f"{_TEXT}continue-numbering") == "true":
            before = style
        counts = self._list_counts.get(before, {}) if before is not None else {}
        self._list_counts[style] = counts
        self._list_counts[element.get("{http://www.w3.org/XML/1998/namespace}id") or style] = counts
        return counts

    def _flush(self) -> None:
        waiting, self._aside = self._aside, []
        for text in waiting:
            self._builder.text(text)

    def _heading(self, element: Any) -> None:
        text = self._text(element).strip()
        level = _whole(element.get(f"{_TEXT}outline-level"), 1)
        style = self._styles.get(element.get(f"{_TEXT}style-name"))
        if not text:
            return
        if (
            (shape := self._outline.get(level))
            and shape.kind
            and element.get(f"{_TEXT}is-list-header") != "true"
        ):
            text = f"{_count(self._outline, self._outline_counts, level)} {text}"
        if style is not None and "Title" in (
            style.get(f"{_STYLE}name"),
            style.get(f"{_STYLE}parent-style-name"),
        ):
            self.title = self.title or label(text)
        self.first_heading = self.first_heading or label(text)
        self._builder.heading(level, text)

    def _list(self, element: Any, style: str, depth: int, counts: dict[int, int]) -> Iterator[str]:
        style = element.get(f"{_TEXT}style-name") or style
        levels = self._lists.get(style, {})
        for item in element.iterchildren(f"{_TEXT}list-item", f"{_TEXT}list-header"):
            mark = ""
            if item.tag == f"{_TEXT}list-item" and item.find(f"{_TEXT}p") is not None:
                if (start := item.get(f"{_TEXT}start-value")) is not None:
                    counts[depth + 1] = _whole(start, 1) - 1
                numbered = levels.get(depth + 1, _Level()).kind
                mark = _count(levels, counts, depth + 1) if numbered else "-"
            for inner in item.iterchildren("*"):
                if inner.tag == f"{_TEXT}list":
                    yield from self._list(inner, style, depth + 1, counts)
                elif text := self._text(inner).strip():
                    yield "  " * depth + f"{mark} {text}".strip()
                    mark = ""

    def _text(self, element: Any) -> str:
        text = settle("".join(self._pieces(element)))
        look = self._look(element.get(f"{_TEXT}style-name"))
        return "" if self._leaves_out(text, look) else text

    def _leaves_out(self, text: str, look: _Look) -> bool:
        """Count the words of a text that is struck out, or hidden; return whether it is."""
        if not (look.struck or (look.hidden and not self._hidden)):
            return False
        kind = "struck-out" if look.struck else "hidden"
        if words := len(text.split()):
            self.omissions.add(f"words of {kind} text", count=words, hidden=not look.struck)
        return True

    def _pieces(self, element: Any) -> Iterator[str]:
        yield element.text or ""
        for child in element:
            if isinstance(child.tag, str):
                yield from self._inline(child)
            yield child.tail or ""

    def _inline(self, child: Any) -> Iterator[str]:
        name = child.tag
        if name == f"{_TEXT}s":
            yield " " * min(_whole(child.get(f"{_TEXT}c"), 1), _MOST_REPEATED)
        elif name in (f"{_TEXT}tab", f"{_TEXT}line-break"):
            yield "\t" if name.endswith("tab") else "\n"
        elif name == f"{_TEXT}span":
            text = "".join(self._pieces(child))
            look = self._look(child.get(f"{_TEXT}style-name"))
            if self._leaves_out(text, look):
                return
            if look.place == "super":
                yield raise_(text)
            else:
                yield lower(text) if look.place == "sub" else text
        elif name == f"{_TEXT}note":
            yield self._note(child)
        elif name == f"{_OFFICE}annotation":
            text = (
                squeeze(" ".join(self._text(part) for part in child.iter(f"{_TEXT}p")))
                if self._hidden
                else ""
            )
            if text:
                self._aside.append(f"Comment: {text}")
            elif not self._hidden:
                self.omissions.add("comments", hidden=True)
        elif name == f"{_TEXT}hidden-text" and not self._hidden:
            self.omissions.add(
                "words of hidden text", count=max(len((child.text or "").split()), 1), hidden=True
            )
        elif name == f"{_TEXT}ruby":
            base, reading = (child.find(_TEXT + part) for part in ("ruby-base", "ruby-text"))
            yield "".join(base.itertext()) if base is not None else ""
            yield f"({''.join(reading.itertext())})" if reading is not None else ""
        elif name == f"{_DRAW}frame":
            self._frame(child)
        elif name.startswith(_DRAW) and name != f"{_DRAW}a":  # a shape with words in it
            lines = (self._text(part).strip() for part in child.iter(f"{_TEXT}p"))
            self._aside.append("\n".join(filter(None, lines)))
        elif name not in (f"{_OFFICE}annotation-end", f"{_TEXT}bookmark"):
            yield from self._pieces(child)

    def _look(self, name: str | None) -> _Look:
        place, struck, hidden = "", False, False
        for _ in range(_BASES_DEEP):
            style = self._styles.get(name)
            if style is None:
                break
            shape = style.find(f"{_STYLE}text-properties")
            if shape is not None:
                stated = (shape.get(f"{_STYLE}text-position") or "").split(" ")[0]
                lifted = (
                    ""
                    if stated.lstrip("-") in ("", "0%")
                    else "sub"
                    if stated.startswith(("-", "sub"))
                    else "super"
                )
                place = place or lifted
                struck = (
                    struck or (shape.get(f"{_STYLE}text-line-through-style") or "none") != "none"
                )
                hidden = hidden or shape.get(f"{_TEXT}display") == "none"
            name = style.get(f"{_STYLE}parent-style-name")
        return _Look(place, struck, hidden)

    def _note(self, note: Any) -> str:
        citation = note.find(f"{_TEXT}note-citation")
        mark = "".join(citation.itertext()).strip() if citation is not None else ""
        body = note.find(f"{_TEXT}note-body")
        text = (
            squeeze(" ".join(self._text(part) for part in body.iter(f"{_TEXT}p")))
            if body is not None
            else ""
        )
        self._aside.append(f"{settle(raise_(mark))} {text}".strip())
        return raise_(mark)

    def _frame(self, frame: Any) -> None:
        """A text box goes aside; a formula is text; a picture or an embedded file is counted."""
        box = frame.find(f"{_DRAW}text-box")
        if box is not None:
            lines = (self._text(part).strip() for part in box.iter(f"{_TEXT}p", f"{_TEXT}h"))
            self._aside.append("\n".join(filter(None, lines)))
        elif frame.find(f"{_DRAW}object") is not None:
            self.omissions.add("embedded objects")
        elif frame.find(f"{_DRAW}image") is not None:
            self.omissions.add("pictures")

    def _margin_texts(self) -> None:
        for kind in ("header", "footer"):
            texts = dict.fromkeys(
                text
                for part in self._margins
                if part.tag == f"{_STYLE}{kind}"
                for paragraph in part.iter(f"{_TEXT}p")
                if (text := squeeze(self._text(paragraph)))
                and paragraph.find(f".//{_TEXT}page-number") is None
            )
            if texts:
                self._builder.close(0)
                self._builder.heading(1, f"Page {kind}")
                self._builder.text("\n".join(texts))
        self._flush()

    # --- tables and sheets

    def _rows(self, table: Any) -> Iterator[list[Cell]]:
        for row in table.iter(f"{_TABLE}table-row"):
            cells = []
            for cell in row.iterchildren(f"{_TABLE}table-cell"):
                rows, columns = (
                    _whole(cell.get(f"{_TABLE}number-{kind}-spanned"), 1)
                    for kind in ("rows", "columns")
                )
                text = squeeze(
                    " ".join(self._text(part) for part in cell.iter(f"{_TEXT}p", f"{_TEXT}h"))
                )
                times = min(_whole(cell.get(f"{_TABLE}number-columns-repeated"), 1), _MOST_REPEATED)
                cells += [Cell(text, rows, columns)] * times
            yield cells

    def _sheet(self, table: Any, number: int) -> Page:
        hidden_columns = self._hidden_columns(table)
        rows: list[list[str]] = []
        spans: dict[int, list[tuple[int, int]]] = {}
        spanned: dict[int, tuple[str, int]] = {}
        for shape in table.iterfind(f"{_TABLE}shapes/*"):
            list(self._inline(shape))
        budget, omitted = _MAX_CELLS, 0
        for row in table.iter(f"{_TABLE}table-row"):
            times = min(_whole(row.get(f"{_TABLE}number-rows-repeated"), 1), _MOST_REPEATED)
            texts, merged = self._cells(row, hidden_columns, spanned)
            if row.get(f"{_TABLE}visibility") in ("collapse", "filter") and not self._hidden:
                omitted += times if any(texts) else 0
                continue
            if merged:
                spans[len(rows)] = merged
            times = times if any(texts) else 1
            budget -= times * (len(texts) + 1)
            if budget < 0:
                raise DocumentError(
                    f"sheet {table.get(f'{_TABLE}name')} has more than {_MAX_CELLS:,} cells; split it"
                )
            rows += [list(texts) for _ in range(times)]
        if omitted:
            self.omissions.add(
                "hidden rows", table.get(f"{_TABLE}name") or "", count=omitted, hidden=True
            )
        builder = PageBuilder(HeadingPath())
        if any(any(row) for row in rows):
            builder.heading(1, table.get(f"{_TABLE}name") or "")
        add_grid(builder, rows, spans)
        waiting, self._aside = self._aside, []
        for text in waiting:
            builder.text(text)
        return builder.page(number)

    def _hidden_columns(self, table: Any) -> set[int]:
        at = 0
        hidden: set[int] = set()
        for column in table.iter(f"{_TABLE}table-column"):
            times = min(_whole(column.get(f"{_TABLE}number-columns-repeated"), 1), 1 << 14)
            if column.get(f"{_TABLE}visibility") in ("collapse", "filter") and not self._hidden:
                hidden |= set(range(at, at + times))
                self.omissions.add(
                    "hidden columns", table.get(f"{_TABLE}name") or "", count=times, hidden=True
                )
            at += times
        return hidden

    def _cells(
        self, row: Any, hidden_columns: set[int], spanned: dict[int, tuple[str, int]]
    ) -> tuple[list[str], list[tuple[int, int]]]:
        """The texts of a row, and its merged cells. `spanned`: of each column the text of a cell
        over several rows, and how many rows it still speaks for."""
        texts: list[str] = []
        merged: list[tuple[int, int]] = []
        at = 0
        for cell in row.iterchildren(f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"):
            times = min(_whole(cell.get(f"{_TABLE}number-columns-repeated"), 1), _MOST_REPEATED)
            paragraphs = cell.findall(f"{_TEXT}p")
            for annotation in cell.findall(f"{_OFFICE}annotation"):
                list(self._inline(annotation))
            for frame in cell.findall(f"{_DRAW}frame"):
                self._frame(frame)
            text = squeeze(" ".join(self._text(part) for part in paragraphs))
            if not paragraphs:
                stated = (cell.get(_OFFICE + kind) for kind in _STATED)
                text = squeeze(next(filter(None, stated), ""))
            if self._leaves_out(text, self._look(cell.get(f"{_TABLE}style-name"))):
                text = ""
            above, rows_left = spanned.pop(at, ("", 0))
            if rows_left and cell.tag == f"{_TABLE}covered-table-cell":
                text = text or above
                spanned[at] = above, rows_left - 1
            width, height = (
                _whole(cell.get(f"{_TABLE}number-{kind}-spanned"), 1)
                for kind in ("columns", "rows")
            )
            if height > 1 and width == 1 and 0 < len(text) <= REPEATED_LIMIT:
                spanned[at] = text, height - 1
            if width > 1 and text:
                merged.append((len(texts), len(texts) + width - 1))
            for column in range(at, at + times):
                if column not in hidden_columns:
                    texts.append(text)
            at += times
        while texts and not texts[-1]:
            texts.pop()
        return texts, merged

    # --- slides

    def _slide(self, slide: Any, number: int) -> Page:
        builder = self._builder = PageBuilder(HeadingPath())
        frames = [frame for frame in slide.iterchildren("*") if frame.tag != f"{_PRES}notes"]
        for frame in sorted(frames, key=lambda entry: entry.get(f"{_PRES}class") != "title"):
            if frame.get(f"{_PRES}class") == "title":
                if text := squeeze(" ".join(self._text(part) for part in frame.iter(f"{_TEXT}p"))):
                    builder.heading(1, text)
                    self.first_heading = self.first_heading or label(text)
            elif (box := frame.find(f"{_DRAW}text-box")) is not None:
                self._blocks(box)
            elif (
                frame.tag == f"{_DRAW}frame" and (table := frame.find(f"{_TABLE}table")) is not None
            ):
                laid = lay_out(list(self._rows(table)))
                builder.table(laid.rows)
            elif frame.tag == f"{_DRAW}frame":
                self._frame(frame)
            else:
                self._blocks(frame)
            self._flush()
        notes = slide.find(f"{_PRES}notes")
        said = (
            [self._text(part).strip() for part in notes.iter(f"{_TEXT}p")]
            if notes is not None
            else []
        )
        if any(said):
            builder.heading(2, "Speaker notes")
            builder.text("\n".join(filter(None, said)))
        return builder.page(number)


def _levels(style: Any) -> dict[int, _Level]:
    levels = {}
    for entry in style.iterchildren(
        f"{_TEXT}list-level-style-number", f"{_TEXT}outline-level-style"
    ):
        kind = _NUMBER_FORMATS.get(entry.get(f"{_STYLE}num-format") or "", "")
        levels[_whole(entry.get(f"{_TEXT}level"), 1)] = _Level(
            kind,
            entry.get(f"{_STYLE}num-prefix") or "",
            entry.get(f"{_STYLE}num-suffix") or "",
            _whole(entry.get(f"{_TEXT}start-value"), 1),
            _whole(entry.get(f"{_TEXT}display-levels"), 1),
        )
    return levels


def _count(levels: dict[int, _Level], counts: dict[int, int], level: int) -> str:
    """The next number of a level, with those of the levels above that it shows."""
    shape = levels[level]
    counts[level] = counts.get(level, shape.start - 1) + 1
    for deeper in [place for place in counts if place > level]:
        del counts[deeper]
    shown = []
    for place in range(max(level - shape.shown + 1, 1), level + 1):
        above = levels.get(place, _Level())
        if above.kind:
            shown.append(FORMATS[above.kind](counts.get(place, above.start)))
    return f"{shape.before}{'.'.join(shown)}{shape.after}"


def _whole(value: str | None, otherwise: int) -> int:
    return int(value) if value is not None and value.isdecimal() and len(value) < 9 else otherwise
