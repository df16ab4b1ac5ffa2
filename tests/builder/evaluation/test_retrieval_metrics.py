"""Ranks, recall and misses, against figures counted by hand."""

from __future__ import annotations

import json

from fieldpack.passages import Passage
from fieldpack_build import data
from fieldpack_build.evaluation.retrieval_metrics import measure

# What a search gives for each question: (document, page), best first.
FOUND = {
    "first": [("a", 1), ("b", 1)],
    "third": [("b", 7), ("b", 7), ("a", 2), ("a", 1)],
    "other page": [("a", 9), ("b", 1)],
    "nothing": [],
    "no pages known": [("b", 1), ("c", None)],
    "unanswerable": [("a", 1)],
}
QUESTIONS = [
    data.TestQuestion("first", "x", None, "a", 1, pages=(1, 2)),
    data.TestQuestion("third", "x", None, "a", 2, pages=(2,)),
    data.TestQuestion("other page", "x", None, "a", 3, pages=(1,)),
    data.TestQuestion("nothing", "x", None, "a", 4, pages=(1,)),
    data.TestQuestion("no pages known", "x", None, "c", 5),
    data.TestQuestion("unanswerable", None, None, None, 6),
]


def search(question: str, k: int) -> list[Passage]:
    return [
        Passage(
            i,
            document,
            document.upper(),
            page,
            (),
            f"\n  Line one of {document}.\nLine two.",
            1.0,
            0.5,
        )
        for i, (document, page) in enumerate(FOUND[question][:k])
    ]


def test_figures_by_document_and_by_page() -> None:
    report = measure(search, QUESTIONS, ks=(1, 2, 3))
    assert report.unasked == 1 and len(report.rows) == 5
    assert report.document.recall == {1: 0.4, 2: 0.6, 3: 0.8}  # ranks 1, 3, 1, none, 2
    assert report.document.mrr == round((1 + 1 / 3 + 1 + 0 + 1 / 2) / 5, 4)
    assert report.page and report.page.questions == 4
    assert report.page.recall == {1: 0.25, 2: 0.25, 3: 0.5}  # ranks 1, 3, none, none
    assert report.distinct_page and report.distinct_page.recall == {
        1: 0.25,
        2: 0.5,
        3: 0.5,
    }  # two chunks of b:7 are one


def test_no_more_is_asked_for_than_is_counted() -> None:
    report = measure(search, QUESTIONS[1:2], ks=(1, 2))
    assert report.rows[0].page_rank is None and report.rows[0].document_rank is None


def test_the_worst_misses_and_what_came_instead() -> None:
    report = measure(search, QUESTIONS)
    misses = report.misses(10)
    assert [row.question for row in misses] == ["other page", "nothing", "third", "no pages known"]
    assert [row.instead for row in misses] == [
        ("a", 9, "Line one of a."),
        None,
        ("b", 7, "Line one of b."),
        ("b", 1, "Line one of b."),
    ]
    assert [row.question for row in report.misses(1)] == ["other page"]


def test_as_json() -> None:
    report = json.loads(json.dumps(measure(search, QUESTIONS[:1]).to_dict()))
    figures = {
        "questions": 1,
        "recall_at_1": 1.0,
        "recall_at_5": 1.0,
        "recall_at_10": 1.0,
        "recall_at_20": 1.0,
        "mrr": 1.0,
    }
    row = {
        "question": "first",
        "line": 1,
        "document": "a",
        "pages": [1, 2],
        "document_rank": 1,
        "page_rank": 1,
        "distinct_page_rank": 1,
        "instead": None,
    }
    assert report == {
        "questions": 1,
        "unasked": 0,
        "document": figures,
        "page": figures,
        "distinct_page": figures,
        "rows": [row],
    }


def test_without_pages_there_are_no_figures_by_page() -> None:
    report = measure(search, QUESTIONS[4:])
    assert report.page is None and report.to_dict()["distinct_page"] is None
    assert report.document.recall[1] == 0.0 and report.document.recall[5] == 1.0
