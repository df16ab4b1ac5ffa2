"""Reads PowerPoint files: each slide a page under its title, with its texts, tables, charts,
diagrams and notes.

Hidden slides, struck text, comments and pictures are left out and counted. Knows nothing of where
on a slide a text stands: the order is the file's, which screen readers use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from fieldpack_build.documents.merged import Cell, lay_out
from fieldpack_build.documents.office import omml
from fieldpack_build.documents.office.docx_numbering import FORMATS
from fieldpack_build.documents.office.package import (
    PACKAGE_ERRORS,
    open_package,
    parse_xml,
    without_address,
)
from fieldpack_build.documents.omissions import Omissions
from fieldpack_build.documents.pages import (
    Content,
    HeadingPath,
    OnProgress,
    Page,
    PageBuilder,
    label,
    say_nothing,
    squeeze,
)
from fieldpack_build.documents.raised import lower, raise_, settle
from fieldpack_build.documents.titles import says_something
from fieldpack_build.documents.vocabulary import DEFAULT, read_vocabulary
from fieldpack_build.errors import DocumentError

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_DIAGRAM = "http://schemas.openxmlformats.org/drawingml/2006/diagram"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_NOTES = "Speaker notes"
_DEEPEST_GROUP = 20
_DEEPEST_ITEM = 8
_AUTO_NUMBER = re.compile(
    r"(arabic|alphaLc|alphaUc|romanLc|romanUc)(Period|ParenR|ParenBoth|Plain)"
)
_AUTO_FORMATS = {
    "arabic": "decimal",
    "alphaLc": "lowerLetter",
    "alphaUc": "upperLetter",
    "romanLc": "lowerRoman",
    "romanUc": "upperRoman",
}
_AUTO_SHAPES = {"Period": "{}.", "ParenR": "{})", "ParenBoth": "({})", "Plain": "{}"}


def read(
    data: bytes,
    name: str,
    *,
    hidden: bool = False,
    vocabulary: str = DEFAULT,
    on_progress: OnProgress = say_nothing,
) -> Content:
    """Read a PowerPoint file, a page a slide. `hidden`: its hidden slides too.

    Raises DocumentError for a file that is encrypted, damaged or of another format.
    """
    import pptx
    from lxml.etree import XMLSyntaxError
    from pptx.exc import PythonPptxError

    data, properties = open_package(data, name, "PowerPoint file", ".ppt of PowerPoint 97 to 2003")
    try:
        omissions = Omissions()
        slides: list[Page] = []
        shown = pptx.Presentation(BytesIO(data)).slides
        for number, slide in enumerate(shown, start=1):
            if slide._element.get("show") in ("0", "false") and not hidden:
                omissions.add("hidden slides", str(number), hidden=True)
            else:
                slides.append(_Slide(slide, omissions, hidden=hidden).page(number))
            on_progress(number, len(shown), "slide")
    except (*PACKAGE_ERRORS, PythonPptxError, XMLSyntaxError, KeyError, ValueError) as error:
        raise DocumentError(
            f"{name}: is a damaged PowerPoint file: {without_address(error)}"
        ) from error
    # python-pptx 1.0 checks no part: one of the wrong kind, or an element left out, ends in these.
    except (AttributeError, TypeError, IndexError, AssertionError) as error:
        raise DocumentError(
            f"{name}: is a damaged PowerPoint file: a part is of the wrong kind"
        ) from error
    title = properties.title
    if not says_something(title, read_vocabulary(vocabulary)):
        # The title of the first slide, or else its first line.
        title = ""
        blocks = [
            b
            for page in slides[:1]
            for b in page.blocks
            if b.kind == "text" and _NOTES not in b.heading
        ]
        if blocks:
            first_line = slides[0].text[blocks[0].start :].split("\n", 1)[0]
            title = blocks[0].heading[0] if blocks[0].heading else label(first_line)
    return Content(title, tuple(slides), properties.date, properties.tags, omissions.sentences())


class _Slide:
    def __init__(self, slide: Any, omissions: Omissions, *, hidden: bool) -> None:
        self._slide = slide
        self._omissions = omissions
        self._hidden = hidden
        self._builder = PageBuilder(HeadingPath())

    def page(self, number: int) -> Page:
        title = self._slide.shapes.title
        words = (
            squeeze(self._lines(title.text_frame))
            if title is not None and title.has_text_frame
            else ""
        )
        if words:
            self._builder.heading(1, words)
        for shape in _shapes(self._slide.shapes, 0):
            if title is None or shape.shape_id != title.shape_id:
                self._add(shape)
        notes = self._slide.notes_slide.notes_text_frame if self._slide.has_notes_slide else None
        if notes is not None and notes.text.strip():
            self._builder.heading(2, _NOTES)
            self._builder.text(self._lines(notes))
        self._add_comments()
        return self._builder.page(number)

    def _add(self, shape: Any) -> None:
        if not self._hidden and _is_hidden(shape._element):
            self._omissions.add("hidden shapes", hidden=True)
        elif shape.has_text_frame:
            self._builder.text(self._lines(shape.text_frame))
        elif getattr(shape, "has_table", False):
            rows = [
                [
                    Cell(squeeze(self._lines(cell.text_frame)), cell.span_height, cell.span_width)
                    if cell.is_merge_origin
                    else Cell(squeeze(self._lines(cell.text_frame)))
                    for cell in row.cells
                    if not cell.is_spanned
                ]
                for row in shape.table.rows
            ]
            table = lay_out(rows)
            self._builder.text(table.title)
            self._builder.table(table.rows)
        elif getattr(shape, "has_chart", False):
            _add_chart(self._builder, shape.chart)
        else:
            lines: list[str] = []  # of a SmartArt diagram, whose texts stand in a part of their own
            for reference in shape._element.iter(f"{{{_DIAGRAM}}}relIds"):
                part = self._slide.part.related_part(reference.get(f"{_RELATION}dm"))
                root = parse_xml(part.blob)
                for point in () if root is None else root.iter(f"{{{_DIAGRAM}}}pt"):
                    words = squeeze(" ".join(node.text or "" for node in point.iter(f"{_A}t")))
                    lines += [f"- {words}"] if words else []
            self._builder.text("\n".join(lines))
            if not lines and next(shape._element.iter(f"{_A}blip"), None) is not None:
                self._omissions.add("pictures")

    def _add_comments(self) -> None:
        for relation in self._slide.part.rels.values():
            if relation.is_external or relation.reltype.rpartition("/")[2] != "comments":
                continue
            root = parse_xml(relation.target_part.blob)
            for entry in () if root is None else root.iter("{*}cm"):
                words = squeeze(
                    " ".join(node.text or "" for node in entry.iter("{*}text", f"{_A}t"))
                )
                if self._hidden:
                    self._builder.text(f"Comment: {words}")
                elif words:
                    self._omissions.add("comments", hidden=True)

    def _lines(self, frame: Any) -> str:
        """Paragraphs as lines; those below the first level are items of a list, numbered ones carry
        their number."""
        lines = []
        counts: dict[int, int] = {}
        for paragraph in frame.paragraphs:
            text = settle("".join(self._pieces(paragraph._p))).replace("\v", "\n").strip()
            level = min(paragraph.level, _DEEPEST_ITEM)
            counts = {place: count for place, count in counts.items() if place <= level}
            mark = _auto_number(paragraph._p, level, counts)
            if not mark:
                counts.pop(level, None)
                mark = "-" if level else ""
            if text:
                lines.append("  " * max(level - 1, 0) + f"{mark} {text}".lstrip())
        return "\n".join(lines)

    def _pieces(self, element: Any) -> Iterator[str]:
        for child in element.iterchildren("*"):
            name = child.tag.rpartition("}")[2]
            if name == "br":
                yield "\v"
            elif name in ("r", "fld") and child.tag.startswith(_A):
                yield self._run(child)
            elif child.tag.startswith(omml.M):
                yield omml.written(child)
            elif name in ("AlternateContent", "Choice", "m"):
                yield from self._pieces(child)

    def _run(self, run: Any) -> str:
        text = "".join(node.text or "" for node in run.iter(f"{_A}t"))
        shape = run.find(f"{_A}rPr")
        if shape is None:
            return text
        if shape.get("strike", "noStrike") != "noStrike":
            if words := len(text.split()):
                self._omissions.add("words of struck-out text", count=words)
            return ""
        baseline = shape.get("baseline", "0").rstrip("%")
        if baseline.lstrip("-") in ("", "0"):
            return text
        return lower(text) if baseline.startswith("-") else raise_(text)


def _auto_number(paragraph: Any, level: int, counts: dict[int, int]) -> str:
    """The number that PowerPoint shows before a paragraph that states one; `counts` by level goes
    on."""
    stated = paragraph.find(f"{_A}pPr/{_A}buAutoNum")
    shape = _AUTO_NUMBER.fullmatch(stated.get("type", "")) if stated is not None else None
    if stated is None or shape is None:
        return ""
    start = stated.get("startAt", "1")
    counts[level] = counts[level] + 1 if level in counts else int(start) if start.isdigit() else 1
    return _AUTO_SHAPES[shape[2]].format(FORMATS[_AUTO_FORMATS[shape[1]]](counts[level]))


def _is_hidden(element: Any) -> bool:
    """Return whether a shape, or a group that it is in, is hidden (in the list of what is selected)."""
    states = (
        name.get("hidden")
        for node in (element, *element.iterancestors())
        for name in node.iterfind("./*/{*}cNvPr")
        if name.getparent().tag.rpartition("}")[2].startswith("nv")
    )
    return any(state in ("1", "true") for state in states)


def _shapes(shapes: Any, depth: int) -> Iterator[Any]:
    """Those of a slide, groups taken apart, footers left out."""
    from pptx.enum.shapes import PP_PLACEHOLDER

    footers = (PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.SLIDE_NUMBER, PP_PLACEHOLDER.DATE)
    for shape in shapes:
        if hasattr(shape, "shapes") and depth < _DEEPEST_GROUP:
            yield from _shapes(shape.shapes, depth + 1)
        elif not (shape.is_placeholder and shape.placeholder_format.type in footers):
            yield shape


def _add_chart(builder: PageBuilder, chart: Any) -> None:
    """Its title, and its series beside each other: read from the XML, as python-pptx knows no chart
    in 3-D."""
    if chart.has_title and chart.chart_title.has_text_frame:
        builder.text(squeeze(chart.chart_title.text_frame.text))
    series = list(chart._chartSpace.iter(f"{_C}ser"))
    values = [_points(entry, "val", "yVal") for entry in series]
    names = {
        place: name for entry in series for place, name in _points(entry, "cat", "xVal").items()
    }
    places = sorted({place for points in values for place in points})
    head = [" ".join(_points(entry, "tx").values()) for entry in series]
    rows: list[list[str]] = []
    for place in places:
        rows.append([names.get(place, "")])
        for text in (points.get(place, "") for points in values):
            try:
                rows[-1].append(f"{float(text):.10g}")
            except ValueError:
                rows[-1].append(text)
    builder.table([["", *head], *rows])


def _points(series: Any, *names: str) -> dict[int, str]:
    """The texts of a series' points under one of these elements, by their place."""
    elements = (series.find(f"{_C}{name}") for name in names)
    points = [
        point for element in elements if element is not None for point in element.iter(f"{_C}pt")
    ]
    return {int(point.get("idx")): squeeze(point.findtext(f"{_C}v") or "") for point in points}
