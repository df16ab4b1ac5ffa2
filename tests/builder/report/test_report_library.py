"""A library's summary: gathered from a real index that the letter embedder filled, told in words
and drawings; cut, with counts, where a library is large."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_report import render, sample_report, text_of

import fakes
from fieldpack.passages import Chunk, DocumentRecord, Passage
from fieldpack.retrieval.embedder import Embedder
from fieldpack_build import report as pages
from fieldpack_build.data import TestQuestion as Question
from fieldpack_build.evaluation.report_file import LibrarySummary, VectorMap
from fieldpack_build.index.writer import IndexWriter
from fieldpack_build.report.library import (
    ROWS,
    chunk_lengths,
    principal_axes,
    right_place,
    summarize_documents,
    summarize_library,
)
from fieldpack_build.report.library_view import histogram, scatter

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}</style></svg>"


def write_library(
    folder: Path, documents: dict[str, list[Chunk]], rows: list[dict[str, Any]] | None = None
) -> Embedder:
    """What the knowledge stage leaves: the index of these chunks, and library.json with further
    `rows`."""
    embedder = Embedder.open(fakes.write_letter_embedder(folder.parent / "embedder", max_tokens=60))
    writer = IndexWriter(folder, dim=fakes.DIM)
    written = []
    for path, chunks in documents.items():
        pages = len({chunk.page for chunk in chunks})
        writer.add(
            DocumentRecord(path, chunks[0].title, "a" * 64, pages),
            chunks,
            embedder.embed_passages([chunk.in_context for chunk in chunks]),
        )
        written.append(
            {
                "document": path,
                "title": chunks[0].title,
                "date": None,
                "tags": [],
                "pages": pages,
                "chunks": len(chunks),
                "characters": sum(len(c.text) for c in chunks),
                "sha256": "a" * 64,
            }
        )
    writer.finish()
    writer.close()
    (folder / "library.json").write_text(
        json.dumps({"documents": written + (rows or []), "totals": {}})
    )
    return embedder


def summary_of(folder: Path, *args: Any, **options: Any) -> dict[str, Any]:
    """A library's summary as report.json has it."""
    shown: dict[str, Any] = json.loads(summarize_library(folder, *args, **options).to_json())
    return shown


def render_library(shown: dict[str, Any], **options: str) -> str:
    return pages.render_library(LibrarySummary.model_validate(shown), **options)


def chunk(
    path: str, text: str, *, page: int | None = None, heading: tuple[str, ...] = (), title: str = ""
) -> Chunk:
    return Chunk(path, title or Path(path).stem.capitalize(), page, heading, 0, len(text), text)


LIBRARY = {
    "fees/fees.pdf": [
        chunk("fees/fees.pdf", "The A class costs 0.85% a year.", page=1, heading=("Charges",)),
        chunk("fees/fees.pdf", "Zero fees are charged in zone zz zz.", page=2),
    ],
    "pump.md": [
        chunk("pump.md", "Change the filter after 400 hours of use."),
        chunk(
            "pump.md",
            "Only a trained operator may open valve QX-7781, and only after the pressure is gone.",
        ),
    ],
    "rules.pptx": [chunk("rules.pptx", "Quiet hours begin at ten.", page=4)],
}
OTHERS: list[dict[str, Any]] = [
    {"document": "old/fees.pdf", "same_as": "fees/fees.pdf"},
    {"document": "scan.pdf", "skipped": "scan.pdf: encrypted; remove its password"},
]
QUESTIONS = [
    Question("zz zone zz fees", "None", "zone", "fees/fees.pdf", 1),
    Question("quiet hours", "Ten", "ten", "pump.md", 2),
    Question("Who is king?", None, None, None, 3),
    Question("99999", "Yes", None, None, 4),
]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("library") / "knowledge"
    embedder = write_library(folder, LIBRARY, OTHERS)
    return summary_of(folder, embedder, QUESTIONS, refuse_below=0.3)


def test_what_was_read_and_what_was_not(shown: dict[str, Any]) -> None:
    assert shown["totals"] == {
        "read": 3,
        "skipped": 1,
        "same": 1,
        "warned": 0,
        "dated": 0,
        "pages": 4,
        "chunks": 5,
        "characters": sum(len(c.text) for chunks in LIBRARY.values() for c in chunks),
    }
    assert [row["document"] for row in shown["documents"]] == [
        "fees/fees.pdf",
        "pump.md",
        "rules.pptx",
    ]
    assert shown["folders"] == [["", 2, 2, 3], ["fees", 1, 2, 2]]
    assert shown["skipped"] == [["scan.pdf", "encrypted; remove its password"]]
    assert shown["same"] == [["old/fees.pdf", "fees/fees.pdf"]]
    assert (shown["chunks"], shown["dim"]) == (5, fakes.DIM)
    assert (
        set(shown["bytes"]) == {"chunks.sqlite", "vectors.bin"} and min(shown["bytes"].values()) > 0
    )


