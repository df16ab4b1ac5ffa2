"""pdfium's functions as C sees them, those that are called for each character, line or annotation.

pypdfium2's own prototypes convert pointers and give up the interpreter's lock at each call: 0.8
microseconds a call against 0.4, and a page has some 4,000 characters. Knows nothing of pages.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any


class Pdfium:
    """Functions of the text of a page, of the objects drawn on it, and of its annotations."""

    def __init__(self) -> None:
        p, i, d = ctypes.c_void_p, ctypes.c_int, ctypes.c_double
        self.loose_box = _function("FPDFText_GetLooseCharBox", i, p, i, p)
        self.unicode = _function("FPDFText_GetUnicode", ctypes.c_uint, p, i)
        self.angle = _function("FPDFText_GetCharAngle", ctypes.c_float, p, i)
        self.origin = _function("FPDFText_GetCharOrigin", i, p, i, p, p)
        self.char_matrix = _function("FPDFText_GetMatrix", i, p, i, p)
        self.size = _function("FPDFText_GetFontSize", d, p, i)
        self.text_object = _function("FPDFText_GetTextObject", p, p, i)
        self.font = _function("FPDFTextObj_GetFont", p, p)
        self.font_name = _function(
            "FPDFFont_GetBaseFontName", ctypes.c_size_t, p, p, ctypes.c_size_t
        )

        self.count_objects = _function("FPDFPage_CountObjects", i, p)
        self.object = _function("FPDFPage_GetObject", p, p, i)
        self.count_form_objects = _function("FPDFFormObj_CountObjects", i, p)
        self.form_object = _function("FPDFFormObj_GetObject", p, p, ctypes.c_ulong)
        self.type = _function("FPDFPageObj_GetType", i, p)
        self.bounds = _function("FPDFPageObj_GetBounds", i, p, p, p, p, p)
        self.matrix = _function("FPDFPageObj_GetMatrix", i, p, p)
        self.draw_mode = _function("FPDFPath_GetDrawMode", i, p, p, p)
        self.count_points = _function("FPDFPath_CountSegments", i, p)
        self.point = _function("FPDFPath_GetPathSegment", p, p, i)
        self.point_place = _function("FPDFPathSegment_GetPoint", i, p, p, p)
        self.point_type = _function("FPDFPathSegment_GetType", i, p)
        self.point_closes = _function("FPDFPathSegment_GetClose", i, p)

        self.count_annotations = _function("FPDFPage_GetAnnotCount", i, p)
        self.annotation = _function("FPDFPage_GetAnnot", p, p, i)
        self.annotation_type = _function("FPDFAnnot_GetSubtype", i, p)
        self.close_annotation = _function("FPDFPage_CloseAnnot", None, p)


@cache
def pdfium() -> Pdfium:
    """Return pdfium's functions, looked up once."""
    return Pdfium()


def _function(name: str, result: Any, *arguments: Any) -> Any:
    from pypdfium2 import raw

    address = ctypes.cast(getattr(raw, name), ctypes.c_void_p).value
    assert address is not None
    return ctypes.PYFUNCTYPE(result, *arguments)(address)
