"""Which files a build of the library has before it: what is there, its hashes, which are the same.
Reads no document."""

from __future__ import annotations

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
    order: ReadJob
    sha256: str


@dataclass(frozen=True, slots=True)
class Files:
    """`distinct` by path; `same`: path -> the file of `distinct` with the same bytes, which is read
    in its place; `passed`: what of the folder is not read at all."""

    distinct: dict[str, File]
    same: dict[str, str]
    passed: Survey


def survey_of(recipe: Recipe, knowledge: Knowledge) -> Survey:
    return survey(
        roots_of(recipe, knowledge),
        tuple(knowledge.include),
        knowledge.max_file_mb,
        ocr=knowledge.ocr,
    )


def roots_of(recipe: Recipe, knowledge: Knowledge) -> list[Path]:
    """The folders and files that the recipe names."""
    return [recipe.path(place) for place in knowledge.places]


def hint(found: Survey, knowledge: Knowledge) -> str:
    """What to do about a folder without a document: of images alone, or of formats that other
    programs can save anew."""
    images = sum(count for suffix, count in found.other_formats.items() if suffix in IMAGE_SUFFIXES)
    hints = (
        [f"{images:,} images: knowledge.ocr: true reads the text in them"]
        if images and not knowledge.ocr
        else []
    )
    if found.skipped:
        more = f" (and {len(found.skipped) - 1:,} more)" if len(found.skipped) > 1 else ""
        hints.append(f"{found.skipped[0].reason}{more}")
    return "".join(f"; {entry}" for entry in hints)


def find_files(recipe: Recipe, knowledge: Knowledge, store: Store) -> Files:
    """Raises DocumentError for a folder without documents and, with `on_error: fail`, for one that
    cannot be read."""
    roots = roots_of(recipe, knowledge)
    for root in roots:
        if not root.exists():
            raise DocumentError(f"{root}: no such folder")
    found = survey_of(recipe, knowledge)
    if not found.paths:
        where = ", ".join(map(str, roots))
        raise DocumentError(
            f"{where}: no documents of a known format in it{hint(found, knowledge)}"
        )
    if found.skipped and knowledge.on_error == "fail":
        raise DocumentError(found.skipped[0].reason)
    paths = found.paths[:_REHEARSED] if recipe.rehearsal else found.paths
    hashes = store.hash_files(paths)
    distinct: dict[str, File] = {}
    same: dict[str, str] = {}
    first: dict[tuple[str, str], str] = {}
    for path in paths:
        relative, digest = found.names[path], hashes[str(path)]
        # By suffix too: it chooses the reader, and what one cannot read another may.
        other = first.setdefault((digest, PurePosixPath(relative).suffix.lower()), relative)
        if other == relative:
            distinct[relative] = File(ReadJob(path, relative, _size(path)), digest)
        else:
            same[relative] = other
    return Files(distinct, same, found)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # gone since the survey: its reader will say so
        return 0
