"""The lines of `build data`: coloured on a terminal, with marks in the place of colours elsewhere.
Knows nothing of how what it shows was gathered."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .inspection import InspectedExample, InspectedFile, Inspection
from .rows import judged_in_words, shortened

OPEN, CLOSE = "⟦", "⟧"  # around what is learned, where there are no colours
_BAR_WIDTH = 40
_MAX_DOCUMENTS = 8
_HEAD, _BAD, _ODD = "bold", "red", "yellow"
_WORDS, _SPECIAL = ("dim", "bold green"), ("dim magenta", "bold magenta")  # read, learned
Piece = tuple[str, str]  # text and its style
Line = list[Piece]


def show(inspection: Mapping[str, object], examples: int, *, title: str) -> None:
    """Print what `data.inspect` gathered, and that many examples, on stdout."""
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    rows = Inspection.model_validate(inspection)
    lines = list(page(rows, examples, title=title, marks=not coloured))
    if not coloured:
        print("\n".join("".join(text for text, _ in line) for line in lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for line in lines:
        console.print(Text.assemble(*line), soft_wrap=True)


def page(rows: Inspection, examples: int, *, title: str, marks: bool) -> Iterator[Line]:
    """Yield the lines, each as pieces of text with their styles. `marks`: what is learned stands
    between signs, and not only in another colour."""
    yield [(title, _HEAD)]
    yield from _files(rows.files)
    leaks = f"leaks between rows and {rows.questions:,} test questions"
    yield from _list("problems", rows.problems, _BAD)
    yield from _list("warnings", rows.warnings, _ODD)
    yield from _list("rows that are there twice", rows.duplicates, _ODD)
    yield from _list("rows that contradict each other", rows.contradictions, _ODD)
    yield from _list(leaks, rows.leaks, _BAD)
    if judged := judged_in_words(rows.without_value, rows.answerable):
        yield [(f"  {judged}", "")]
    if rows.tokens.rows:
        yield from _tokens(rows)
        yield from _documents(rows)
    for example in rows.examples[:examples]:
        yield from _example(example, rows.special_tokens, marks=marks)


def _files(files: Sequence[InspectedFile]) -> Iterator[Line]:
    names = [_without_here(file.file) for file in files]
    width = max(map(len, names), default=0)
    for name, file in zip(names, files, strict=True):
        shapes = ", ".join(f"{shape} {count:,}" for shape, count in file.shapes.items())
        refusals = f"{file.refusals:,} of them refusals ({_share(file.refusals, file.rows)})"
        shapes = shapes or "nothing that can be read"
        yield [(f"  {name:<{width}}  {file.rows:>7,} rows, {refusals}; {shapes}", "")]


def _without_here(text: str) -> str:
    """Files below the current folder are named from there."""
    return text.replace(f"{Path.cwd()}/", "")


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else "0%"


def _list(heading: str, entries: Sequence[str], style: str) -> Iterator[Line]:
    if not entries:
        yield [(f"  {heading}: none", "")]
        return
    yield [(f"  {heading}: {len(entries):,}", style)]
    for entry in shortened(entries, "in --json"):
        yield [(f"    {_without_here(entry)}", style)]


def _tokens(rows: Inspection) -> Iterator[Line]:
    tokens, learned = rows.tokens, rows.supervised
    limits = {name: value for name, value in rows.limits.items() if value}
    passages = f"with {rows.passages} passages" if rows.passages else "without passages"
    range_ = (
        f"{tokens.shortest:,} to {tokens.longest:,}, median {tokens.median:,}, 95% under "
        f"{tokens.p95:,}"
    )
    yield [(f"  tokens a row, {passages}: ", ""), (range_, _HEAD)]
    tallest = max(count for _, _, count in tokens.bars)
    width = len(f"{tokens.bars[-1][1]:,}")
    for start, end, count in tokens.bars:
        bar = "█" * max(round(_BAR_WIDTH * count / tallest), 1 if count else 0)
        yield [
            (f"    {start:>{width},} to {end:>{width},}  ", ""),
            (f"{bar:<{_BAR_WIDTH}}", _BAD if start >= limits["train.max_tokens"] else "cyan"),
            (f" {count:,}", ""),
        ]
    words = ", ".join(f"{name} {value:,}" for name, value in limits.items())
    words = words.replace("base ", "the base model reads ")
    yield [(f"    {words}; too long: {tokens.too_long:,}", _BAD if tokens.too_long else "")]
    refuse, cite = _share(learned.refuse, learned.rows), _share(learned.cite, learned.rows)
    share = f"{learned.tokens:,} tokens, {learned.share:.1%} of all"
    yield [(f"  learned: {share}; {refuse} of the rows refuse, {cite} point to a passage", "")]


def _documents(rows: Inspection) -> Iterator[Line]:
    counts = [(name, count) for name, count in rows.documents.items() if name]
    unnamed = rows.documents.get("", 0)
    rest = f"; {unnamed:,} name none" if unnamed else ""
    yield [(f"  rows by document ({len(counts):,}{rest}):", "")]
    for name, count in counts[:_MAX_DOCUMENTS]:
        yield [(f"    {count:>6,}  {name}", "")]
    hidden = counts[_MAX_DOCUMENTS:]
    if hidden:
        total = sum(count for _, count in hidden)
        yield [(f"    {total:>6,}  in {len(hidden):,} more", "")]


def _example(example: InspectedExample, special: Sequence[str], *, marks: bool) -> Iterator[Line]:
    learned = f"{example.supervised:,} of them learned"
    if marks:
        learned += f", between {OPEN} and {CLOSE}"
    yield []
    yield [(f"{_without_here(example.place)}: {example.tokens:,} tokens, {learned}", _HEAD)]
    line: Line = []
    for part in example.parts:
        text = f"{OPEN}{part.text}{CLOSE}" if marks and part.supervised else part.text
        for number, words in enumerate(text.split("\n")):
            if number:
                yield line
                line = []
            line += _styled(words, special, part.supervised)
    yield line


def _styled(text: str, special: Sequence[str], learned: bool) -> Line:
    """Special tokens stand out."""
    known = sorted(set(special), key=len, reverse=True)
    pieces = re.split(f"({'|'.join(map(re.escape, known))})", text) if known else [text]
    return [(piece, (_SPECIAL if piece in known else _WORDS)[learned]) for piece in pieces if piece]
