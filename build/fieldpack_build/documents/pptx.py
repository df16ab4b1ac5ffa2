"""Reads PowerPoint files: each slide a page under its title, with its texts, tables, charts, diagrams and notes.

Knows nothing of pictures, nor of where on a slide a text stands: the order is the file's, which screen readers use.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from fieldpack_build.documents.grid import REPEATED_LIMIT
from fieldpack_build.documents.office import PACKAGE_ERRORS, open_package, parse_xml, without_address
from fieldpack_build.documents.pages import Content, HeadingPath, Page, PageBuilder, label, squeeze
from fieldpack_build.documents.titles import says_something
from fieldpack_build.errors import DocumentError

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_DIAGRAM = "http://schemas.openxmlformats.org/drawingml/2006/diagram"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_NOTES = "Speaker notes"
_DEEPEST_GROUP = 20
_DEEPEST_ITEM = 8


def read(data: bytes, name: str) -> Content:
    from lxml.etree import XMLSyntaxError
    from pptx.exc import PythonPptxError

    data, properties = open_package(data, name, "PowerPoint file", ".ppt of PowerPoint 97 to 2003")
    try:
        pages = _pages(data)
    except (*PACKAGE_ERRORS, PythonPptxError, XMLSyntaxError, KeyError, ValueError) as error:
        raise DocumentError(f"{name}: is a damaged PowerPoint file: {without_address(error)}") from error
    # python-pptx 1.0 checks no part: one of the wrong kind, or an element left out, ends in these.
    except (AttributeError, TypeError, IndexError, AssertionError) as error:
        raise DocumentError(f"{name}: is a damaged PowerPoint file: a part is of the wrong kind") from error
    title = properties.title if says_something(properties.title) else _first_words(pages[:1])
    return Content(title, pages, properties.date, properties.tags)


def _first_words(pages: tuple[Page, ...]) -> str:
    """The title of the first slide, or else its first line."""
    blocks = [block for page in pages for block in page.blocks if block.kind == "text" and _NOTES not in block.heading]
    if not blocks:
        return ""
    return blocks[0].heading[0] if blocks[0].heading else label(pages[0].text[blocks[0].start :].split("\n", 1)[0])


def _pages(data: bytes) -> tuple[Page, ...]:
    import pptx

    slides = pptx.Presentation(BytesIO(data)).slides
    return tuple(_page(slide, number) for number, slide in enumerate(slides, start=1))


def _page(slide: Any, number: int) -> Page:
    builder = PageBuilder(HeadingPath())
    title = slide.shapes.title
    words = squeeze(title.text_frame.text) if title is not None and title.has_text_frame else ""
    if words:
        builder.heading(1, words)
    for shape in _shapes(slide.shapes, 0):
        if title is None or shape.shape_id != title.shape_id:
            _add_shape(builder, slide, shape)
    notes = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
    if notes is not None and notes.text.strip():
        builder.heading(2, _NOTES)
        builder.text(_lines(notes))
    return builder.page(number)


def _shapes(shapes: Any, depth: int) -> Iterator[Any]:
    for shape in shapes:
        if hasattr(shape, "shapes") and depth < _DEEPEST_GROUP:
            yield from _shapes(shape.shapes, depth + 1)
        elif not _is_footer(shape):
            yield shape


def _is_footer(shape: Any) -> bool:
    from pptx.enum.shapes import PP_PLACEHOLDER

    footers = (PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.SLIDE_NUMBER, PP_PLACEHOLDER.DATE)
    return bool(shape.is_placeholder and shape.placeholder_format.type in footers)


def _add_shape(builder: PageBuilder, slide: Any, shape: Any) -> None:
    if shape.has_text_frame:
        builder.text(_lines(shape.text_frame))
    elif getattr(shape, "has_table", False):
        builder.table(list(_rows(shape.table)))
    elif getattr(shape, "has_chart", False):
        _add_chart(builder, shape.chart)
    else:
        builder.text("\n".join(_diagram(slide, shape)))


def _lines(frame: Any) -> str:
    """Paragraphs as lines; those below the first level are items of a list."""
    lines = []
    for paragraph in frame.paragraphs:
        text = paragraph.text.replace("\v", "\n").strip()
        level = min(paragraph.level, _DEEPEST_ITEM)
        if text:
            lines.append(f"{'  ' * (level - 1)}- {text}" if level else text)
    return "\n".join(lines)


def _rows(table: Any) -> Iterator[list[str]]:
    """A cell over several rows is repeated in each; one over several columns is followed by empty cells."""
    above: dict[int, tuple[int, str]] = {}
    for row in table.rows:
        cells = []
        for column, cell in enumerate(row.cells):
            left, text = above.get(column, (0, ""))
            if left and cell.is_spanned:
                above[column] = (left - 1, text)
                cells.append(text)
                continue
            cells.append("" if cell.is_spanned else squeeze(cell.text_frame.text))
            if cell.is_merge_origin and cell.span_height > 1 and len(cells[-1]) <= REPEATED_LIMIT:
                above[column] = (cell.span_height - 1, cells[-1])
        yield cells


def _add_chart(builder: PageBuilder, chart: Any) -> None:
    """Its title, and its series beside each other: read from the XML, as python-pptx knows no chart in 3-D."""
    if chart.has_title and chart.chart_title.has_text_frame:
        builder.text(squeeze(chart.chart_title.text_frame.text))
    series = list(chart._chartSpace.iter(f"{_C}ser"))
    values = [_points(entry, "val", "yVal") for entry in series]
    names = {place: name for entry in series for place, name in _points(entry, "cat", "xVal").items()}
    places = sorted({place for points in values for place in points})
    head = [" ".join(_points(entry, "tx").values()) for entry in series]
    rows = [[names.get(place, ""), *(_figure(points.get(place, "")) for points in values)] for place in places]
    builder.table([["", *head], *rows])


def _points(series: Any, *names: str) -> dict[int, str]:
    """The texts of a series' points under one of these elements, by their place."""
    found = (series.find(f"{_C}{name}") for name in names)
    points = [point for element in found if element is not None for point in element.iter(f"{_C}pt")]
    return {int(point.get("idx")): squeeze(point.findtext(f"{_C}v") or "") for point in points}


def _figure(text: str) -> str:
    try:
        return f"{float(text):.10g}"
    except ValueError:
        return text


def _diagram(slide: Any, shape: Any) -> Iterator[str]:
    """The texts of a SmartArt diagram, which stand in a part of their own."""
    for reference in shape._element.iter(f"{{{_DIAGRAM}}}relIds"):
        part = slide.part.related_part(reference.get(f"{_RELATION}dm"))
        root = parse_xml(part.blob)
        for point in () if root is None else root.iter(f"{{{_DIAGRAM}}}pt"):
            text = squeeze(" ".join(node.text or "" for node in point.iter(f"{_A}t")))
            if text:
                yield f"- {text}"