def test_lengths_are_the_embedder_s_tokens_in_context(shown: dict[str, Any]) -> None:
    counted = shown["lengths"]
    every = sorted(
        len(c.in_context) for chunks in LIBRARY.values() for c in chunks
    )  # a letter is a token
    assert (counted["counted"], counted["longest"], counted["median"]) == (5, every[-1], every[2])
    assert sum(count for _, _, count in counted["bins"]) == 5
    assert (counted["limit"], counted["over"]) == (60, sum(length > 58 for length in every))


def test_questions_without_a_good_passage(shown: dict[str, Any]) -> None:
    asked = shown["questions"]
    assert (asked["answerable"], asked["weak"], asked["refuse_below"]) == (3, 2, 0.3)
    far, missed = asked["rows"]  # as far down; the less similar first
    assert (missed["question"], missed["rank"], missed["far"]) == ("quiet hours", None, False)
    assert (
        missed["found"][0][0] == "rules.pptx, slide 4"
        and missed["found"][0][2] == "Quiet hours begin at ten."
    )
    assert (far["question"], far["document"], far["far"]) == ("99999", None, True) and far[
        "similarity"
    ] < 0.3


def test_the_map_has_every_chunk_and_question(shown: dict[str, Any]) -> None:
    drawn = shown["map"]
    assert (drawn["by"], drawn["groups"]) == ("folder", ["", "fees"])
    assert sorted(label for *_, label in drawn["points"]) == [
        "fees/fees.pdf, page 1: Charges",
        "fees/fees.pdf, page 2",
        "pump.md",
        "pump.md",
        "rules.pptx, slide 4",
    ]
    assert [mark[2:] for mark in drawn["questions"]] == [
        ["good", "zz zone zz fees"],
        ["weak", "quiet hours"],
        ["unanswerable", "Who is king?"],
        ["weak", "99999"],
    ]
    assert 0 < drawn["kept"] <= 1


def test_the_page_tells_it_in_words(shown: dict[str, Any]) -> None:
    html = render_library(shown, title="Toy")
    seen = text_of(html)
    for told in (
        "Toy library report Library Documents 3 1 skipped, 1 twice Pages 4",
        "No document states a date. Vectors of 36 figures",
        "Skipped: 1 Document Why scan.pdf encrypted; remove its password",
        "5 of 5 chunks, coloured by folder",
        "a question that finds a good passage a question that finds none",
        "Questions without a good passage: 2 of 3",
        "or whose best similarity is under 0.3, where the bundle refuses",
        "quiet hours wanted: pump.md; no right passage among 20; line 2 of the question file",
        "fees/fees.pdf, page 1: Charges",
        "(no folder) 2 2 3 fees 1 2 2",
        "There twice, read once: 1 Document Same as old/fees.pdf fees/fees.pdf",
    ):
        assert told in seen
    assert len(re.findall(r'<circle class="g-', html)) == 5 and html.count('class="touch"') == 4
    assert not re.search(r"https?:|@import|url\(|<link|<script|<iframe|\son\w+=", html)


def test_the_report_shows_the_library_where_there_is_one(shown: dict[str, Any]) -> None:
    report = sample_report()
    assert 'id="library"' not in render(report)
    html = render(report | {"library": shown})
    assert html.index('id="retrieval"') < html.index('id="library"') < html.index('id="model"')
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert json.loads(json.dumps(shown)) == shown


def test_text_of_documents_and_questions_is_never_markup(tmp_path: Path) -> None:
    path = f"a/{EVIL.replace('/', '')}.md"
    others = [{"document": EVIL, "skipped": EVIL}, {"document": EVIL, "same_as": EVIL}]
    embedder = write_library(
        tmp_path / "k", {path: [chunk(path, EVIL, heading=(EVIL,), title=EVIL)]}, others
    )
    html = render_library(
        summary_of(tmp_path / "k", embedder, [Question(EVIL, EVIL, "x", EVIL, 1)]), title=EVIL
    )
    assert "<script" not in html and "<img" not in html and html.count("</style>") == 1
    assert html.count("&lt;script&gt;alert(1)") >= 8


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_a_library_of_one_text_has_a_summary(tmp_path: Path, copies: int) -> None:
    """No variance, no second direction: the points lie on one another, and nothing is divided by
    zero."""
    embedder = write_library(tmp_path / "k", {"a.md": [chunk("a.md", "Same.")] * copies})
    shown = summary_of(tmp_path / "k", embedder)
    assert [point[:2] for point in shown["map"]["points"]] == [[0.0, 0.0]] * copies
    seen = text_of(render_library(shown))
    assert (
        "coloured by document" in seen
        and "Questions without" not in seen
        and "Folders" not in seen
        and "nan" not in seen
    )


