"""`fieldpack search` as people and scripts meet it: which documents may answer, what of a passage
is shown, what lights up."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import Result
from test_app import COMMAND, run

import fakes
from fieldpack import DocumentRecord, Manifest
from fieldpack.passages import Chunk
from fieldpack.retrieval.embedder import Embedder
from fieldpack_app.info import overview, summarize
from fieldpack_app.terminal.excerpt import excerpt
from fieldpack_app.terminal.highlight import question_spans
from fieldpack_build.index.writer import IndexWriter

PROSE = """The board met in March.
Nothing was decided then.
The secretary took the minutes.
Coffee was served at ten.
The charges of the A class fell.
A guest spoke about ships.
The guest left at noon.
Members thanked her warmly.
Each fee is charged daily."""
CHARGES = (
    "Class | Ongoing charge | Remark\nA | 0.85% | for anybody\nInstitutional | 0.4% | from one "
    "million on, in one fund"
)
SHELF = {
    DocumentRecord("fees/2024.md", "Fees 2024", "a" * 64, 1, "2024-01-31", ("retail", "old")): (
        None,
        ("Charges",),
        CHARGES,
    ),
    DocumentRecord("fees/2025.xlsx", "Fees 2025", "b" * 64, 3, "2025-01-31", ("retail",)): (
        3,
        ("Charges", "Columns: Class | Ongoing charge"),
        "A | 0.8%\nI | 0.35%",
    ),
    DocumentRecord("minutes.txt", "Minutes", "c" * 64, 1, None, ()): (None, (), PROSE),
    DocumentRecord("talks/plan.pptx", "Plan", "d" * 64, 9, "2025-06-30", ("old",)): (
        9,
        ("Next year",),
        "No zebra \x1b[2J\tpays.",
    ),
}


@pytest.fixture(scope="module")
def shelf(exported_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of four documents with dates, tags, a sheet and a slide."""
    folder = fakes.write_bundle(
        tmp_path_factory.mktemp("shelf") / "shelf", model=exported_llama, knowledge=False
    )
    embedder = Embedder.open(fakes.write_letter_embedder(folder / "embedder"))
    writer = IndexWriter(folder / "knowledge", dim=fakes.DIM)
    for record, (page, heading, text) in SHELF.items():
        chunk = Chunk(record.path, record.title, page, heading, 0, len(text), text)
        writer.add(record, [chunk], embedder.embed_passages([chunk.in_context]))
    writer.finish()
    writer.close()
    fakes.reseal(folder)
    return folder


def documents(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return sorted(row["document"] for row in json.loads(result.stdout))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--folder fees", ["fees/2024.md", "fees/2025.xlsx"]),
        ("--folder ./fees/", ["fees/2024.md", "fees/2025.xlsx"]),
        ("--document fees/*.xlsx --document min*", ["fees/2025.xlsx", "minutes.txt"]),
        ("--after 2025-01-31", ["fees/2025.xlsx", "talks/plan.pptx"]),
        ("--before 2024-01-31", ["fees/2024.md"]),
        ("--after 2024-02-01 --before 2025-05-31", ["fees/2025.xlsx"]),
        ("--tag retail --tag old", ["fees/2024.md"]),
        ("--tag old --folder talks", ["talks/plan.pptx"]),
        ("", sorted(record.path for record in SHELF)),
    ],
)
def test_search_among_some_documents(shelf: Path, options: str, expected: list[str]) -> None:
    assert (
        documents(run("search", shelf, "charge of the A class", "--json", *options.split()))
        == expected
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--tag retial", "--tag retial; tags in this bundle: old, retail"),
        ("--folder fee", "--folder fee; folders in this bundle: fees, talks"),
        (
            "--document a --document *.pdf",
            (
                "--document a --document *.pdf; documents in this bundle: fees/2024.md, "
                "fees/2025.xlsx, minutes.txt, talks/plan.pptx"
            ),
        ),
        (
            "--after 2026-01-01 --tag x",
            (
                "--after 2026-01-01 or --tag x; dates in this bundle: 2024-01-31 to 2025-06-30; "
                "tags in this bundle: old, retail"
            ),
        ),
        ("--tag retail --folder talks", "--folder talks --tag retail together"),
    ],
)
def test_a_filter_that_lets_nothing_through_says_what_there_is(
    shelf: Path, options: str, told: str
) -> None:
    result = run("search", shelf, "charge", *options.split())
    assert (result.exit_code, result.stdout) == (0, f"no passages: no document matches {told}\n")
    assert run("search", shelf, "charge", *options.split(), "--json").stdout == "[]\n"


