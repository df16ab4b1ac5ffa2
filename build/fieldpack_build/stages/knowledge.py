"""Read, chunk, embed and index the documents.

chunks.sqlite, vectors.bin, from 250,000 chunks on vectors.usearch (as shipped)
library.json (what was read, what was skipped and why)

Goes on where it was interrupted. Begins with a copy of the newest library of the same recipe,
settings and embedder, where there is one, finished or not, and reads only what has changed. A
document that could not be read for what is in it is tried again when its bytes change; one that the
disk, the memory or a crash stood in the way of, in every build.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from fieldpack.devices import available_cores
from fieldpack.index.schema import CHUNKS, open_for_reading, stored_languages
from fieldpack.passages import DocumentRecord
from fieldpack.retrieval.embedder import EmbedderSettings
from fieldpack_build.index.writer import IndexWriter

from ..embedding.engine import WINDOW, Engine
from ..embedding.engines import OnnxEngine, choose, open_engine
from ..embedding.languages import language_warning
from ..errors import DocumentError
from ..ingest.embed import Indexer
from ..ingest.files import File, Files, find_files, roots_of
from ..ingest.journal import LIBRARY, Journal
from ..ingest.pool import ReadingPool
from ..ingest.progress import ProgressEstimator
from ..ingest.read import ReadDocument, ReaderConfig, ReadJob, ReadProgress, tags_of
from ..ingest.summary import DocumentRow, LibraryResult, library_of, listed
from ..ingest.vector_cache import VECTOR_CACHE, VectorCache
from ..models import sources
from ..pipeline.task import Task
from ..process_limits import CAN_BOUND_MEMORY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..recipe.schema import Knowledge

_SAMPLE = 100  # chunks of a language that its tokenizer is measured on
_LARGE = 16 << 20  # bytes: a text of so many takes ten seconds and more to cut

__all__ = ["LIBRARY", "run"]


def run(task: Task) -> LibraryResult:
    """Write the library of the recipe's documents into the stage's folder.

    Raises DocumentError where no document has a text, or where one cannot be read and the recipe
    says `on_error: fail`."""
    knowledge = task.recipe.knowledge
    assert knowledge
    files = find_files(task.recipe, knowledge, task.store)
    journal = Journal.begin(task.out, task.previous_output, task.lineage)
    dim = EmbedderSettings.read(task.inputs["embedder"]).dim
    writer = IndexWriter(task.out, dim=dim, dtype=knowledge.vectors)
    try:
        stored = writer.documents()
        due = _due(files, journal, stored, knowledge)
        _say_where(task, journal, files, due, gone=len(stored.keys() - files.distinct.keys()))
        embedded = _index(task, knowledge, writer, journal, due, dim)
        read = {path for path in files.distinct if "skipped" not in journal.rows[path]}
        if not read:
            where = ", ".join(str(root) for root in roots_of(task.recipe, knowledge))
            first = journal.rows[next(iter(files.distinct))]["skipped"]
            raise DocumentError(
                f"{where}: no text in any of {len(files.distinct)} documents; the first: {first}"
            )
        writer.remove(sorted(writer.documents().keys() - read))
        task.note("indexing words and vectors")
        writer.finish(lambda done, total: task.progress(done, total, "vectors indexed"))
    finally:
        journal.close()
        writer.close()
    model = sources.on_disk(knowledge.embedder, task.recipe, task.store.models)
    if strange := language_warning(
        knowledge.embedder.model, model or task.inputs["embedder"], _texts_by_language(task.out)
    ):
        task.warnings.append(f"knowledge.embedder.model: {strange}")
    library = library_of(_rows(files, journal), other_formats=files.passed.other_formats)
    journal.finish(library)
    totals, short = library["totals"], listed(library)
    task.warnings.extend(f"skipped {document}: {reason}" for document, reason in short["skipped"])
    return {
        "documents": totals["documents"],
        "same": totals["same"],
        "skipped": totals["skipped"],
        "warned": totals["warned"],
        "pages": totals["pages"],
        "chunks": totals["chunks"],
        "characters": totals["characters"],
        "embedded": embedded,
        "read_now": len(due),
        "resumed": journal.resumed,
        "listed": short,
    }


def _texts_by_language(folder: Path) -> dict[str, list[str]]:
    """Return the texts of some chunks of a finished index, by their documents' language."""
    texts: dict[str, list[str]] = {}
    with closing(open_for_reading(folder / CHUNKS)) as database:
        for language in stored_languages(database, folder / CHUNKS):
            query = (
                "SELECT c.text FROM documents d JOIN chunks c ON c.document_id = d.id "
                "WHERE d.language = ? LIMIT ?"
            )
            texts[language] = [row[0] for row in database.execute(query, (language, _SAMPLE))]
    return texts


