"""Whether the right passage is found: recall@k and MRR by document and by page, and what was found
instead. Knows nothing of indexes or models: a search is a function.

A rank is the place of the first passage of the right document (page) among the passages returned,
from 1. `distinct_page` counts each page once: five passages of one page fill one place, as they do
for a reader who turns pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fieldpack.passages import Passage

from ..data import TestQuestion

KS = (1, 5, 10, 20)
Search = Callable[[str, int], list[Passage]]
_FIRST_LINE = 100  # characters


@dataclass(frozen=True, slots=True)
class Figures:
    """`recall`: k -> share of the questions whose rank is k or better; `mrr`: mean of 1/rank, 0 for
    a miss."""

    questions: int
    recall: dict[int, float]
    mrr: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "questions": self.questions,
            **{f"recall_at_{k}": v for k, v in self.recall.items()},
            "mrr": self.mrr,
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One question: where the right document and page came (None: not among those looked at), and
    the first passage of another document or page that came before: (document, page, first line)."""

    question: str
    line: int
    document: str
    pages: tuple[int, ...]
    document_rank: int | None
    page_rank: int | None
    distinct_page_rank: int | None
    instead: tuple[str, int | None, str] | None

    @property
    def rank(self) -> int | None:
        """By page where the pages are known, else by document."""
        return self.page_rank if self.pages else self.document_rank

    def to_dict(self) -> dict[str, Any]:
        instead = (
            dict(zip(("document", "page", "first_line"), self.instead, strict=True))
            if self.instead
            else None
        )
        return {
            "question": self.question,
            "line": self.line,
            "document": self.document,
            "pages": list(self.pages),
            "document_rank": self.document_rank,
            "page_rank": self.page_rank,
            "distinct_page_rank": self.distinct_page_rank,
            "instead": instead,
        }


@dataclass(frozen=True, slots=True)
class RetrievalReport:
    """`page` and `distinct_page` are None where no question names its pages. `unasked`: questions
    without a document."""

    document: Figures
    page: Figures | None
    distinct_page: Figures | None
    rows: tuple[Row, ...] = field(repr=False)
    unasked: int = 0

    def misses(self, count: int) -> list[Row]:
        """The worst first: not found at all, then by rank; those found first are no misses."""
        missed = [row for row in self.rows if row.rank != 1]
        return sorted(missed, key=lambda row: (-(row.rank or 10**9), row.line))[:count]

    def to_dict(self) -> dict[str, Any]:
        figures = {
            "document": self.document,
            "page": self.page,
            "distinct_page": self.distinct_page,
        }
        return {
            "questions": len(self.rows),
            "unasked": self.unasked,
            **{name: value.to_dict() if value else None for name, value in figures.items()},
            "rows": [row.to_dict() for row in self.rows],
        }


def measure(
    search: Search, questions: Iterable[TestQuestion], ks: Sequence[int] = KS
) -> RetrievalReport:
    """Asks every question that names its document for `max(ks)` passages."""
    asked, unasked = [], 0
    for question in questions:
        if question.document is None:
            unasked += 1
        else:
            asked.append(_row(question, question.document, search(question.question, max(ks))))
    paged = [row for row in asked if row.pages]
    return RetrievalReport(
        document=_figures([row.document_rank for row in asked], ks),
        page=_figures([row.page_rank for row in paged], ks) if paged else None,
        distinct_page=_figures([row.distinct_page_rank for row in paged], ks) if paged else None,
        rows=tuple(asked),
        unasked=unasked,
    )


def _row(question: TestQuestion, document: str, passages: Sequence[Passage]) -> Row:
    places = [(passage.document, passage.page) for passage in passages]
    right = [(document, page) for page in question.pages]
    wrong = [
        p
        for p in passages
        if p.document != document or (right and (p.document, p.page) not in right)
    ]
    row = Row(
        question.question,
        question.line,
        document,
        question.pages,
        document_rank=_rank([name for name, _ in places], [document]),
        page_rank=_rank(places, right),
        distinct_page_rank=_rank(list(dict.fromkeys(places)), right),
        instead=None,
    )
    if row.rank == 1 or not wrong:
        return row
    return Row(
        row.question,
        row.line,
        document,
        row.pages,
        row.document_rank,
        row.page_rank,
        row.distinct_page_rank,
        (wrong[0].document, wrong[0].page, _first_line(wrong[0].text)),
    )


def _rank(found: Sequence[object], right: Sequence[object]) -> int | None:
    return next((place for place, one in enumerate(found, 1) if one in right), None)


def _figures(ranks: Sequence[int | None], ks: Sequence[int]) -> Figures:
    count = max(1, len(ranks))
    recall = {
        k: round(sum(rank is not None and rank <= k for rank in ranks) / count, 4) for k in ks
    }
    return Figures(len(ranks), recall, round(sum(1 / rank for rank in ranks if rank) / count, 4))


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= _FIRST_LINE else line[: _FIRST_LINE - 1].rstrip() + "…"
