"""What lies on top of a PDF's pages: filled form fields, ticks, text that was written over a page,
comments.

Field values and visible text are put beside their labels, as a reader of the page sees them; what
is not shown on the page, comments and hidden fields, is counted. Knows nothing of lines drawn,
tables and headings.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from fieldpack_build.documents.pages import clean, squeeze
from fieldpack_build.documents.pdf.pdfium import pdfium
from fieldpack_build.documents.pdf.scripts import spoken
from fieldpack_build.documents.pdf.text import Line, PageText, Segment, turned

TICKED, UNTICKED = "[x]", "[ ]"
_BESIDE = 0.5  # of the lower one's height that a field and its label share
_ABOVE = 1.5  # times a label's height, from it down to its field
_RIGHT = 2.0  # times a tick box's height, to a label right of it; else its label is left of it
_MOST_NOTES = 1000  # on a page; each is looked for beside every line
_NOVIEW = 2 | 32  # FPDF_ANNOT_FLAG_HIDDEN, FPDF_ANNOT_FLAG_NOVIEW
_PASSWORD = 1 << 13  # of a text field's flags
_CHECKBOX, _RADIO, _COMBO, _LIST, _TEXT = 2, 3, 4, 5, 6  # FPDF_FORMFIELD_*
_FREE_TEXT, _STRIKE_OUT, _STAMP, _FILE, _WIDGET = 3, 12, 13, 17, 20  # FPDF_ANNOT_*
HIDEABLE = frozenset(("comment annotation", "hidden annotation", "hidden form field"))
_SILENT = frozenset((0, 2, 16))  # unknown ones, links, and the windows that comments open in
_COMMENTS = frozenset((1, *range(4, 16)))  # notes, and marks, shapes and stamps that may have one


@dataclass(slots=True)
class Note:
    """Text on top of a page, or beside a tick box.

    `name` is what the form calls it; the box is in points.
    """

    text: str
    left: float
    right: float
    bottom: float
    top: float
    name: str = ""
    is_tick: bool = False
    is_field: bool = True


@dataclass(slots=True)
class Annotations:
    """What lies on a page: notes that are read, and the rest counted.

    `strikes` are boxes of lines through text, left right bottom top in points; `left_out` counts
    what is not read, by what it is; `files` are names of attachments.
    """

    notes: list[Note] = field(default_factory=list)
    strikes: list[tuple[float, float, float, float]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    files: list[str] = field(default_factory=list)


def read_annotations(page: Any, form: Any, *, hidden: bool = False) -> Annotations:
    """Read what lies on top of a page.

    `page` is a pypdfium2.PdfPage, `form` the document's form environment or None. `hidden`: read
    comments and hidden fields too.
    """
    from pypdfium2 import raw

    api = pdfium()
    annotations = Annotations()
    handle = ctypes.cast(page.raw, ctypes.c_void_p).value
    for i in range(api.count_annotations(handle)):
        address = api.annotation(handle, i)
        if address:
            kind = api.annotation_type(address)
            if kind not in _SILENT:
                one = ctypes.cast(address, raw.FPDF_ANNOTATION)
                _add(annotations, kind, one, form, read_hidden=hidden)
            api.close_annotation(address)
    return annotations


def attachments(document: Any) -> list[str]:
    """Return the names of the files that a pypdfium2.PdfDocument holds."""
    return [
        squeeze(document.get_attachment(i).get_name()) or "without a name"
        for i in range(document.count_attachments())
    ]


def _add(
    annotations: Annotations, kind: int, annotation: Any, form: Any, *, read_hidden: bool
) -> None:
    from pypdfium2 import raw

    if kind == _STRIKE_OUT:
        annotations.strikes += _strikes(annotation)
    hidden = bool(raw.FPDFAnnot_GetFlags(annotation) & _NOVIEW) and not read_hidden
    words = _text_of(raw.FPDFAnnot_GetStringValue, annotation, b"Contents")
    if kind == _WIDGET:
        note = _field(annotation, form) if form else None
        if note and hidden:
            annotations.left_out["hidden form field"] += bool(note.text not in ("", UNTICKED))
        elif note and note.text and len(annotations.notes) < _MOST_NOTES:
            annotations.notes.append(note)
        elif note and note.text:
            annotations.left_out["form field"] += 1
    elif kind == _FILE:
        annotations.files.append(words or "without a name")
    elif words and kind == _FREE_TEXT and not hidden and len(annotations.notes) < _MOST_NOTES:
        annotations.notes.append(Note(words, *_box(annotation), is_field=False))
    elif kind == _STAMP and not hidden:
        annotations.left_out["stamp annotation"] += 1
    elif words and (kind in _COMMENTS or kind == _FREE_TEXT):
        if read_hidden and len(annotations.notes) < _MOST_NOTES:
            comment = Note(f"Comment: {words}", *_box(annotation), is_field=False)
            annotations.notes.append(comment)
            return
        annotations.left_out["hidden annotation" if hidden else "comment annotation"] += 1


def _field(annotation: Any, form: Any) -> Note | None:
    """None for buttons and signatures."""
    from pypdfium2 import raw

    kind = raw.FPDFAnnot_GetFormFieldType(form, annotation)
    name = _text_of(raw.FPDFAnnot_GetFormFieldAlternateName, form, annotation) or _text_of(
        raw.FPDFAnnot_GetFormFieldName, form, annotation
    )
    box = _box(annotation)
    if kind in (_CHECKBOX, _RADIO):
        ticked = raw.FPDFAnnot_IsChecked(form, annotation)
        return Note(TICKED if ticked else UNTICKED, *box, name, is_tick=True)
    if kind not in (_COMBO, _LIST, _TEXT):
        return None
    if kind == _TEXT and raw.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD:
        return None
    return Note(_text_of(raw.FPDFAnnot_GetFormFieldValue, form, annotation), *box, name)


def _box(annotation: Any) -> tuple[float, float, float, float]:
    from pypdfium2 import raw

    box = raw.FS_RECTF()
    raw.FPDFAnnot_GetRect(annotation, box)
    return (
        min(box.left, box.right),
        max(box.left, box.right),
        min(box.bottom, box.top),
        max(box.bottom, box.top),
    )


def _strikes(annotation: Any) -> Iterator[tuple[float, float, float, float]]:
    """Along the middle of the words, which may run up the page."""
    from pypdfium2 import raw

    quad = raw.FS_QUADPOINTSF()
    for i in range(raw.FPDFAnnot_CountAttachmentPoints(annotation)):
        if raw.FPDFAnnot_GetAttachmentPoints(annotation, i, quad):
            xs, ys = (quad.x1, quad.x2, quad.x3, quad.x4), (quad.y1, quad.y2, quad.y3, quad.y4)
            left, right, bottom, top = min(xs), max(xs), min(ys), max(ys)
            x, y = (left + right) / 2, (bottom + top) / 2
            yield (left, right, y, y) if right - left >= top - bottom else (x, x, bottom, top)


def _text_of(getter: Any, *arguments: Any) -> str:
    """What a function of pdfium writes as UTF-16 into a buffer, on one line."""
    size = getter(*arguments, None, 0)
    buffer = ctypes.create_string_buffer(size)
    getter(*arguments, ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), size)
    return squeeze(clean(buffer.raw[:size].decode("utf-16-le", "replace").rstrip("\0")))


def with_notes(page: PageText, notes: list[Note]) -> PageText:
    """Return the page with the notes on the lines of their labels.

    Those without a label are lines of their own, each after the last line above it.
    """
    import numpy as np

    if not notes:
        return page
    boxes = np.array([(note.left, note.right, note.bottom, note.top) for note in notes], np.float32)
    lines, text, places = list(page.lines), page.text, [page.boxes]
    for note, box in zip(notes, turned(boxes, page.turn).tolist(), strict=True):
        note = replace(note, left=box[0], right=box[1], bottom=box[2], top=box[3])
        segment = Segment(note.text, len(text), len(text) + len(note.text), *box)
        text += note.text
        width = (note.right - note.left) / len(note.text)  # of a character, as if all had the same
        edges = [note.left + i * width for i in range(len(note.text) + 1)]
        places.append(
            np.array([(*pair, note.bottom, note.top) for pair in pairwise(edges)], np.float32)
        )
        at = _label_line(lines, note) if note.is_field else None
        if at is not None:
            segments = sorted([*lines[at].segments, segment], key=lambda one: one.left)
            words = " ".join(spoken(one.text) for one in segments)
            lines[at] = replace(
                lines[at], text=words, size=0.0, bold=False, columns=True, segments=segments
            )
            continue
        has_name = note.is_field and sum(map(str.isalpha, note.name)) > 2  # and is no "f0"
        words = f"{note.name}: {note.text}" if has_name else note.text
        at = max((i + 1 for i, line in enumerate(lines) if line.y >= note.bottom), default=0)
        lines.insert(at, Line(words, 0.0, False, False, note.bottom, note.bottom, [segment]))
    return replace(page, lines=lines, text=text, boxes=np.concatenate(places))


def _label_line(lines: list[Line], note: Note) -> int | None:
    """The line of the nearest label beside the field; for a tick box one close at its right first;
    else one above."""
    best: tuple[float, int] | None = None
    for i, line in enumerate(lines):
        for segment in line.segments:
            height = min(segment.top - segment.bottom, note.top - note.bottom)
            shared = min(segment.top, note.top) - max(segment.bottom, note.bottom)
            if shared >= _BESIDE * height > 0:
                right = segment.left - note.right
                distance = (
                    note.left - segment.right if segment.right <= note.left + height else right
                )
                if right >= -height and note.is_tick and right <= _RIGHT * height:
                    distance = -1.0
                elif segment.left > note.left:
                    continue  # the label of the next field
            elif not note.is_tick and 0 <= segment.bottom - note.top + height <= _ABOVE * (
                segment.top - segment.bottom
            ):
                if not (segment.left < note.right and note.left < segment.right):
                    continue
                distance = 1e4  # any label beside it is nearer
            else:
                continue
            if best is None or distance < best[0]:
                best = distance, i
    return best[1] if best else None