def _due(
    files: Files, journal: Journal, stored: dict[str, DocumentRecord], knowledge: Knowledge
) -> list[File]:
    """Files to read: those that are not in the index with these bytes and tags, nor known to be
    broken."""

    def done(path: str, file: File) -> bool:
        row, record = journal.rows.get(path), stored.get(path)
        if row is None or row["sha256"] != file.sha256:
            return False
        if "skipped" in row:
            return bool(row["lasting"]) and knowledge.on_error == "warn"
        tags = tags_of(path, row["own_tags"], knowledge.tags)
        return record is not None and (record.sha256, record.tags) == (file.sha256, tags)

    return [file for path, file in files.distinct.items() if not done(path, file)]


def _say_where(task: Task, journal: Journal, files: Files, due: list[File], *, gone: int) -> None:
    there = len(files.distinct) - len(due)
    if journal.resumed:
        task.say(
            f"goes on where it stopped: {there:,} of {len(files.distinct):,} documents were done"
        )
    elif journal.copied:
        task.say(
            f"begins with the library of before: {there:,} documents as they were, {len(due):,} to "
            f"read, {gone:,} gone"
        )


def _index(
    task: Task,
    knowledge: Knowledge,
    writer: IndexWriter,
    journal: Journal,
    due: list[File],
    dim: int,
) -> int:
    """Reads what is due and puts it into the index; gives how many chunks were embedded."""
    meter = ProgressEstimator(len(due), sum(file.job.size for file in due), task.progress)
    reading = ReaderConfig.of(knowledge, task.inputs["embedder"])

    def on_progress(job: ReadJob, at: ReadProgress) -> None:
        meter.reading(job.relative, job.size, at.done, at.total, at.unit, at.share)

    workers = knowledge.workers or available_cores()
    pool = ReadingPool(reading, workers=workers, on_progress=on_progress)
    hashes = {file.job.relative: file.sha256 for file in due}

    for file in due:
        if file.job.size >= _LARGE:
            task.say(
                f"{file.job.relative} has {file.job.size >> 20:,} MB: it is read as a whole "
                "before its first chunk"
            )
    if not CAN_BOUND_MEMORY:
        task.say("no bound on the memory of a reader: this system keeps none (Linux does)")
    meter.begin()
    cache = VectorCache(task.out / VECTOR_CACHE, dim)

    def written(read: ReadDocument) -> None:
        journal.note(read, hashes[read.record.path])

    with (
        _Embedding(task, knowledge) as embedding,
        pool,
        Indexer(
            writer,
            embedding.embed,
            meter,
            dim=dim,
            batch=embedding.window,
            step=embedding.step,
            written=written,
            cache=cache,
        ) as indexer,
    ):
        for file, outcome in zip(due, pool.results([file.job for file in due]), strict=True):
            if isinstance(outcome, ReadDocument):
                indexer.take(outcome, file.job.size)
            elif knowledge.on_error == "fail":
                raise DocumentError(outcome.reason)
            else:
                journal.note(outcome, file.sha256)
                meter.skipped(file.job.relative, file.job.size)
        indexer.finish()
    cache.close(remove=True)
    return meter.embedded


class _Embedding:
    """The recipe's engine, opened when there is something to embed: a window of chunks is gathered,
    and given to it a step at a time. On this machine a step is what is sorted by length together,
    so that the bar moves; a cluster wants all."""

    def __init__(self, task: Task, knowledge: Knowledge) -> None:
        self._task, self._knowledge = task, knowledge
        self._kind = choose(knowledge)
        self._engine: Engine | None = None
        self.window = OnnxEngine.block if self._kind == "onnx" else self._open().block
        self.step = WINDOW if self._kind == "onnx" else self.window

    def __enter__(self) -> _Embedding:
        return self

    def __exit__(self, *_: object) -> None:
        if self._engine:
            self._engine.close()

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        return self._open().embed(texts)

    def _open(self) -> Engine:
        if self._engine is None:
            source = None
            if self._kind == "cuda":
                source = sources.fetch(
                    self._knowledge.embedder, self._task.recipe, self._task.store.models
                )
            self._engine = open_engine(
                self._knowledge, self._task.inputs["embedder"], source, self._task.note
            )
        return self._engine


def _rows(files: Files, journal: Journal) -> Iterator[DocumentRow]:
    """Of every file of the folder: what was read, skipped, or is the same as another."""
    for skipped in files.passed.skipped:
        yield {"document": skipped.path, "skipped": skipped.reason}
    for path in files.distinct:
        yield journal.rows[path]
    for path, other in files.same.items():
        row = journal.rows[other]
        reason = f"{path}: the same as {other}, which was skipped"
        if "skipped" in row:
            yield {"document": path, "skipped": reason}
        else:
            yield {"document": path, "same_as": other}
