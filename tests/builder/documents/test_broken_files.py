"""A folder of broken files among good ones: each broken one has its reason, and each good one is
read all the same."""

from __future__ import annotations

import pickle
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broken import (
    PROSE,
    mail,
    pdf,
    slides,
    with_part,
    word,
    workbook,
    write_broken_files,
    write_good_files,
)
from fieldpack_build.documents import Document, Skipped, read_document, read_library, readers
from fieldpack_build.errors import DocumentError


@pytest.fixture(scope="module")
def library(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, str], dict[str, str], dict[str, Document | Skipped]]:
    folder = tmp_path_factory.mktemp("library") / "documents"
    good, broken = write_good_files(folder), write_broken_files(folder)
    return good, broken, {entry.path: entry for entry in read_library(folder, on_error="warn")}


def test_every_broken_file_is_named_with_its_reason(library: tuple[dict[str, str], ...]) -> None:
    _, broken, found = library
    assert len(broken) >= 30
    reasons = {name: entry.reason for name, entry in found.items() if isinstance(entry, Skipped)}
    assert set(reasons) == set(broken)
    for name, expected in broken.items():
        assert (
            reasons[name].startswith(f"{name}: ")
            and expected in reasons[name]
            and "\n" not in reasons[name]
        )
        assert "0x" not in reasons[name]  # an address in memory tells nobody anything


def test_every_good_file_among_them_is_read(library: tuple[dict[str, str], ...]) -> None:
    good, _, found = library
    documents = {name: entry for name, entry in found.items() if isinstance(entry, Document)}
    assert set(documents) == set(good)
    for name, sentence in good.items():
        assert sentence in "\n".join(page.text for page in documents[name].pages)
        assert (
            pickle.loads(pickle.dumps(documents[name])) == documents[name]
        )  # it comes out of a worker process


def test_the_first_broken_file_ends_it_under_fail(tmp_path: Path) -> None:
    write_good_files(tmp_path)
    (tmp_path / "first.pdf").write_bytes(b"Dear Sir")
    (tmp_path / "second.pdf").write_bytes(b"Dear Madam")
    with pytest.raises(DocumentError, match=r"^first\.pdf: is no PDF"):
        list(read_library(tmp_path, on_error="fail"))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    import tracemalloc

    (tmp_path / "a.docx").write_bytes(
        with_part(word(PROSE), "word/document.xml", b" " * (40 << 20))
    )
    tracemalloc.start()
    with pytest.raises(DocumentError, match="zip bomb"):
        read_document(tmp_path / "a.docx", "a.docx")
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_a_file_that_grew_is_not_read_beyond_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a" * (2 << 20))
    with pytest.raises(DocumentError, match=r"more than the 1 MB of knowledge\.max_file_mb"):
        read_document(tmp_path / "a.txt", "a.txt", max_file_mb=1)


_SEEDS = {
    "a.docx": word(PROSE),
    "a.xlsx": workbook([["Fund", "Fee"], ["CGEF", 0.75], ["CGBF", 0.4]]),
    "a.pptx": slides(PROSE, PROSE),
    "a.pdf": pdf([(PROSE, 11, "F1")]),
    "a.eml": mail(PROSE),
    "a.csv": b'Fund;Fee\nCGEF;"0,75%"\n',
    "a.jsonl": b'{"title": "Fees", "text": "The fee is 5.", "more": [{"a": 1}]}\n',
    "a.html": b"<h1>Fees</h1><table><tr><td rowspan=2>A</td><td>1</td></tr><tr><td>2</td></tr></table>",
    "a.md": b"---\ntitle: Fees\ntags: [a, b]\n---\n# Fees\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
}


def _parts(name: str) -> list[str]:
    import zipfile

    if not name.endswith(("x",)):
        return [""]
    with zipfile.ZipFile(BytesIO(_SEEDS[name])) as package:
        return ["", *(part for part in package.namelist() if part.endswith((".xml", ".rels")))]


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file of any kind, or one part of an Office file, with bytes changed, taken out, put in, or
    cut off."""
    import zipfile

    name = draw(st.sampled_from(sorted(_SEEDS)))
    part = draw(st.sampled_from(_parts(name)))
    if part:
        with zipfile.ZipFile(BytesIO(_SEEDS[name])) as package:
            whole = package.read(part)
    else:
        whole = _SEEDS[name]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(whole)))
        end = start + draw(st.integers(0, 30))
        put = draw(
            st.sampled_from(
                [b"", b"<", b">", b'"', b"\0", b"\xff", b"/>", b"-1", b"999999999999", b"<a/>"]
            )
        )
        whole = whole[:start] + put + whole[end:]
    if draw(st.booleans()) and draw(st.booleans()):
        whole = whole[: draw(st.integers(0, len(whole)))]
    return name, with_part(_SEEDS[name], part, whole) if part else whole


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(damaged())
def test_whatever_is_damaged_is_read_or_refused_in_words(file: tuple[str, bytes]) -> None:
    name, data = file
    try:
        content = readers.read(data, name)
    except DocumentError as error:
        assert str(error).startswith(f"{name}: ") and "\n" not in str(error)
    else:
        for page in content.pages:
            assert all(page.text[block.start : block.end].strip() for block in page.blocks)
