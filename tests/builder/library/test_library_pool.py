"""The pool of reading processes: order, crashes, and workers that do not start. Real processes on
tiny documents."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import fakes
from fieldpack.child import python
from fieldpack_build.errors import StageError
from fieldpack_build.ingest.pool import ReadingPool
from fieldpack_build.ingest.read import (
    ReadDocument,
    ReaderConfig,
    ReadFailure,
    ReadJob,
    ReadProgress,
    tags_of,
)
from fieldpack_build.process_limits import CAN_BOUND_MEMORY
from moments import act_at
from pdf_file import pdf_file
from serving import wait_for

SENTENCE = b"The crane is at gate 5."


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("letters")
    fakes.write_letter_embedder(folder)
    return folder


def reading(embedder: Path, *, max_tokens: int = 64, overlap: int = 0) -> ReaderConfig:
    return ReaderConfig(
        embedder, max_tokens, overlap, ocr=False, max_file_mb=10, tags={"a/**": ["early"]}
    )


def order(folder: Path, name: str, text: str) -> ReadJob:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return ReadJob(path, name, path.stat().st_size)


@pytest.fixture
def at_b(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has a reader's process run a statement as it opens b.md."""

    def act(statement: str) -> None:
        (tmp_path / "hook").mkdir()
        act_at(
            tmp_path / "hook", 'event == "open" and str(arguments[0]).endswith("b.md")', statement
        )
        path = os.pathsep.join(filter(None, (str(tmp_path / "hook"), os.environ.get("PYTHONPATH"))))
        monkeypatch.setenv("PYTHONPATH", path)

    return act


def workers() -> list[psutil.Process]:
    """multiprocessing's resource tracker is a child too, and stays."""
    return [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]


def test_documents_come_in_order_whichever_is_read_first(embedder: Path, tmp_path: Path) -> None:
    orders = [order(tmp_path, "a/long.md", "# Long\n\n" + "Many words. " * 2_000)]
    orders += [order(tmp_path, f"b/{i:02}.md", f"# Short {i}\n\nText {i}.") for i in range(20)]
    orders.append(ReadJob(tmp_path / "gone.md", "gone.md", 0))
    with ReadingPool(reading(embedder), workers=2) as pool:
        found = list(pool.results(orders))
    assert [f.record.path if isinstance(f, ReadDocument) else f.path for f in found] == [
        o.relative for o in orders
    ]
    assert isinstance(found[0], ReadDocument) and isinstance(found[1], ReadDocument)
    assert (found[0].record.tags, found[1].record.tags) == (("early",), ())
    assert len(found[0].chunks) > 100 and found[1].chunks[0].text == "Text 0."
    assert found[-1] == ReadFailure(
        "gone.md", "gone.md: cannot be read: No such file or directory", lasting=False
    )
    assert not workers()


def test_how_far_a_long_document_is_comes_from_its_worker(embedder: Path, tmp_path: Path) -> None:
    mails = "".join(
        f"From a@b Mon Jan  6 10:00:00 2025\nSubject: Gate {i}\nFrom: a@b\n\nGate {i} is open.\n\n"
        for i in range(40)
    )
    orders = [order(tmp_path, "a.mbox", mails), order(tmp_path, "b.md", "# B\n\nText.")]
    said: list[tuple[ReadJob, ReadProgress]] = []
    pool = ReadingPool(
        reading(embedder), workers=1, on_progress=lambda job, at: said.append((job, at))
    )
    with pool:
        assert all(isinstance(one, ReadDocument) for one in pool.results(orders))
    assert said[0] == (orders[0], ReadProgress(1, 40, "e-mail", 1 / 80))
    assert all(at.unit == "cutting page" for job, at in said if job == orders[1])


def test_a_document_whose_reader_is_killed_is_skipped_and_the_rest_is_read(
    embedder: Path, tmp_path: Path, at_b: Callable[[str], None]
) -> None:
    at_b("os.kill(os.getpid(), signal.SIGKILL)")
    orders = [order(tmp_path, f"{name}.md", f"# {name}\n\nText.") for name in "abc"]
    with ReadingPool(reading(embedder), workers=1) as pool:
        first, lost, last = pool.results(orders)
    assert isinstance(first, ReadDocument) and isinstance(last, ReadDocument)
    assert isinstance(lost, ReadFailure) and not lost.lasting
    said = (
        "b.md: its reader's process was ended by SIGKILL (out of memory?); leave the file out, "
        "or repair it"
    )
    assert lost.reason == said


def test_a_reader_that_takes_its_time_to_die_is_asked_what_of(
    embedder: Path, tmp_path: Path, at_b: Callable[[str], None]
) -> None:
    """Its end of the pipe is closed before it has ended; killed then, it would count as ended for
    want of memory."""
    at_b(
        "[one.close() for one in __import__('gc').get_objects() if type(one).__name__ == "
        "'Connection']; time.sleep(1.5); os.kill(os.getpid(), signal.SIGSEGV)"
    )
    orders = [order(tmp_path, f"{name}.md", f"# {name}\n\nText.") for name in "ab"]
    with ReadingPool(reading(embedder), workers=1) as pool:
        first, lost = pool.results(orders)
    assert isinstance(first, ReadDocument)
    assert isinstance(lost, ReadFailure) and "ended by SIGSEGV" in lost.reason


