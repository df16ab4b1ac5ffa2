"""Chunks are exact slices, in order, complete, and never too large, whatever the text and the
tokenizer."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldpack.passages import Chunk
from fieldpack_build.chunking import chunk_document
from fieldpack_build.chunking.split import row_spans
from fieldpack_build.documents import Block, Document, Page
from fieldpack_build.documents.pages import HeadingPath, PageBuilder
from fieldpack_build.recipe.schema import Chunking

Counter = Callable[[str], int]


def words(text: str) -> int:
    return len(text.split())


def pieces(text: str) -> int:
    """Like WordPiece: parts of words, single marks, and two marks around all."""
    return len(re.findall(r"\w{1,4}|[^\w\s]", text)) + 2


def utf8(text: str) -> int:
    return len(text.encode())


def document(*parts: tuple[str, object], title: str = "T") -> Document:
    """Parts: ("h1", words), ("text", words), ("table", rows)."""
    builder = PageBuilder(HeadingPath())
    for kind, value in parts:
        if kind.startswith("h"):
            builder.heading(int(kind[1]), str(value))
        elif kind == "text":
            builder.text(str(value))
        else:
            builder.table([str(row).split(",") for row in value])  # type: ignore[attr-defined]
    return Document("d.md", title, "0" * 64, (builder.page(),))


def chunk(source: Document, most: int, *, count: Counter = words, overlap: int = 0) -> list[Chunk]:
    return chunk_document(source, count_tokens=count, max_tokens=most, overlap=overlap)


texts = st.one_of(
    st.text(max_size=300),
    st.lists(
        st.sampled_from(
            ["Net sales rose.", "Fees", "e.g. 0.75%", "基金收费。", "🎉", "\n", "- a", "U.S."]
        )
    ).map(" ".join),
    st.sampled_from(["A" * 400, "费" * 300, "x\n" * 200, "🎉" * 60]),
)
cells = st.text(alphabet="ab 1%费", max_size=12)
tables = st.lists(st.lists(cells, min_size=1, max_size=4).map(",".join), max_size=20)
parts = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["h1", "h2", "h3"]), st.text(max_size=40)),
        st.tuples(st.just("text"), texts),
        st.tuples(st.just("table"), tables),
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(
    parts,
    st.text(max_size=60),
    st.sampled_from([words, pieces, utf8]),
    st.integers(16, 80),
    st.integers(0, 7),
)
def test_chunks(
    given: list[tuple[str, object]], title: str, count: Counter, most: int, overlap: int
) -> None:
    source = document(*given, title=title)
    chunks = chunk(source, most, count=count, overlap=overlap)
    page = source.pages[0]
    for one in chunks:
        assert one.text == page.text[one.start : one.end] == one.text.strip() != ""
        assert count(f"{one.context}\n{one.text}") <= most
    starts = [one.start for one in chunks]
    assert starts == sorted(set(starts))
    covered = {i for one in chunks for i in range(one.start, one.end)}
    in_blocks = {i for block in page.blocks for i in range(block.start, block.end)}
    assert all(page.text[i].isspace() for i in in_blocks - covered)
    if not overlap:
        assert sum(one.end - one.start for one in chunks) == len(covered)


def test_blocks_of_a_section_are_one_chunk_while_they_fit() -> None:
    chunks = chunk(
        document(("h1", "A"), ("text", "a " * 10), ("text", "b " * 10), ("text", "c " * 40)), 50
    )
    assert [(one.heading, words(one.text)) for one in chunks] == [(("A",), 20), (("A",), 40)]


def test_short_sections_merge_under_their_parent_with_their_headings() -> None:
    source = document(
        ("h1", "Fees"), ("h2", "Entry"), ("text", "None."), ("h2", "Exit"), ("text", "1%.")
    )
    assert [(one.heading, one.text) for one in chunk(source, 40)] == [
        (("Fees",), "Fees\n\nEntry\n\nNone.\n\nExit\n\n1%."),
    ]
    assert [(one.heading, one.text) for one in chunk(source, 16)] == [
        (("Fees",), "Fees\n\nEntry\n\nNone.\n\nExit\n\n1%."),
    ]
    apart = document(("h1", "A"), ("h2", "B"), ("text", "b " * 20), ("h2", "C"), ("text", "c"))
    assert [one.heading for one in chunk(apart, 40)] == [("A", "B"), ("A", "C")]


def test_sections_of_different_parents_stay_apart() -> None:
    source = document(
        ("h1", "A"), ("h2", "a"), ("text", "x"), ("h1", "B"), ("h2", "b"), ("text", "y")
    )
    assert [one.heading for one in chunk(source, 100)] == [("A", "a"), ("B", "b")]


def test_long_text_ends_at_sentences_rather_than_at_lines() -> None:
    source = document(
        (
            "text",
            "One two three four\nfive six seven eight. Nine ten eleven\ntwelve thirteen fourteen.",
        )
    )
    assert [one.text for one in chunk(source, 16)] == [source.pages[0].text]
    long = document(("text", "One two three four\nfive six seven eight. " * 3))
    assert {one.text for one in chunk(long, 16)} == {"One two three four\nfive six seven eight."}


def test_the_rows_of_a_long_table_carry_its_columns() -> None:
    rows = ["Fund,A class", *(f"F{i},0.{i}%" for i in range(12))]
    first, *later = chunk(
        document(("h1", "Fees"), ("text", "Rates:"), ("table", rows), ("text", "End.")), 24
    )
    assert first.text.startswith("Rates:\n\nFund | A class\nF0 | 0.0%")
    assert first.heading == ("Fees",)
    assert [one.heading for one in later] == [("Fees", "Columns: Fund | A class")] * (
        len(later) - 1
    ) + [("Fees",)]
    assert later[-1].text == "End."


def test_a_markdown_table_keeps_its_rule_with_its_header() -> None:
    text = "| A | B |\n|---|:-:|\n| 1 | 2 |\n| 3 | 4 |"
    assert [text[start:end] for start, end in row_spans(text, 0, len(text))] == [
        "| A | B |\n|---|:-:|\n| 1 | 2 |\n",
        "| 3 | 4 |",
    ]


def test_overlap_repeats_the_last_sentences() -> None:
    sentences = [f"Sentence number {i} is here." for i in range(8)]
    chunks = chunk(document(("text", " ".join(sentences))), 16, overlap=5)
    assert [one.text for one in chunks][:2] == [" ".join(sentences[:3]), " ".join(sentences[2:5])]


def test_headings_give_way_to_the_text() -> None:
    source = document(("h1", "far " * 30), ("h2", "near"), ("text", "a " * 30), title="t " * 60)
    chunks = chunk(source, 40)
    assert all(one.heading in ((), ("near",)) for one in chunks)
    assert "".join(one.text for one in chunks).count("a") == 30


def test_tokens_are_counted_a_few_times_for_each_character() -> None:
    counted = 0

    def count(text: str) -> int:
        nonlocal counted
        counted += len(text)
        return words(text)

    source = document(("h1", "A"), ("text", "One two three. " * 20_000), ("text", "word " * 20_000))
    chunk(source, 200, count=count)
    assert counted < 12 * len(source.pages[0].text)


def test_pages_never_share_a_chunk() -> None:
    one = document(("text", "a"))
    source = Document(
        "d.pdf",
        "T",
        "",
        tuple(Page(n, page.text, page.blocks) for n, page in [(1, one.pages[0])] * 2),
    )
    assert len(chunk(source, 100)) == 2


@pytest.mark.parametrize("tokens", [64, 65])
def test_the_recipe_and_the_chunker_allow_the_same_overlap(tokens: int) -> None:
    """A recipe with just half passed `build check`, and then every document failed."""
    sentences = " ".join(f"Sentence number {i} is here." for i in range(40))
    half = Chunking(tokens=tokens, overlap=tokens // 2)
    chunks = chunk(document(("text", sentences)), tokens, overlap=half.overlap)
    begin, end = chunks[1].start, chunks[0].end
    assert begin < end and words(sentences[begin:end]) <= tokens // 2
    for refused in (
        lambda overlap: Chunking(tokens=tokens, overlap=overlap),
        lambda overlap: chunk(document(("text", sentences)), tokens, overlap=overlap),
    ):
        with pytest.raises(ValueError, match="half of"):
            refused(tokens // 2 + 1)


@pytest.mark.parametrize(("most", "overlap"), [(15, 0), (100, 51), (33, 17), (100, -1)])
def test_senseless_limits(most: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="needs to be"):
        chunk(document(("text", "a")), most, overlap=overlap)


def test_a_run_without_blanks_is_cut_by_its_characters() -> None:
    """To WordPiece a word of more than 100 letters is one unknown token, however long."""
    text = "Start. " + "鷗x" * 20_000 + " End."
    page = Page(None, text, (Block("text", 0, len(text), ()),))
    document = Document("a.txt", "a", "0" * 64, (page,))

    def starts(text: str) -> list[int]:
        return [found.start() for found in re.finditer(r"\S+", text)]

    for token_starts in (None, starts):
        chunks = chunk_document(
            document,
            count_tokens=lambda t: len(t.split()),
            max_tokens=64,
            token_starts=token_starts,
        )
        assert max(len(chunk.text) for chunk in chunks) <= 20 * 64
        assert "".join(chunk.gap + chunk.text for chunk in chunks).replace(" ", "") == text.replace(
            " ", ""
        )
