"""Shows what was read of one document, page by page, with what was left out: how a user sees what a
reader makes of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..documents import Document, read_document, survey
from ..errors import DocumentError
from ..recipe.schema import Knowledge, Recipe
from .files import roots_of, survey_of


def read_one(recipe: Recipe, knowledge: Knowledge, file: str) -> Document:
    """Return the document of the library that is called `file`, or is that file.

    It is read as a build reads it. Raises DocumentError for one that is not in the library, or that
    cannot be read.
    """
    library = survey_of(recipe, knowledge)
    named = Path(file)
    for path, name in library.names.items():
        if name == file or (named.exists() and path.exists() and path.samefile(named)):
            return _read(path, name, knowledge)
    for entry in library.skipped:
        if entry.path == file:
            raise DocumentError(entry.reason)
    if named.is_file():  # a file that is to be looked at before it goes into the library
        alone = survey(named, max_file_mb=knowledge.max_file_mb, ocr=knowledge.ocr)
        if alone.skipped:
            raise DocumentError(alone.skipped[0].reason)
        return _read(named, named.name, knowledge)
    endings = [name for name in library.names.values() if name.endswith(f"/{named.name}")]
    instead = f"; is it {endings[0]}?" if endings else ""
    where = ", ".join(map(str, roots_of(recipe, knowledge)))
    raise DocumentError(f"{file}: no such document in {where}{instead}")


def _read(path: Path, name: str, knowledge: Knowledge) -> Document:
    return read_document(
        path,
        name,
        ocr=knowledge.ocr,
        hidden=knowledge.hidden == "read",
        max_file_mb=knowledge.max_file_mb,
        vocabulary=knowledge.vocabulary,
        language=knowledge.index_language,
    )


def lines(document: Document) -> Iterator[str]:
    """Yield a document as text for a terminal.

    First comes what it states, then what was left out, then each page under its number with the
    path of headings before what stands under it.
    """
    yield f"{document.path}: {document.title}"
    language = f"language {document.language}" if document.language else ""
    pages = _counted(len(document.pages))
    stated = [document.date or "", language, ", ".join(document.tags), pages]
    yield "  " + "; ".join(filter(None, stated))
    yield "read in part:" if document.warnings else "nothing was left out that the reader knows of"
    yield from (f"  {warning.removeprefix(f'{document.path}: ')}" for warning in document.warnings)
    for page in document.pages:
        yield ""
        yield f"--- page {page.number}" if page.number is not None else "--- text"
        heading: tuple[str, ...] = ()
        for block in page.blocks:
            if block.heading != heading:
                heading = block.heading
                yield f"[{' > '.join(heading)}]"
            yield page.text[block.start : block.end]
            yield ""


def _counted(pages: int) -> str:
    return f"{pages:,} pages" if pages != 1 else "1 page"


def as_json(document: Document) -> dict[str, object]:
    """Return the same for programs."""
    return {
        "document": document.path,
        "title": document.title,
        "date": document.date,
        "language": document.language,
        "tags": list(document.tags),
        "read_in_part": list(document.warnings),
        "pages": [
            {
                "page": page.number,
                "text": page.text,
                "blocks": [
                    {
                        "kind": block.kind,
                        "start": block.start,
                        "end": block.end,
                        "heading": list(block.heading),
                    }
                    for block in page.blocks
                ],
            }
            for page in document.pages
        ],
    }
