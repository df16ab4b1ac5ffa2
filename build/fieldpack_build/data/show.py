"""The lines of `build data`: coloured on a terminal, with marks in the place of colours elsewhere.
Knows nothing of how what it shows was found."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .rows import shortened

OPEN, CLOSE = "⟦", "⟧"  # around what is learned, where there are no colours
_BAR = 40
_DOCUMENTS = 8
_HEAD, _BAD, _ODD = "bold", "red", "yellow"
_WORDS, _SPECIAL = ("dim", "bold green"), ("dim magenta", "bold magenta")  # read, learned
Piece = tuple[str, str]  # text and its style
Line = list[Piece]


def show(found: Mapping[str, Any], examples: int, *, title: str) -> None:
    """On stdout."""
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    lines = list(page(found, examples, title=title, marks=not coloured))
    if not coloured:
        print("\n".join("".join(text for text, _ in line) for line in lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for line in lines:
        console.print(Text.assemble(*line), soft_wrap=True)


def page(found: Mapping[str, Any], examples: int, *, title: str, marks: bool) -> Iterator[Line]:
    yield [(title, _HEAD)]
    yield from _files(found)
    yield from _list("problems", found["problems"], _BAD)
    yield from _list("warnings", found["warnings"], _ODD)
    yield from _list("rows that are there twice", found["duplicates"], _ODD)
    yield from _list("rows that contradict each other", found["contradictions"], _ODD)
    yield from _list(
        f"leaks between rows and {found['questions']:,} test questions", found["leaks"], _BAD
    )
    if found["tokens"]["rows"]:
        yield from _tokens(found)
        yield from _documents(found)
    for example in found["examples"][:examples]:
        yield from _example(example, found["special_tokens"], marks=marks)


def _files(found: Mapping[str, Any]) -> Iterator[Line]:
    width = max(len(_name(file["file"])) for file in found["files"]) if found["files"] else 0
    for file in found["files"]:
        shapes = (
            ", ".join(f"{shape} {count:,}" for shape, count in file["shapes"].items())
            or "nothing that can be read"
        )
        refusals = (
            f", {file['refusals']:,} of them refusals ({_share(file['refusals'], file['rows'])})"
        )
        yield [
            (f"  {_name(file['file']):<{width}}  {file['rows']:>7,} rows{refusals}; {shapes}", "")
        ]


def _name(path: str) -> str:
    """From here, if it lies below."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else "0%"


def _list(what: str, said: Sequence[str], style: str) -> Iterator[Line]:
    if not said:
        yield [(f"  {what}: none", "")]
        return
    yield [(f"  {what}: {len(said):,}", style)]
    for line in shortened(said, "in --json"):
        yield [(f"    {_name_within(line)}", style)]


def _name_within(line: str) -> str:
    return line.replace(f"{Path.cwd()}/", "")


def _tokens(found: Mapping[str, Any]) -> Iterator[Line]:
    tokens, limits = (
        found["tokens"],
        {name: value for name, value in found["limits"].items() if value},
    )
    passages = f"with {found['passages']} passages" if found["passages"] else "without passages"
    yield [
        (f"  tokens a row, {passages}: ", ""),
        (
            (
                f"{tokens['shortest']:,} to {tokens['longest']:,}, median {tokens['median']:,}, 95% "
                f"under {tokens['p95']:,}"
            ),
            _HEAD,
        ),
    ]
    most = max(count for _, _, count in tokens["bars"])
    wide = len(f"{tokens['bars'][-1][1]:,}")
    over = limits["train.max_tokens"]
    for start, end, count in tokens["bars"]:
        bar = "█" * max(round(_BAR * count / most), 1 if count else 0)
        yield [
            (f"    {start:>{wide},} to {end:>{wide},}  ", ""),
            (f"{bar:<{_BAR}}", _BAD if start >= over else "cyan"),
            (f" {count:,}", ""),
        ]
    said = ", ".join(f"{name} {value:,}" for name, value in limits.items()).replace(
        "base ", "the base model reads "
    )
    yield [(f"    {said}; too long: {tokens['too_long']:,}", _BAD if tokens["too_long"] else "")]
    learned = found["supervised"]
    refuse, cite = (_share(learned[name], learned["rows"]) for name in ("refuse", "cite"))
    share = f"{learned['tokens']:,} tokens, {learned['share']:.1%} of all"
    yield [(f"  learned: {share}; {refuse} of the rows refuse, {cite} point to a passage", "")]


def _documents(found: Mapping[str, Any]) -> Iterator[Line]:
    counts = dict(found["documents"])
    unnamed = counts.pop("", 0)
    rest = f"; {unnamed:,} name none" if unnamed else ""
    yield [(f"  rows by document ({len(counts):,}{rest}):", "")]
    for name, count in list(counts.items())[:_DOCUMENTS]:
        yield [(f"    {count:>6,}  {name}", "")]
    if len(counts) > _DOCUMENTS:
        yield [
            (
                (
                    f"    {sum(list(counts.values())[_DOCUMENTS:]):>6,}  in "
                    f"{len(counts) - _DOCUMENTS:,} more"
                ),
                "",
            )
        ]


def _example(example: Mapping[str, Any], special: Sequence[str], *, marks: bool) -> Iterator[Line]:
    learned = f"{example['supervised']:,} of them learned" + (
        f", between {OPEN} and {CLOSE}" if marks else ""
    )
    yield []
    yield [(f"{_name_within(example['place'])}: {example['tokens']:,} tokens, {learned}", _HEAD)]
    line: Line = []
    for part in example["parts"]:
        text = f"{OPEN}{part['text']}{CLOSE}" if marks and part["supervised"] else part["text"]
        for number, words in enumerate(text.split("\n")):
            if number:
                yield line
                line = []
            line += _styled(words, special, part["supervised"])
    yield line


def _styled(text: str, special: Sequence[str], learned: bool) -> Line:
    """Special tokens stand out."""
    known = set(special)
    pieces = (
        re.split(f"({'|'.join(map(re.escape, sorted(known, key=len, reverse=True)))})", text)
        if known
        else [text]
    )
    return [(piece, (_SPECIAL if piece in known else _WORDS)[learned]) for piece in pieces if piece]