def test_a_large_library_is_cut_and_counted(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {
            "document": f"f{n % 300}/{n}.md",
            "title": "T" * 200,
            "date": f"20{n % 30:02d}-01-01",
            "tags": [f"t{n % 500}"],
            "pages": 1,
            "chunks": n % 7,
            "characters": 10,
            "sha256": "",
        }
        for n in range(50_000)
    ]
    rows += [
        {"document": f"{n}.bin", "skipped": f"{n}.bin: unknown format " + "x" * 500}
        for n in range(1000)
    ]
    (tmp_path / "library.json").write_text(json.dumps({"documents": rows, "totals": {}}))
    shown = json.loads(summarize_documents(tmp_path).to_json())
    assert (shown["totals"]["read"], shown["totals"]["skipped"], shown["dates"]) == (
        50_000,
        1000,
        ["2000-01-01", "2029-01-01"],
    )
    assert {len(shown[key]) for key in ("documents", "folders", "skipped", "tags")} == {ROWS}
    first = shown["documents"][0]  # of the largest, the first by name
    assert first == {
        "document": "f0/10800.md",
        "title": "T" * 79 + "…",
        "date": "2000-01-01",
        "pages": 1,
        "chunks": 6,
        "characters": 10,
    }
    assert len(shown["skipped"][0][1]) == 200 and len(json.dumps(shown)) < 120_000
    empty = {
        "chunks": 0,
        "dim": 36,
        "bytes": {"chunks.sqlite": 5_000_000_000},
        "repeats": 0,
        "lengths": chunk_lengths([], 256).to_dict(),
        "map": {"points": [], "questions": []},
        "questions": {"answerable": 0},
    }
    seen = text_of(render_library(shown | empty))
    assert (
        "49,800 more are not listed." in seen
        and "800 more are not listed." in seen
        and "5.0 GB" in seen
    )


def test_the_axes_are_the_directions_of_most_variance() -> None:
    spread = np.array([3.0, 0.1, 2.0, 0.1, 1.0], dtype=np.float32)
    vectors = np.random.default_rng(0).normal(size=(2000, 5)).astype(np.float32) * spread + 7
    middle, axes, kept = principal_axes(vectors)
    assert np.abs(middle - 7).max() < 0.3
    assert (
        np.abs(axes - np.eye(5)[:, [0, 2]]).max() < 0.05
    )  # with the sign that makes the largest part positive
    assert kept == pytest.approx((9 + 4) / (9 + 4 + 1 + 0.02), abs=0.02)


def test_the_right_place_goes_by_page_where_pages_are_known() -> None:
    found = [
        Passage(n, document, "", page, (), "costs 0.85%", 1.0, 0.9)
        for n, (document, page) in enumerate([("b.pdf", 3), ("a.pdf", 2), ("a.pdf", 3)])
    ]
    assert right_place(Question("?", "x", "0.85", "a.pdf", 1), found) == 2
    assert right_place(Question("?", "x", "0.85", "a.pdf", 1, pages=(3, 4)), found) == 3
    assert right_place(Question("?", "x", "0.85", "a.pdf", 1, pages=(9,)), found) is None
    assert right_place(Question("?", "x", "1.85", "a.pdf", 1), found) is None


@pytest.mark.parametrize("tokens", [[0], [1, 1, 1], [5, 300], list(range(1000))])
def test_the_histogram_holds_every_chunk(tokens: list[int]) -> None:
    drawn = histogram(chunk_lengths(tokens, 256))
    assert drawn and sum(
        int(b.label.rpartition(" ")[2].replace(",", "")) for b in drawn.bins
    ) == len(tokens)
    assert all(
        drawn.left <= b.x and b.x + b.width <= drawn.right + 0.1 and b.width > 0 for b in drawn.bins
    )
    assert (drawn.limit_x is not None) == (max(tokens) >= 254)


def test_distances_on_the_map_keep_their_proportion() -> None:
    chart = {
        "points": [[0.0, 0.0, 0, "a"], [1.0, 0.0, 0, "b"], [0.0, 0.5, None, "c"]],
        "questions": [],
        "groups": ["x"],
    }
    drawn = scatter(VectorMap.model_validate(chart))
    assert drawn and drawn.kinds == () and drawn.groups == (("g-0", "x"), ("g-rest", "all others"))
    a, b, c = drawn.points
    assert (b.x - a.x) == pytest.approx(2 * (a.y - c.y), abs=0.2) and a.y == b.y and a.x == c.x
    assert all(0 <= p.x <= drawn.width and 0 <= p.y <= drawn.height for p in drawn.points)
