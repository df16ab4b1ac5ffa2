"""Test questions to a library that is in no bundle yet: searched as the device searches, without a
language model."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fieldpack.passages import Passage
from fieldpack.retrieval.fusion import RetrievalSettings

from ..data import TestQuestion
from .retrieval_metrics import Figures, RetrievalReport, Row

_WIDE = 100  # characters of a question


def open_search(
    folders: Mapping[str, Path], settings: RetrievalSettings
) -> Callable[[str, int], list[Passage]]:
    """Finished stages' folders by name -> the search that the device has."""
    from fieldpack.retrieval.retriever import open_retriever

    return open_retriever(
        folders["embedder"], folders["knowledge"], settings, reranker=folders.get("reranker")
    ).search


def fit(
    questions: Sequence[TestQuestion], library: Mapping[str, Any], name: str
) -> tuple[list[TestQuestion], list[str]]:
    """Questions about a copy ask for the document that was read in its place; and a warning for
    each document that is not in the library, whose questions can only miss."""
    same = {row["document"]: row["same_as"] for row in library["documents"] if "same_as" in row}
    known = {row["document"] for row in library["documents"] if "chunks" in row}
    fitted, warnings = [], []
    for question in questions:
        document = same.get(question.document or "", question.document)
        fitted.append(replace(question, document=document))
        if document is not None and document not in known:
            close = difflib.get_close_matches(document, known, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            warnings.append(
                f"{name}:{question.line}: document {document} is not in the library{hint}"
            )
    return fitted, warnings


def lines(report: RetrievalReport, *, worst: int) -> list[str]:
    """What a person reads: the figures, then the worst misses and what was found in their place."""
    if not report.rows:
        return ["no question names its document; nothing to measure"]
    left_out = f"; {report.unasked:,} more name no document" if report.unasked else ""
    found = [f"{len(report.rows):,} questions{left_out}", *_table(report)]
    misses = report.misses(worst)
    if misses:
        found.append("worst misses:" if len(misses) > 1 else "worst miss:")
    for row in misses:
        found += _miss(row, max(report.document.recall))
    return found


def _table(report: RetrievalReport) -> Iterator[str]:
    ks = list(report.document.recall)
    yield f"{'':<24}" + "".join(f"{f'@{k}':>7}" for k in ks) + f"{'MRR':>8}"
    rows = (
        ("right document", report.document),
        ("right page", report.page),
        ("each page counted once", report.distinct_page),
    )
    for title, figures in rows:
        if figures is not None:
            yield f"{title:<24}" + _figures(figures)


def _figures(figures: Figures) -> str:
    return "".join(f"{value:>7.0%}" for value in figures.recall.values()) + f"{figures.mrr:>8.3f}"


def _miss(row: Row, depth: int) -> list[str]:
    question = row.question if len(row.question) <= _WIDE else row.question[: _WIDE - 1] + "…"
    place = f"came {row.rank}." if row.rank else f"not among {depth}"
    found = [
        f"  line {row.line}: {question}",
        f"    wanted  {row.document}{_pages(row.pages)}: {place}",
    ]
    if row.instead:
        document, page, first = row.instead
        found.append(f"    found   {document}{_pages((page,) if page else ())}: {first}")
    return found


def _pages(pages: Sequence[int]) -> str:
    return f", page {', '.join(map(str, pages))}" if pages else ""