@pytest.mark.skipif(not CAN_BOUND_MEMORY, reason="Linux alone says what memory a process has")
def test_a_document_that_ends_its_reader_is_read_once_more_without_what_does(
    embedder: Path, tmp_path: Path
) -> None:
    """A page of the PDF draws a form that draws itself twice, and so on without end."""
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents %d 0 R>>"
    words = b"BT /F 11 Tf 50 700 Td (%b) Tj ET" % SENTENCE
    data = pdf_file(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 2/Kids[4 0 R 5 0 R]"
        b"/Resources<</Font<</F 3 0 R>>/XObject<</A 8 0 R>>>>>>",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        *(page % number for number in (6, 7)),
        b"<</Length %d>>stream\n%b\nendstream" % (len(words), words),
        b"<</Length 5>>stream\n/A Do\nendstream",
        b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</A 8 0 R>>>>"
        b"/Length 11>>stream\n/A Do /A Do\nendstream",
    )
    (tmp_path / "b.pdf").write_bytes(data)
    orders = [
        order(tmp_path, "a.md", "# A\n\nFirst."),
        ReadJob(tmp_path / "b.pdf", "b.pdf", (tmp_path / "b.pdf").stat().st_size),
        *(order(tmp_path, f"c{i}.md", f"# C\n\nText {i}.") for i in range(3)),
    ]
    with ReadingPool(reading(embedder), workers=1) as pool:
        found = list(pool.results(orders))
    assert [one.record.path for one in found if isinstance(one, ReadDocument)] == [
        one.relative for one in orders
    ]
    bounded = found[1]
    assert isinstance(bounded, ReadDocument) and "(page 2)" in bounded.warnings[0]
    assert bounded.chunks[0].text == SENTENCE.decode()


@pytest.mark.skipif(not CAN_BOUND_MEMORY, reason="Linux alone says what memory a process has")
def test_the_memory_of_a_reader_is_bounded() -> None:
    program = "from fieldpack_build.process_limits import bound_memory; bound_memory('DATA', 64 << 20); {}"
    for size, code in ((32, 0), (256, 1)):
        command = python("-c", program.format(f"bytearray({size} << 20)"))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code and done.stderr.endswith("MemoryError\n" * code)


@pytest.mark.skipif(not CAN_BOUND_MEMORY, reason="Linux alone says what memory a process has")
@pytest.mark.parametrize(("name", "megabytes"), [("a.xml", 100), ("a.html", 45), ("a.csv", 100)])
def test_a_document_that_needs_more_memory_says_so(
    tmp_path: Path, name: str, megabytes: int
) -> None:
    """It is not read in part, and not called damaged."""
    rows = {"a.xml": "<b><c>5</c></b>", "a.html": "<p>a<b>5</b></p>", "a.csv": "a,5\n"}
    body = rows[name] * (12_000_000 // len(rows[name]))
    (tmp_path / name).write_text(f"<a>{body}</a>" if name != "a.csv" else body)
    program = f"""
import sys; from pathlib import Path
import lxml.etree
from fieldpack_build.documents import read_document
from fieldpack_build.process_limits import bound_memory
bound_memory("DATA", {megabytes} << 20)
read_document(Path(sys.argv[1]), {name!r}, expendable=True)
"""
    command = python("-c", program, str(tmp_path / name))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{name}: needs more memory than there is for it; split it" in done.stderr


def test_a_reader_that_fails_unexpectedly_is_named_and_replaced(
    embedder: Path, tmp_path: Path
) -> None:
    """No document of ours makes a reader fail; an overlap that the recipe would have refused does."""
    orders = [order(tmp_path, f"{i}.md", f"# T\n\nText {i}.") for i in range(2)]
    with ReadingPool(reading(embedder, overlap=60), workers=1) as pool:
        first, second = pool.results(orders)
    assert isinstance(first, ReadFailure) and isinstance(second, ReadFailure)
    assert first.reason.startswith("0.md: its reader failed: ValueError: overlap is 60")
    assert first.reason.endswith("the traceback is in the stage's log") and not first.lasting


def test_a_pool_that_cannot_begin_says_so_once(tmp_path: Path) -> None:
    orders = [order(tmp_path, f"{i}.md", "# T\n\nText.") for i in range(3)]
    with (
        ReadingPool(reading(tmp_path / "nothing"), workers=2) as pool,
        pytest.raises(StageError, match=r"ended with 1 before it began; see the stage's log"),
    ):
        list(pool.results(orders))


def test_nobody_waits_for_documents_that_nobody_wants(
    embedder: Path, tmp_path: Path, at_b: Callable[[str], None]
) -> None:
    at_b(f"open({str(tmp_path / 'begun')!r}, 'w').close(); time.sleep(10**6)")
    orders = [order(tmp_path, f"{name}.md", f"# {name}\n\nText.") for name in "ab"]
    with ReadingPool(reading(embedder), workers=1) as pool:
        next(pool.results(orders))
        wait_for((tmp_path / "begun").exists)
    assert not workers()


def test_tags_are_the_documents_own_then_the_recipes() -> None:
    tags = {"a/**": ["one", "two"], "**/*.pdf": ["two", "three"]}
    assert tags_of("a/b/c.pdf", ["own", "two"], tags) == ("own", "two", "one", "three")
    assert tags_of("b/c.md", [], tags) == ()