def test_what_a_bundle_lacks_is_said(sealed: Path, bundle: Path) -> None:
    for option, told in (
        ("--tag", "no tags in this bundle"),
        ("--folder", "no folders in this bundle"),
        ("--after", "no document in this bundle states its date"),
    ):
        value = "2024-12-31" if option == "--after" else "x"
        stdout = run("search", sealed, "valve", option, value).stdout
        assert stdout == f"no passages: no document matches {option} {value}; {told}\n"
    shutil.rmtree(bundle / "knowledge")
    fakes.reseal(bundle)
    assert run("search", bundle, "valve").stdout == "no passages: this bundle holds no documents\n"


@pytest.mark.parametrize(
    "date", ["2024", "2024-13-01", "20241231", "31.12.2024", "2024-W52-2", "", "yesterday"]
)
def test_a_bad_date_is_a_usage_error_with_an_example(shelf: Path, date: str) -> None:
    result = run("search", shelf, "charge", "--after", date)
    assert result.exit_code == 2
    assert result.stderr.endswith(
        f"'--after': {date!r} is no date; write YYYY-MM-DD, such as 2024-12-31\n"
    )


def test_a_span_of_no_days_is_a_usage_error(shelf: Path) -> None:
    result = run("search", shelf, "charge", "--after", "2025-01-01", "--before", "2024-12-31")
    assert (
        result.exit_code == 2
        and "--after 2025-01-01 is later than --before 2024-12-31" in result.stderr
    )


def test_search_as_json(shelf: Path) -> None:
    (found,) = json.loads(
        run(
            "search",
            shelf,
            "Which charges has class A?",
            "--folder",
            "fees",
            "-k",
            1,
            "--json",
            "--before",
            "2024-12-31",
        ).stdout
    )
    assert 0 < found.pop("similarity") <= 1 and found.pop("score") > 0
    optional = {key: found.pop(key) for key in ("start", "end", "also_in") if key in found}
    assert not optional or (optional["start"], optional["end"]) == (0, len(CHARGES))
    highlights = found.pop("highlights")
    assert [CHARGES[start:end] for start, end in highlights] == ["Class", "charge"]
    assert found == {
        "document": "fees/2024.md",
        "title": "Fees 2024",
        "date": "2024-01-31",
        "tags": ["retail", "old"],
        "page": None,
        "heading": ["Charges"],
        "text": CHARGES,
    }


def shown(text: str) -> list[str]:
    """Without the figures, which are the embedder's; bold in brackets."""
    plain = text.replace("\x1b[1m", "[").replace("\x1b[0m", "]").replace("\r\n", "\n")
    return re.sub(r"similarity 0\.\d\d", "similarity _", plain).splitlines()


def test_a_long_passage_is_shown_around_the_words(shelf: Path) -> None:
    result = run(
        "search", shelf, "What are the daily fees and charges?", "--document", "minutes.txt"
    )
    assert shown(result.stdout) == [
        "1. minutes.txt  (similarity _)",
        *(
            f"   {line}" if line != "…" else "   …"
            for line in (
                "The board met in March.",
                "Nothing was decided then.",
                "The secretary took the minutes.",
                "Coffee was served at ten.",
                *PROSE.splitlines()[4:],
            )
        ),
    ]


