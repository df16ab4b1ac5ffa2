"""Reads one document: a file to chunks, with all that the index wants to know of it.

Runs in a worker process. Knows nothing of processes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fieldpack.passages import Chunk, DocumentRecord
from fieldpack.retrieval.embedder import Embedder

from ..documents.find import matcher
from ..documents.vocabulary import AUTO
from ..errors import DocumentError
from ..recipe.schema import Knowledge


@dataclass(frozen=True, slots=True)
class ReadJob:
    """A file to read; `relative` is its name in the library, `size` in bytes.

    `again`: a process has died of it; another one finds out first what it is that takes too much.
    """

    path: Path
    relative: str
    size: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class ReadProgress:
    """How far a document is: `done` of `total`, of what `unit` says ("page", "cutting page").

    `share`: of all that is to be done with it.
    """

    done: int
    total: int
    unit: str
    share: float


@dataclass(frozen=True, slots=True)
class ReaderConfig:
    """How documents are read and cut: `embedder` is a folder, `tags` glob -> tags.

    `vocabulary`: what is known of their language and kind; see `documents.vocabulary`. `language`:
    a code of `fieldpack.language`, or "auto".
    """

    embedder: Path
    max_tokens: int
    overlap: int
    ocr: bool
    max_file_mb: int
    tags: Mapping[str, Sequence[str]]
    hidden: bool = False
    vocabulary: str = AUTO
    language: str = AUTO

    @classmethod
    def of(cls, knowledge: Knowledge, embedder: Path) -> ReaderConfig:
        """Return how a recipe wants documents read; `embedder` is the embedder's folder."""
        return cls(
            embedder,
            knowledge.chunk.tokens,
            knowledge.chunk.overlap,
            knowledge.ocr,
            knowledge.max_file_mb,
            knowledge.tags,
            knowledge.hidden == "read",
            knowledge.vocabulary,
            knowledge.index_language,
        )


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document that was read.

    `own_tags`: those that the file itself states; the record has the recipe's too. `characters`: of
    its text; `warnings`: what of it was not read.
    """

    record: DocumentRecord
    own_tags: tuple[str, ...]
    chunks: tuple[Chunk, ...]
    characters: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """A document that could not be read, and why, on one line that names it.

    `lasting`: its bytes are at fault, so it is not tried again before they change; otherwise the
    disk, the memory or a crash is, and the next build tries again.
    """

    path: str
    reason: str
    lasting: bool


Outcome = ReadDocument | ReadFailure


def read_and_chunk(
    job: ReadJob,
    config: ReaderConfig,
    embedder: Embedder,
    on_progress: Callable[[int, int, str, float], None],
) -> Outcome:
    """Read, cut and count a document; of `embedder` the tokenizer alone is used.

    `on_progress` is told often how far a long one is, as `ReadProgress` has it. The process may end at a
    document that takes too much, unless the job says that one has.
    """
    from ..chunking import chunk_document
    from ..documents import read_document

    # Cutting a page takes about as long as reading it, but nothing beside the seconds of OCR.
    reading = 1.0 if config.ocr else 0.5
    try:
        document = read_document(
            job.path,
            job.relative,
            ocr=config.ocr,
            hidden=config.hidden,
            max_file_mb=config.max_file_mb,
            vocabulary=config.vocabulary,
            language=config.language,
            expendable=not job.again,
            on_progress=lambda done, total, unit: on_progress(
                done, total, unit, reading * done / max(total, 1)
            ),
        )
    except DocumentError as error:
        return ReadFailure(
            job.relative,
            str(error),
            lasting=not isinstance(error.__cause__, OSError | MemoryError),
        )
    chunks = chunk_document(
        document,
        count_tokens=embedder.count_tokens,
        max_tokens=config.max_tokens,
        overlap=config.overlap,
        token_starts=embedder.token_starts,
        on_page=lambda done, total: on_progress(
            done, total, "cutting page", reading + (1 - reading) * done / total
        ),
    )
    tags = tags_of(job.relative, document.tags, config.tags)
    record = DocumentRecord(
        job.relative,
        document.title,
        document.sha256,
        len(document.pages),
        document.date,
        tags,
        document.language,
    )
    characters = sum(len(page.text) for page in document.pages)
    return ReadDocument(record, document.tags, tuple(chunks), characters, document.warnings)


def tags_of(
    relative: str, own: Sequence[str], tags: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Return the document's own tags, then those of every glob of the recipe that matches its path.

    Each stands once.
    """
    matching = (
        tag for glob, names in tags.items() if _pattern(glob).fullmatch(relative) for tag in names
    )
    return tuple(dict.fromkeys((*own, *matching)))


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    return matcher((glob,))
