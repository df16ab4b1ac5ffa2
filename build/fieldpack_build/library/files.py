"""Which files a build of the library has before it: what is there, its hashes, which are the same. Reads no document."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..documents import Survey, survey
from ..errors import DocumentError
from ..recipe import Knowledge, Recipe
from ..store import Store
from .reading import Order

_REHEARSED = 6  # documents in a rehearsal


@dataclass(frozen=True, slots=True)
class File:
    order: Order
    sha256: str


@dataclass(frozen=True, slots=True)
class Files:
    """`distinct` by path; `same`: path -> the file of `distinct` with the same bytes, which is read in its place;
    `passed`: what of the folder is not read at all."""

    distinct: dict[str, File]
    same: dict[str, str]
    passed: Survey


def survey_of(recipe: Recipe, knowledge: Knowledge) -> Survey:
    folder = recipe.path(knowledge.documents)
    return survey(folder, tuple(knowledge.include), knowledge.max_file_mb, ocr=knowledge.ocr)


def find_files(recipe: Recipe, knowledge: Knowledge, store: Store) -> Files:
    """Raises DocumentError for a folder without documents and, with `on_error: fail`, for one that cannot be read."""
    folder = recipe.path(knowledge.documents)
    found = survey_of(recipe, knowledge)
    if not found.paths:
        what = "no documents of a known format in it" if folder.is_dir() else "no such folder"
        raise DocumentError(f"{folder}: {what}")
    if found.skipped and knowledge.on_error == "fail":
        raise DocumentError(found.skipped[0].reason)
    paths = found.paths[:_REHEARSED] if recipe.rehearsal else found.paths
    hashes = store.hash_files(paths)
    distinct: dict[str, File] = {}
    same: dict[str, str] = {}
    first: dict[tuple[str, str], str] = {}
    for path in paths:
        relative, digest = path.relative_to(folder).as_posix(), hashes[str(path)]
        # By suffix too: it chooses the reader, and what one cannot read another may.
        other = first.setdefault((digest, PurePosixPath(relative).suffix.lower()), relative)
        if other == relative:
            distinct[relative] = File(Order(path, relative, _size(path)), digest)
        else:
            same[relative] = other
    return Files(distinct, same, found)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # gone since the survey: its reader will say so
        return 0
