"""Finds the files that a build of the library has before it, with their hashes; reads no document."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..documents import IMAGE_SUFFIXES, Survey, survey
from ..errors import DocumentError
from ..pipeline.store import Store
from ..recipe.schema import Knowledge, Recipe
from .read import ReadJob

_REHEARSED = 6  # documents in a rehearsal


@dataclass(frozen=True, slots=True)
class File:
    """A file to read, and the SHA-256 of its bytes."""

    job: ReadJob
    sha256: str


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a library.

    `distinct` by path; `same`: path -> the file of `distinct` with the same bytes, which is read in
    its place; `passed`: what of the folder is not read at all.
    """

    distinct: dict[str, File]
    same: dict[str, str]
    passed: Survey


def survey_of(recipe: Recipe, knowledge: Knowledge) -> Survey:
    """Return what there is in the folders and files that the recipe names."""
    return survey(
        roots_of(recipe, knowledge),
        tuple(knowledge.include),
        knowledge.max_file_mb,
        ocr=knowledge.ocr,
    )


def roots_of(recipe: Recipe, knowledge: Knowledge) -> list[Path]:
    """Return the folders and files that the recipe names."""
    return [recipe.path(place) for place in knowledge.places]


def hint(results: Survey, knowledge: Knowledge) -> str:
    """Return what to do about a folder without a document.

    It may hold images alone, or formats that other programs can save anew.
    """
    images = sum(
        count for suffix, count in results.other_formats.items() if suffix in IMAGE_SUFFIXES
    )
    hints = (
        [f"{images:,} images: knowledge.ocr: true reads the text in them"]
        if images and not knowledge.ocr
        else []
    )
    if not (results.skipped or results.other_formats) and knowledge.include == ["**/*"]:
        hints.append("it is empty: put PDF, Office, HTML, Markdown or text files there")
    if results.skipped:
        more = f" (and {len(results.skipped) - 1:,} more)" if len(results.skipped) > 1 else ""
        hints.append(f"{results.skipped[0].reason}{more}")
    return "".join(f"; {entry}" for entry in hints)


def find_files(recipe: Recipe, knowledge: Knowledge, store: Store) -> Files:
    """Return the files of the library, hashed.

    Raises DocumentError for a folder without documents and, with `on_error: fail`, for one that
    cannot be read.
    """
    roots = roots_of(recipe, knowledge)
    for root in roots:
        if not root.exists():
            raise DocumentError(f"{root}: no such folder")
    results = survey_of(recipe, knowledge)
    if not results.paths:
        where = ", ".join(map(str, roots))
        raise DocumentError(
            f"{where}: no documents of a known format in it{hint(results, knowledge)}"
        )
    if results.skipped and knowledge.on_error == "fail":
        raise DocumentError(results.skipped[0].reason)
    paths = results.paths[:_REHEARSED] if recipe.rehearsal else results.paths
    hashes = store.hash_files(paths)
    distinct: dict[str, File] = {}
    same: dict[str, str] = {}
    first: dict[tuple[str, str], str] = {}
    for path in paths:
        relative, digest = results.names[path], hashes[str(path)]
        # By suffix too: it chooses the reader, and what one cannot read another may.
        other = first.setdefault((digest, PurePosixPath(relative).suffix.lower()), relative)
        if other == relative:
            size = 0
            with suppress(OSError):  # gone since the survey: its reader will say so
                size = path.stat().st_size
            distinct[relative] = File(ReadJob(path, relative, size), digest)
        else:
            same[relative] = other
    return Files(distinct, same, results)
