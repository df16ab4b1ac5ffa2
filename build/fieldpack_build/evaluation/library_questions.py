"""Test questions to a library that is in no bundle yet: searched as the device searches, without a
language model."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fieldpack.passages import Passage
from fieldpack.retrieval.fusion import RetrievalSettings

from ..data import TestQuestion
from .retrieval_metrics import RetrievalReport

_MAX_QUESTION = 100  # characters


def open_search(
    folders: Mapping[str, Path], settings: RetrievalSettings
) -> Callable[[str, int], list[Passage]]:
    """Open the search that the device has, from the finished stages' folders by name."""
    from fieldpack.retrieval.retriever import open_retriever

    return open_retriever(
        folders["embedder"], folders["knowledge"], settings, reranker=folders.get("reranker")
    ).search


def fit(
    questions: Sequence[TestQuestion], library: Mapping[str, Any], name: str
) -> tuple[list[TestQuestion], list[str]]:
    """Match questions with the documents that library.json names. Questions about a copy ask for
    the document that was read in its place; a document that is not in the library gives a warning,
    as its questions can only miss. `name`: of the questions' file."""
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
    """Return what a person reads: a table of figures, then the `worst` misses and what was found in
    their place."""
    if not report.rows:
        return ["no question names its document; nothing to measure"]
    left_out = f"; {report.unasked:,} more name no document" if report.unasked else ""
    text = [f"{len(report.rows):,} questions{left_out}"]
    recall = report.document.recall
    text.append(f"{'':<24}" + "".join(f"{f'@{k}':>7}" for k in recall) + f"{'MRR':>8}")
    for title, figures in (
        ("right document", report.document),
        ("right page", report.page),
        ("each page counted once", report.distinct_page),
    ):
        if figures is not None:
            shares = "".join(f"{value:>7.0%}" for value in figures.recall.values())
            text.append(f"{title:<24}{shares}{figures.mrr:>8.3f}")
    misses = report.misses(worst)
    if misses:
        text.append("worst misses:" if len(misses) > 1 else "worst miss:")
    for row in misses:
        question = row.question
        if len(question) > _MAX_QUESTION:
            question = question[: _MAX_QUESTION - 1] + "…"
        place = f"came {row.rank}." if row.rank else f"not among {max(recall)}"
        text.append(f"  line {row.line}: {question}")
        text.append(f"    wanted  {row.document}{_pages(row.pages)}: {place}")
        if row.instead:
            document, page, first = row.instead
            text.append(f"    found   {document}{_pages((page,) if page else ())}: {first}")
    return text


def _pages(pages: Sequence[int]) -> str:
    return f", page {', '.join(map(str, pages))}" if pages else ""
