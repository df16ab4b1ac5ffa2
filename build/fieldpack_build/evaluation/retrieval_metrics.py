"""Whether the right passage is retrieved: recall@k and MRR by document and by page, and what came
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
from .report_file import Figures

KS = (1, 5, 10, 20)
Search = Callable[[str, int], list[Passage]]
_FIRST_LINE = 100  # characters


@dataclass(frozen=True, slots=True)
class RankFigures:
    """`recall`: k -> share of the questions whose rank is k or better; `mrr`: mean of 1/rank, 0 for
    a miss."""

    questions: int
    recall: dict[int, float]
    mrr: float

    @classmethod
    def of(cls, ranks: Sequence[int | None], ks: Sequence[int]) -> RankFigures:
        """Return the figures of some ranks, None for a miss."""
        count = max(1, len(ranks))
        recall = {k: sum(rank is not None and rank <= k for rank in ranks) for k in ks}
        return cls(
            len(ranks),
            {k: round(hits / count, 4) for k, hits in recall.items()},
            round(sum(1 / rank for rank in ranks if rank) / count, 4),
        )

    def to_dict(self) -> Figures:
        """Return the figures as report.json has them."""
        recall = {f"recall_at_{k}": share for k, share in self.recall.items()}
        return {"questions": self.questions, **recall, "mrr": self.mrr}


@dataclass(frozen=True, slots=True)
class QuestionRank:
    """Where the right document and page of one question came (None: not among those looked at), and
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
        """The rank by page where the pages are known, else by document."""
        return self.page_rank if self.pages else self.document_rank

    def to_dict(self) -> dict[str, Any]:
        """Return what `build knowledge --json` prints of the question."""
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

    document: RankFigures
    page: RankFigures | None
    distinct_page: RankFigures | None
    rows: tuple[QuestionRank, ...] = field(repr=False)
    unasked: int = 0

    def misses(self, count: int) -> list[QuestionRank]:
        """Return the worst misses first: not found at all, then by rank; a right passage at place 1
        is no miss."""
        missed = [row for row in self.rows if row.rank != 1]
        return sorted(missed, key=lambda row: (-(row.rank or 10**9), row.line))[:count]

    def figures(self) -> dict[str, Figures | None]:
        """Return the figures of each way to count."""
        kinds = {
            "document": self.document,
            "page": self.page,
            "distinct_page": self.distinct_page,
        }
        return {name: value.to_dict() if value else None for name, value in kinds.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return what `build knowledge --json` prints."""
        return {
            "questions": len(self.rows),
            "unasked": self.unasked,
            **self.figures(),
            "rows": [row.to_dict() for row in self.rows],
        }


def measure(
    search: Search, questions: Iterable[TestQuestion], ks: Sequence[int] = KS
) -> RetrievalReport:
    """Ask every question that names its document for `max(ks)` passages, and rank the right one."""
    rows, unasked = [], 0
    for question in questions:
        if question.document is None:
            unasked += 1
        else:
            passages = search(question.question, max(ks))
            rows.append(_rank_question(question, question.document, passages))
    paged = [row for row in rows if row.pages]
    return RetrievalReport(
        document=RankFigures.of([row.document_rank for row in rows], ks),
        page=RankFigures.of([row.page_rank for row in paged], ks) if paged else None,
        distinct_page=RankFigures.of([row.distinct_page_rank for row in paged], ks)
        if paged
        else None,
        rows=tuple(rows),
        unasked=unasked,
    )


def _rank_question(
    question: TestQuestion, document: str, passages: Sequence[Passage]
) -> QuestionRank:
    places = [(passage.document, passage.page) for passage in passages]
    right = [(document, page) for page in question.pages]
    document_rank = _rank([name for name, _ in places], [document])
    page_rank = _rank(places, right)
    instead = None
    if (page_rank if right else document_rank) != 1:
        wrong = (
            passage
            for passage, place in zip(passages, places, strict=True)
            if passage.document != document or (right and place not in right)
        )
        if (first := next(wrong, None)) is not None:
            instead = (first.document, first.page, _first_line(first.text))
    return QuestionRank(
        question.question,
        question.line,
        document,
        question.pages,
        document_rank=document_rank,
        page_rank=page_rank,
        distinct_page_rank=_rank(list(dict.fromkeys(places)), right),
        instead=instead,
    )


def _rank(places: Sequence[object], right: Sequence[object]) -> int | None:
    return next((rank for rank, place in enumerate(places, 1) if place in right), None)


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= _FIRST_LINE else line[: _FIRST_LINE - 1].rstrip() + "…"
