"""Cuts documents into chunks for the index.

Sections are kept together, long ones split where a reader would pause.

Knows nothing of formats, and of the embedding model only how it counts. A chunk's cost is that of
`f"{chunk.context}\\n{chunk.text}"`, which is what gets embedded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby, pairwise

from fieldpack.passages import COLUMNS, Chunk, join_context
from fieldpack_build.chunking.page_titles import page_leads
from fieldpack_build.chunking.split import (
    CHARACTERS_A_TOKEN,
    Measure,
    Pieces,
    Span,
    row_spans,
    sentence_starts,
)
from fieldpack_build.documents.pages import Block, Document, Page

_SMALLEST = 16  # tokens: half for the context, half for at least one character of the text
Counter = Callable[[str], int]
Starts = Callable[[str], Sequence[int]]


def chunk_document(
    document: Document,
    *,
    count_tokens: Counter,
    max_tokens: int,
    overlap: int = 0,
    token_starts: Starts | None = None,
    on_page: Callable[[int, int], None] | None = None,
) -> list[Chunk]:
    """Return the chunks of a document in the order of its text.

    None is above `max_tokens` with its context line, nor above 20 characters a token.
    `token_starts` gives the offset at which each token of a text begins: then a page is tokenized
    once instead of about five times, and a chunk's length is a difference of places in it (exact
    for WordPiece, whose tokens do not cross white space; within a token or two for others).
    `overlap` is the most tokens of whole sentences that a chunk repeats from the end of the one
    before, in the same section. A chunk that begins inside a table has the table's columns as last
    element of its `heading`. `on_page` is told after each page how many of how many are cut. Raises
    ValueError for max_tokens below 16 or an overlap of more than half of it.
    """
    if max_tokens < _SMALLEST:
        raise ValueError(f"max_tokens is {max_tokens}, needs to be {_SMALLEST} or more")
    if overlap < 0 or overlap * 2 > max_tokens:
        raise ValueError(
            f"overlap is {overlap}, needs to be 0 or more and at most half of max_tokens, "
            f"{max_tokens}"
        )
    cutter = _Cutter(document, count_tokens, max_tokens, overlap, token_starts)
    leads = page_leads(document.pages)
    chunks: list[Chunk] = []
    for number, (page, lead) in enumerate(zip(document.pages, leads, strict=True), start=1):
        chunks += cutter.page(page, lead)
        if on_page is not None:
            on_page(number, len(document.pages))
    return chunks


@dataclass(frozen=True, slots=True)
class _Section:
    """Neighbouring blocks under one heading; `start` is before the words of that heading if
    sections were merged."""

    heading: tuple[str, ...]
    blocks: tuple[Block, ...]
    start: int
    merged: bool = False

    @property
    def end(self) -> int:
        return self.blocks[-1].end


class _Cutter:
    def __init__(
        self,
        document: Document,
        count_tokens: Counter,
        max_tokens: int,
        overlap: int,
        token_starts: Starts | None,
    ) -> None:
        self._document = document
        # Mostly contexts, each counted many times.
        self._count = lru_cache(maxsize=256)(count_tokens)
        self._starts = token_starts
        self._max = max_tokens
        self._overlap = overlap
        self._title = _shortened(
            document.title, lambda title: count_tokens(f"{title}\n"), max_tokens // 2
        )

    def page(self, page: Page, lead: str) -> Iterator[Chunk]:
        """The chunks of a page, each with the gap between the one before and itself; `lead` stands
        above them all."""
        starts = self._starts(page.text) if self._starts else None
        self._measure = Measure(page.text, self._count, starts)
        end = 0
        for section in self._sections(page):
            heading = section.heading
            # Not where one says what the other does: the heading is the page's first line.
            if lead and not any(part in lead or lead in part for part in heading):
                heading = (*heading, lead)
            for chunk in self._section(page, section, self._fitting(heading)):
                yield replace(chunk, gap=page.text[end : chunk.start] if end else "")
                end = chunk.end

    def _sections(self, page: Page) -> Iterator[_Section]:
        """Short sections beside or right below each other come as one, if they fill less than half
        a chunk."""
        before: _Section | None = None
        size = 0
        for lower, run in groupby(page.blocks, key=lambda block: block.heading):
            blocks = tuple(run)
            gap = before.end if before else 0
            tokens = self._measure.size(gap, blocks[-1].end)
            if before and size + tokens <= self._max // 2:
                # As one they stand under the upper one's heading if the lower is its child, under
                # their parent if they are siblings.
                upper = before.heading
                is_child = lower[:-1] == upper
                if is_child or (not before.merged and upper[:-1] == lower[:-1]):
                    heading = upper if is_child else upper[:-1]
                    before = _Section(heading, before.blocks + blocks, before.start, merged=True)
                    size += tokens
                    continue
            if before:
                yield before
            before, size = _Section(lower, blocks, gap), tokens
        if before:
            yield before

    def _section(self, page: Page, section: _Section, heading: tuple[str, ...]) -> Iterator[Chunk]:
        run: list[Span] = []
        # Each block with what stands between it and the next: together they are the whole section.
        # Merged sections begin with the words of the first one's heading.
        start = section.start if section.merged else section.blocks[0].start
        starts = [start, *(block.start for block in section.blocks[1:]), section.end]
        for block, (start, end) in zip(section.blocks, pairwise(starts), strict=True):
            pieces = self._pieces(heading)
            whole = pieces.size(start, end)
            if block.kind == "text" or whole <= pieces.budget:
                run += pieces.text(start, end, whole)
                continue
            # The rows after a table's first piece stand under another heading, its columns.
            first, *rows = row_spans(page.text, start, end)
            yield from self._pack(page, heading, [*run, *pieces.text(*first)])
            run = []
            cells = (
                page.text[block.start : block.end].split("\n", 1)[0].strip().strip("|").split("|")
            )
            names = " | ".join(cell.strip() for cell in cells)
            columns = self._fitting((*heading, f"{COLUMNS}{names}"))
            under = self._pieces(columns)
            yield from self._pack(
                page, columns, [span for row in rows for span in under.text(*row)], overlap=0
            )
        yield from self._pack(page, heading, run)

    def _pieces(self, heading: tuple[str, ...]) -> Pieces:
        return Pieces(
            self._measure, self._max - self._count(f"{join_context(self._title, heading)}\n")
        )

    def _pack(
        self,
        page: Page,
        heading: tuple[str, ...],
        spans: Sequence[Span],
        overlap: int | None = None,
    ) -> Iterator[Chunk]:
        """Fills chunks with as many spans as go into each, and counts each chunk once more as a
        whole."""
        overlap = self._overlap if overlap is None else overlap
        pieces = self._pieces(heading)
        waiting = deque(spans)
        tail: Span | None = None
        while waiting:
            # At least one span; the overlap before it gives way if the two do not fit.
            taken = [waiting.popleft()]
            size = taken[0].tokens + (tail.tokens if tail else 0)
            while waiting and size + waiting[0].tokens <= pieces.budget:
                size += waiting[0].tokens
                taken.append(waiting.popleft())
            chunk = self._chunk(page, heading, (tail or taken[0]).start, taken[-1].end)
            while not self._is_short_enough(chunk):
                if tail:
                    tail = None
                elif len(taken) > 1:
                    waiting.appendleft(taken.pop())
                elif taken[0].end - taken[0].start > 1:
                    only = taken.pop()
                    waiting.extendleft(reversed(pieces.halves(only)))
                    taken = [waiting.popleft()]
                else:
                    # one character that costs more than half of max_tokens: there is no smaller
                    # chunk
                    break
                chunk = self._chunk(page, heading, (tail or taken[0]).start, taken[-1].end)
            if chunk.text:
                yield chunk
            tail = self._tail(pieces, chunk, taken[-1].end, overlap)

    def _tail(self, pieces: Pieces, chunk: Chunk, end: int, overlap: int) -> Span | None:
        """The last whole sentences of a chunk, up to `overlap` tokens and never all of it."""
        best: Span | None = None
        size = 0
        until = end
        for start in reversed(sentence_starts(chunk.text) if overlap else []):
            start += chunk.start
            size += pieces.size(start, until)
            until = start
            if start <= chunk.start or size > overlap:
                break
            best = Span(start, end, size)
        return best

    def _chunk(self, page: Page, heading: tuple[str, ...], start: int, end: int) -> Chunk:
        text = page.text[start:end]
        start += len(text) - len(text.lstrip())
        text = text.strip()
        return Chunk(
            self._document.path, self._title, page.number, heading, start, start + len(text), text
        )

    def _is_short_enough(self, chunk: Chunk) -> bool:
        if self._starts is None:
            is_long = len(chunk.text) > CHARACTERS_A_TOKEN * self._max
            return self._count(chunk.in_context) <= self._max and not is_long
        text = self._measure.size(chunk.start, chunk.end)
        return self._count(f"{chunk.context}\n") + text <= self._max

    def _fitting(self, heading: tuple[str, ...]) -> tuple[str, ...]:
        """The innermost headings that leave half of the tokens to the text; the last one shortened
        if need be."""
        max_cost = self._max // 2
        while (
            len(heading) > 1 and self._count(join_context(self._title, heading) + "\n") > max_cost
        ):
            heading = heading[1:]
        if not heading or self._count(join_context(self._title, heading) + "\n") <= max_cost:
            return heading

        def cost(last: str) -> int:
            return self._count(join_context(self._title, (last,)) + "\n")

        last = _shortened(heading[-1], cost, max_cost)
        return (last,) if last else ()


def _shortened(text: str, cost: Counter, max_cost: int) -> str:
    """The longest start of the text, in eighths, that costs no more than `max_cost`."""
    if cost(text) <= max_cost:
        return text
    for eighths in range(7, 0, -1):
        short = text[: len(text) * eighths // 8].rstrip(" |") + "…"
        if cost(short) <= max_cost:
            return short
    return ""
