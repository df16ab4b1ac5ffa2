"""`build knowledge` as a shell sees it: the table, the figures, the misses, JSON, exit codes. Real
processes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fieldpack_build.api import show_document
from fieldpack_build.evaluation import library_questions
from fieldpack_build.evaluation.retrieval_metrics import measure
from fieldpack_build.ingest import table
from fieldpack_build.ingest.progress import ProgressEstimator
from fieldpack_build.ingest.summary import library_of, listed, totals
from shelf import Shelf, make_shelf

pytest_plugins = ["shelf"]

QUESTIONS = (
    {"question": "zz zz quizzed zebra", "document": "zebra.md"},
    {"question": "xxxx xylem wax", "document": "copy.md"},
    {"question": "zz quiz", "answer": "No.", "document": "wax.md"},
    {"question": "Who is the king?", "answer": None},
)
PLAIN = re.compile(r"done in [^;]+; ")


def fill(shelf: Shelf) -> None:
    shelf.write("zebra.md", "# Zebra\n\nA zzzz quizzed zebra.\n\nIt is here.\n")
    for name in ("wax.md", "copy.md"):
        shelf.write(name, "# Wax\n\nXylem wax, xxxx.\n")
    shelf.write("cut.docx", b"PK\x03\x04 cut off")
    shelf.write("old.doc", b"\xd0\xcf\x11\xe0")
    shelf.write("logo.png", b"\x89PNG")
    (shelf.folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Shelf, subprocess.CompletedProcess[str]]:
    """A library that is not changed, and what its first build said."""
    shelf = make_shelf(tmp_path_factory.mktemp("built"))
    fill(shelf)
    return shelf, shelf.command("--questions", "q.jsonl")


def test_the_table_and_the_figures(built: tuple[Shelf, subprocess.CompletedProcess[str]]) -> None:
    shelf, done = built
    assert done.returncode == 0, done.stderr
    head, *rest = done.stderr.splitlines()
    assert head == f"shelf 1.0.0: 1 of 2 stages to run; cache {shelf.cache}"
    assert [PLAIN.sub("", line) for line in rest[1:]] == [
        "  knowledge  [1/1] read, chunk, embed and index the documents",
        "  knowledge  documents 2, chunks 2, embedded 2",
        "                                  documents  pages  chunks",
        "             read                         2      2       2",
        "             the same as another          1",
        "             skipped                      2",
        "             skipped:",
        "               cut.docx  is no Word file, or a damaged one: File is not a zip file",
        "               old.doc  no reader for .doc; save it as .docx",
        "             the same as another:",
        "               wax.md  same as copy.md",
        "             no documents: 1 .png",
    ]
    assert done.stdout.splitlines() == [
        "3 questions; 1 more name no document",
        "                             @1     @5    @10    @20     MRR",
        "right document              67%   100%   100%   100%   0.833",
        "worst miss:",
        "  line 3: zz quiz",
        "    wanted  copy.md: came 2.",
        "    found   zebra.md: A zzzz quizzed zebra.",
    ]


def test_a_second_run_shows_the_same_and_reads_nothing(
    built: tuple[Shelf, subprocess.CompletedProcess[str]],
) -> None:
    shelf, first = built
    done = shelf.command("--questions", "q.jsonl", "--json")
    again = json.loads(done.stdout)
    assert again["ran"] == []
    assert done.stderr.splitlines() == [
        line.removeprefix(" " * 13) for line in first.stderr.splitlines()[4:]
    ]
    assert [row["document"] for row in again["library"]["documents"]] == [
        "copy.md",
        "cut.docx",
        "old.doc",
        "wax.md",
        "zebra.md",
    ]
    assert again["library"]["totals"] == {
        "documents": 2,
        "same": 1,
        "skipped": 2,
        "warned": 0,
        "pages": 2,
        "chunks": 2,
        "characters": 68,
    }
    assert (
        again["retrieval"]["document"]["recall_at_1"] == 0.6667
        and again["retrieval"]["page"] is None
    )
    assert Path(again["folder"], "chunks.sqlite").is_file()


def test_a_document_that_is_not_there_is_a_warning(
    built: tuple[Shelf, subprocess.CompletedProcess[str]],
) -> None:
    shelf, _ = built
    (shelf.folder / "other.jsonl").write_text(
        '{"question": "Quiz?", "document": "zebra.mdx", "pages": [2]}\n'
    )
    done = shelf.command("--questions", "other.jsonl", "-k", "1")
    assert (
        "warning: other.jsonl:1: document zebra.mdx is not in the library (did you mean zebra.md?)"
        in done.stderr
    )
    assert done.stdout.splitlines()[-2:] == [
        "    wanted  zebra.mdx, page 2: not among 20",
        "    found   zebra.md: A zzzz quizzed zebra.",
    ]


def test_on_error_fail_ends_with_six(shelf: Shelf) -> None:
    fill(shelf)
    (shelf.documents / "old.doc").unlink()
    done = shelf.command("--set", "knowledge.on_error=fail")
    assert done.returncode == 6 and done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("build: cut.docx: is no Word file")


def test_what_is_wrong_shows_before_anything_is_read(shelf: Shelf) -> None:
    fill(shelf)
    (shelf.folder / "q.jsonl").write_text('{"document": "zebra.md"}\n')
    done = shelf.command("--questions", "q.jsonl")
    assert (done.returncode, done.stderr) == (6, "build: q.jsonl:1: no question\n")
    done = shelf.command("--set", "knowledge.documents=nowhere")
    folder = shelf.folder / "nowhere"
    assert (done.returncode, done.stderr) == (
        5,
        f"build: --set: knowledge.documents: {folder}: no such folder\n",
    )
    done = shelf.command(
        "--set", "knowledge=null", "--set", "train.method=lora", "--set", "train.data=x.jsonl"
    )
    assert (done.returncode, done.stderr) == (
        5,
        "build: shelf.yaml: knowledge: missing; there is nothing to build here\n",
    )


def test_a_recipe_for_retrieval_alone_needs_no_model(
    built: tuple[Shelf, subprocess.CompletedProcess[str]],
) -> None:
    """And a recipe with the rest finds these stages done."""
    shelf, _ = built
    data = json.loads((shelf.folder / "shelf.yaml").read_text())
    (shelf.folder / "alone.yaml").write_text(
        json.dumps({k: data[k] for k in ("name", "version", "knowledge")})
    )
    done = shelf.command("--json", recipe="alone.yaml")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ran"] == []


def test_only_a_library_that_was_made_alike_is_brought_up_to_date(shelf: Shelf) -> None:
    fill(shelf)
    shelf.command()
    shelf.write("more.md", "# More\n\nText.\n")
    words = "begins with the library of before"
    assert words not in shelf.command("--set", "knowledge.chunk.tokens=100").stderr
    assert f"{words}: 3 documents as they were, 1 to read, 0 gone" in shelf.command().stderr
    again = shelf.command("--force")
    assert (
        again.returncode == 0
        and words not in again.stderr
        and "chunks 3, embedded 3" in again.stderr
    )


def test_show_prints_one_document_with_what_was_left_out(shelf: Shelf) -> None:
    shelf.write(
        "a/fees.html",
        "<h1>Fees</h1><p>Nine<sup>1</sup> "
        "francs.</p><p><del>Eight</del></p><h2>Late</h2><p>Ten.</p>",
    )
    done = shelf.command("--show", "a/fees.html")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "a/fees.html: Fees",
        "  1 page",
        "read in part:",
        "  not read: 1 word of struck-out text",
        "",
        "--- text",
        "[Fees]",
        "Nine¹ francs.",
        "",
        "[Fees > Late]",
        "Ten.",
        "",
    ]
    by_path = shelf.command("--show", str(shelf.documents / "a" / "fees.html"), "--json")
    shown = json.loads(by_path.stdout)
    assert shown["document"] == "a/fees.html" and shown["read_in_part"] == [
        "not read: 1 word of struck-out text"
    ]
    block = shown["pages"][0]["blocks"][0]
    assert shown["pages"][0]["text"][block["start"] : block["end"]] == "Nine¹ francs."
    missing = shelf.command("--show", "fees.html")
    assert missing.returncode == 6 and missing.stderr.endswith("; is it a/fees.html?\n")
    assert not (shelf.cache / "stages" / "knowledge").exists()


def test_a_cache_that_cannot_be_made(shelf: Shelf) -> None:
    shelf.write("a.md", "Text.")
    (shelf.folder / "file").write_text("")
    line = [
        sys.executable,
        "-m",
        "fieldpack_build.cli",
        "knowledge",
        "shelf.yaml",
        "--cache",
        str(shelf.folder / "file" / "x"),
    ]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, cwd=shelf.folder)
    assert done.returncode == 10
    how = "the cache must be a folder that can be written: name another with --cache"
    assert done.stderr == f"build: {shelf.folder}/file/x: Not a directory; {how}\n"


# --- without a process ----------------------------------------------------------------------------


def test_a_long_list_is_cut() -> None:
    rows = [{"document": f"{i:03}.md", "skipped": f"{i:03}.md: is empty"} for i in range(77)]
    library = library_of(rows, other_formats={})
    result = {**totals(library["documents"]), "listed": listed(library)}
    lines = table.lines(result)
    assert lines[:2] == ["         documents  pages  chunks", "read             0      0       0"]
    assert lines[2:4] == ["skipped         77", "skipped:"]
    assert lines[4] == "  000.md  is empty" and len(lines) == 4 + 40 + 1
    assert lines[-1] == "  ... and 37 more, all in library.json"


def test_what_was_read_in_part_is_listed() -> None:
    row = {
        "document": "a.pdf",
        "chunks": 3,
        "pages": 2,
        "characters": 9,
        "warnings": ["a.pdf: 1 page is an image", "odd"],
    }
    library = library_of([row], other_formats={".zip": 1200})
    lines = table.lines({**totals(library["documents"]), "listed": listed(library)})
    assert lines[2:] == [
        "read in part:",
        "  a.pdf  1 page is an image; odd",
        "no documents: 1,200 .zip",
    ]


def test_the_meter_guesses_what_is_to_come() -> None:
    now: list[float] = [0.0]
    said: list[tuple[Any, ...]] = []

    def note(*report: Any, count: str = "", left: float | None = None) -> None:
        said.append((*report, count, left))

    meter = ProgressEstimator(4, 4_000, note, clock=lambda: now[0])
    for name, size, chunks in (("a", 1_000, 30), ("b", 500, 0)):
        now[0] += 1
        meter.read(name, size, chunks)
    meter.embedding()
    now[0] += 2
    meter.embed(20)
    meter.embed(10)  # too soon after the last report
    now[0] += 1
    meter.skipped("c", 500)
    meter.read("d", 2_000, 34)
    meter.end()
    assert said == [
        (1_000, 4_000, "documents read", False, "1/4", None),
        (1_500, 4_000, "documents read", False, "2/4", None),
        # 60 chunks more at 10 a second, or 2,500 bytes at 1,500 in four seconds
        (20, 80, "chunks embedded, 10/s; 2/4 documents", True, "", pytest.approx(2_500 / 375)),
        # 30 chunks at 10 a second, or 2,000 bytes at 2,000 in five seconds
        (30, 60, "chunks embedded, 10/s; 3/4 documents, 1 skipped", True, "", 5.0),
        (30, 64, "chunks embedded, 10/s; 4/4 documents, 1 skipped", False, "", None),
    ]


def test_the_meter_counts_the_pages_of_long_documents() -> None:
    """Of two that are read at once it names the one of which more is left."""
    now: list[float] = [0.0]
    said: list[tuple[Any, ...]] = []

    def note(*report: Any, count: str = "", left: float | None = None) -> None:
        said.append((*report, count))

    meter = ProgressEstimator(3, 10_000, note, clock=lambda: now[0])
    long = "manuals/" + "very-" * 10 + "long.pdf"
    for report in (
        lambda: meter.reading("a/hand.pdf", 8_000, 811, 2_000, "page", 0.4),
        lambda: meter.reading("b.mbox", 1_000, 3, 4, "e-mail", 0.375),
        lambda: meter.read("a/hand.pdf", 8_000, 40),
        lambda: meter.reading(long, 1_000, 0, 9, "page", 0.0),
        lambda: meter.embedding(),
        lambda: meter.embed(10),
        lambda: meter.read("b.mbox", 1_000, 5),
        lambda: meter.reading(long, 1_000, 9, 9, "cutting page", 1.0),
    ):
        now[0] += 1
        report()
    assert said == [
        (3_200, 10_000, "documents; page 812 of 2,000 of hand.pdf", False, "0/3"),
        (3_575, 10_000, "documents; page 812 of 2,000 of hand.pdf", False, "0/3"),
        (8_375, 10_000, "documents; e-mail 4 of 4 of b.mbox", False, "1/3"),
        (8_375, 10_000, f"documents; page 1 of 9 of {'very-' * 7}very…", False, "1/3"),
        (
            10,
            50,
            f"chunks embedded, 10/s; 1/3 documents; page 1 of 9 of {'very-' * 7}very…",
            True,
            "",
        ),
        (
            10,
            50,
            f"chunks embedded, 5/s; 2/3 documents; page 1 of 9 of {'very-' * 7}very…",
            True,
            "",
        ),
        (10, 50, "chunks embedded, 3/s; 2/3 documents", True, ""),
    ]


def test_nothing_to_measure_is_said() -> None:
    assert library_questions.lines(measure(lambda question, k: [], []), worst=3) == [
        "no question names its document; nothing to measure"
    ]


def test_a_recipe_for_quotes_needs_no_system_text(tmp_path: Path) -> None:
    """It has a section `answer`, and no model that one would tell how to answer."""
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "a.md").write_text("# Gate\n\nThe gate closes at ten.")
    (tmp_path / "r.yaml").write_text(
        "name: quotes\nversion: 1.0.0\nknowledge:\n  documents: shelf\n  embedder: {model: ./none}\n"
        "answer:\n  refusal: The documents do not say.\n"
    )
    document = show_document(str(tmp_path / "r.yaml"), "a.md")
    assert "The gate closes at ten." in document.pages[0].text