def terminal(*args: object, columns: int) -> str:
    """What the command writes to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {
        "COLUMNS": str(columns),
        "TERM": "xterm",
    }
    process = subprocess.Popen(
        [*COMMAND, *map(str, args)], stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    pieces = []
    with contextlib.suppress(OSError):  # EIO: Linux's end of a terminal
        while piece := os.read(ours, 65536):
            pieces.append(piece)
    os.close(ours)
    text = b"".join(pieces).decode()
    assert process.wait(timeout=120) == 0, text
    return text


def test_search_on_a_terminal(shelf: Path) -> None:
    text = terminal(
        "search",
        shelf,
        "What are the charges of the A class?",
        "--folder",
        "fees",
        "--quick",
        columns=40,
    )
    blocks = (block.splitlines() for block in "\n".join(shown(text)).split("\n\n"))
    bodies = {
        head[4:].split("  ")[0]: body for head, *body in blocks
    }  # which is first is the embedder's to say
    assert bodies == {
        "fees/2024.md": [
            "   Charges",
            "   [Class]             Ongoing  Remark",
            "                      [charge]",
            "   A                   0.85%  for",
            "                              anybody",
            "   Institutional        0.4%  from one",
            "                              million",
            "                              on, in one",
            "                              fund",
        ],
        "fees/2025.xlsx, sheet Charges": [
            "   Class  Ongoing charge",
            "   A                0.8%",
            "   I               0.35%",
        ],
    }


def test_a_document_s_control_characters_and_tabs_on_a_terminal(shelf: Path) -> None:
    text = terminal(
        "search",
        shelf,
        "zebra pays",
        "--tag",
        "old",
        "-k",
        1,
        "--folder",
        "talks",
        "--quick",
        columns=80,
    )
    assert shown(text) == [
        "[1. talks/plan.pptx, slide 9  (similarity _)]",
        "   Next year",
        "   No [zebra] \ufffd[2J [pays].",
    ]


def test_info_of_a_library(shelf: Path) -> None:
    assert json.loads(run("info", shelf, "--json").stdout)["knowledge"] == {
        "documents": 4,
        "chunks": 4,
        "folders": {"": 1, "fees": 2, "talks": 1},
        "dated": 3,
        "dates": ["2024-01-31", "2025-06-30"],
        "tags": {"old": 2, "retail": 2},
    }
    text = " ".join(run("info", shelf).stdout.split())
    assert (
        "folders fees 2, (none) 1, talks 1 dates 2024-01-31 to 2025-06-30 (of 3 documents, by their text, else the file)"
        in text
    )
    assert "tags old 2, retail 2" in text


# --- excerpts and highlights ----------------------------------------------------------------------


def lit(text: str, question: str) -> list[str]:
    (spans,) = question_spans([text], question)
    return [text[start:end] for start, end in spans]


@pytest.mark.parametrize(
    ("text", "question", "expected"),
    [
        (
            "The fee and the Fees; charging is free.",
            "What are the fees charged?",
            ["fee", "Fees", "charging"],
        ),
        ("what does the fund do", "What does the do?", []),
        ("Valve QX-7781 is shut.", "qx-7781", ["QX", "7781"]),
        ("Café, cafes and CAFÉ", "cafés", ["Café", "cafes", "CAFÉ"]),
        ("закрыть дверь", "ДВЕРЬ", ["дверь"]),
        ("a fee\0after fees \x02fee\x03 \ud800 fee", "fee", ["fee", "fees", "fee", "fee"]),
        ("", "fee", []),
        ('a "quoted" NEAR word', 'quoted" OR NEAR(', ["quoted", "NEAR"]),
    ],
)
def test_words_light_up_by_their_stems(text: str, question: str, expected: list[str]) -> None:
    assert lit(text, question) == expected


@pytest.mark.parametrize(
    ("language", "text", "question", "expected"),
    [
        (
            "sk",
            "Dávky a skúmavky, skúmaviek.",
            "Kde je skúmavka a dávka?",
            ["Dávky", "skúmavky", "skúmaviek"],
        ),
        ("uk", "Пліт, плоти — і вода.", "Де плотів і воду?", ["Пліт", "плоти", "вода"]),
        (
            "de",
            "Die Strassen, TESTER-100.",
            "Wo ist die Straße des Tester 100?",
            ["Strassen", "TESTER", "100"],
        ),
        ("zh", "叉车充电在东侧充电间进行。", "在哪里充电间", ["充电", "充电间"]),
    ],
)
def test_words_of_other_languages_light_up_by_their_stems(
    language: str, text: str, question: str, expected: list[str]
) -> None:
    (spans,) = question_spans([text], question, ["", language])
    assert [text[start:end] for start, end in spans] == expected


def test_highlights_of_several_texts_stay_with_their_text() -> None:
    assert question_spans(["no", "a fee", "", "fees of fees"], "fee") == [
        [],
        [(2, 5)],
        [],
        [(0, 4), (8, 12)],
    ]


def excerpted(text: str, question: str, width: int | None, header: str = "") -> list[str]:
    (spans,) = question_spans([text], question)
    lines = excerpt(text, spans, width=width, header=header)
    for line in lines:
        assert all(lit(line.text[a:b], question) for a, b in line.spans)
    return [line.text for line in lines]


def test_an_excerpt_has_the_best_lines_and_says_where_it_left_some_out() -> None:
    text = "\n".join(
        f"Line {n:02d} " + "of many words " * 4 + ("and a fee." if n == 30 else "")
        for n in range(60)
    )
    numbers = [line[:7] for line in excerpted(text, "fee", None)]
    assert numbers == ["…", "Line 28", "Line 29", "Line 30", "Line 31", "Line 32", "…"]


def test_a_long_line_is_cut_around_the_words() -> None:
    text = "Words before it. " * 60 + "The zebra pays a fee here. " + "Words after it. " * 60
    (whole,) = excerpted(text, "zebra fee", None)
    assert whole == text.strip()
    cut = excerpted(text, "zebra fee", 100)
    assert "The zebra pays a fee here." in " ".join(cut)
    assert (
        cut[0].startswith("…") and cut[-1].endswith("…") and all(len(line) <= 100 for line in cut)
    )
    assert 400 < len(" ".join(cut)) <= 600


def test_tables_stand_in_columns_where_they_fit() -> None:
    table = (
        "| Fund | Fee | Since |\n|---|---|---|\n| Global | 1.25% | 2001 |\n| 東京 | 0.5% | 1999 |\n| "
        " | 10% |  |"
    )
    aligned = [
        "Fund      Fee  Since",
        "Global  1.25%   2001",
        "東京     0.5%   1999",
        "          10%",
    ]
    assert excerpted(table, "fee", 80) == aligned
    assert excerpted("Global | 1.25% | 2001", "fee", 80, header="Fund | Fee | Since") == aligned[:2]
    assert excerpted(table, "fee", None) == [
        line for line in table.splitlines() if "---" not in line
    ]
    assert excerpted(table, "x", 10)[:3] == ["| Fund |", "Fee |", "Since |"]


@pytest.mark.parametrize(
    ("text", "width"),
    [("", 10), ("\n \n", 10), ("x" * 50, 7), ("東" * 9, 1), ("a | " * 40, 20), ("|", 5)],
)
def test_any_text_has_an_excerpt(text: str, width: int) -> None:
    letters = "".join(excerpted(text, "x", width)).replace(" ", "").replace("|", "")
    assert letters == re.sub(r"[\s|]", "", text)


def test_info_names_the_files_that_the_build_could_not_read() -> None:
    def said(**provenance: object) -> object:
        manifest = Manifest("toy", "1.0.0", files=(), provenance=provenance)
        library = {"documents": 1, "chunks": 1, "folders": {}, "dated": 0, "dates": [], "tags": {}}
        facts = {**summarize(Path(), manifest), "report": None, "knowledge": library}
        return overview(facts)["not read"]  # type: ignore[arg-type]

    assert said(not_read={"files": 1, "names": ["a.pdf"]}) == (
        "1 file of the library could not be read: a.pdf"
    )
    names = [f"{letter}.pdf" for letter in "abcdefghij"]
    assert said(not_read={"files": 50, "names": names}) == (
        "50 files of the library could not be read: "
        "a.pdf, b.pdf, c.pdf, d.pdf, e.pdf, f.pdf, g.pdf, h.pdf and 42 more"
    )
    assert said() == said(not_read=4) == said(not_read={"files": "x", "names": []}) == ""
