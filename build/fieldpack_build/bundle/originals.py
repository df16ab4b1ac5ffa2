"""Finds the source PDFs that go into a bundle (`bundle.originals: true`), so that a device can show
the page that a quote stands on.

The PDFs themselves and no pictures of their pages: a page's share of a PDF is some 5 to 50 kB, its
picture at 150 dots an inch 100 to 400 kB, and words in a PDF have places, which a picture has not.
Knows nothing of how pages are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from fieldpack.bundle.manifest import FileEntry
from fieldpack.passages import DocumentRecord

from ..errors import DocumentError
from ..ingest.files import find_files
from ..pipeline.store import Store
from ..recipe.schema import Recipe

_HEAD = 1024  # bytes in which a PDF says that it is one: PDF 32000-1, annex H.3.4.1


def is_pdf(path: Path) -> bool:
    """Return whether a file is a PDF by its first bytes. Raises OSError."""
    with path.open("rb") as file:
        return b"%PDF-" in file.read(_HEAD)


def find_originals(
    recipe: Recipe, documents: Iterable[DocumentRecord], store: Store
) -> dict[str, Path]:
    """Return the PDFs of a library by the SHA-256 of their bytes: files with the same bytes ship
    once. `documents`: what the library holds.

    Raises DocumentError for a document that is no longer the file that the library was made of."""
    assert recipe.knowledge
    files = find_files(recipe, recipe.knowledge, store).distinct
    originals: dict[str, Path] = {}
    for record in documents:
        file = files.get(record.path)
        if file is None or file.sha256 != record.sha256:
            raise _changed(record.path)
        if is_pdf(file.job.path):
            originals[record.sha256] = file.job.path
    return dict(sorted(originals.items()))


def check_copied(entries: Iterable[FileEntry], originals: Mapping[str, Path]) -> None:
    """Raise DocumentError where a copied original is not the file that was read: it was written to
    meanwhile. `entries`: the bundle's files of the role "originals"."""
    for entry in entries:
        digest = Path(entry.path).stem
        if entry.sha256 != digest:
            raise _changed(str(originals[digest]))


def _changed(path: str) -> DocumentError:
    return DocumentError(f"{path}: has changed since the library was made; run the build again")
