"""Reads Jupyter notebooks: text cells as Markdown, code and its printed results as blocks of code.

Pictures among the results are counted. The format is JSON (nbformat 3 and 4) and needs no library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from fieldpack_build.documents.encoding import decode_text
from fieldpack_build.documents.omissions import Omissions
from fieldpack_build.documents.pages import Content
from fieldpack_build.documents.text import markdown
from fieldpack_build.errors import DocumentError

_ESCAPES = re.compile(
    r"\x1b\[[0-9;]*[A-Za-z]|\[[0-9;]+m"
)  # colours of a terminal; the escape itself may be gone


def read(data: bytes, name: str) -> Content:
    """Read a Jupyter notebook. Raises DocumentError for what is none."""
    try:
        book = json.loads(decode_text(data, name))
        cells = book["cells"] if "cells" in book else book["worksheets"][0]["cells"]
        language = book.get("metadata", {}).get("kernelspec", {}).get("language", "")
        omissions = Omissions()
        parts = [part for cell in cells for part in _parts(cell, str(language), omissions)]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise DocumentError(f"{name}: is no Jupyter notebook, or a damaged one: {error}") from error
    content = markdown.read("\n\n".join(parts).encode("utf-8", "replace"), name)
    return Content(
        content.title, content.pages, warnings=(*omissions.sentences(), *content.warnings)
    )


def _parts(cell: dict[str, Any], language: str, omissions: Omissions) -> Iterator[str]:
    source = _joined(cell.get("source", cell.get("input", ""))).strip("\n")
    kind = cell["cell_type"]
    if kind in ("markdown", "raw", "heading"):
        yield f"{'#' * int(cell.get('level', 1))} {source}" if kind == "heading" else source
        return
    if source.strip():
        yield _fenced(source, language)
    for output in cell.get("outputs", ()):
        shown = output.get("data", output)
        text = _joined(
            output.get("text") or shown.get("text/markdown") or shown.get("text/plain") or ""
        )
        text = text or _joined(output.get("traceback", ""))
        if any(key.startswith("image/") or key in ("png", "jpeg", "svg") for key in shown):
            omissions.add("pictures")
        elif text.strip():
            yield _fenced(_ESCAPES.sub("", text).strip("\n"), "")


def _joined(text: Any) -> str:
    return "".join(text) if isinstance(text, list) else str(text)


def _fenced(text: str, language: str) -> str:
    fence = "```" if "```" not in text else "~~~~~"
    return f"{fence}{language}\n{text}\n{fence}"
