"""Whether an exact part number comes first, however it is written in the question.

    python benchmarks/part_numbers.py [--work FOLDER] [--json results.json] [--made-only]

Makes a library in FOLDER: a price list with 1,200 part numbers of four shapes (many differ from
their neighbours by one character), notes whose file names say what questions ask for, and notes
that mention some of the numbers. Builds it as a recipe does and asks for 40 of the numbers in each
form. A question is right where the first passage holds the number as the documents write it.
"""

from __future__ import annotations

import argparse
import csv
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from measuring import machine, machine_line, table, write_json
from retrieval import PACKAGES, build_library

NUMBERS, ASKED, SEED = 1200, 40, 20261129
KINDS = (
    "pressure valve", "sealing ring", "drive belt", "bearing", "filter cartridge", "control board",
    "temperature sensor", "coupling", "fuse", "gasket", "pump impeller", "cable gland",
)  # fmt: skip
SENTENCES = (
    "What does {} cost?",
    "On which shelf do we keep part number {} in the warehouse?",
    "How many pieces of {} are in stock?",
    "Can you tell me the price of spare part {} please?",
)
NOTES = (
    "On {day} March the {kind} {number} was replaced by {other}; the fitter noted no leak.",
    "Line {day} stood still because {number} had not been ordered in time. {other} does not fit.",
    "{number} ({kind}) may be stored for {day} years. After that it is scrapped like {other}.",
)
# File names with the words of the questions: their texts say nothing of any number.
NAMES = ("price-list", "spare-parts", "warehouse-shelf", "stock-pieces", "part-number", "cost")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("benchmarks/out/part_numbers"))
    parser.add_argument("--made-only", action="store_true", help="make the documents and end")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    asked = make_library(arguments.work / "docs")
    if arguments.made_only:
        return
    folders, outcome = build_library(arguments.work / "docs", arguments.work, tokens=160)
    facts = machine(PACKAGES)
    results = ask(folders, asked)
    totals = outcome["library"]["totals"]
    print(machine_line(facts))
    print(f"{NUMBERS:,} part numbers, {totals['chunks']:,} chunks, {len(asked)} asked\n")
    rows = [
        (form, f"{r['first']} of {r['asked']}", f"{r['among_5']} of {r['asked']}", r["ms"])
        for form, r in results.items()
    ]
    print(table(("the number", "first", "among five", "ms"), rows))
    for form, result in results.items():
        for question, instead in result["missed"][:3]:
            print(f"  {form}: {question!r} found {instead!r}")
    write_json(
        arguments.json,
        {"machine": facts, "numbers": NUMBERS, "chunks": totals["chunks"], "forms": results},
    )


def part_numbers(count: int, draw: random.Random) -> list[str]:
    """Return so many different part numbers, a quarter of each shape; of a shape, runs of numbers
    that differ in one place."""
    letters = "ABCDEFGHKLMNPRSTVWX"
    shapes: tuple[Callable[[int], str], ...] = (
        lambda i: f"{pair}-{base % 9000 + 1000}-{letters[i % len(letters)]}",
        lambda i: f"{base % 9000 + 1000}.{base % 89 + 10:02d}.{i + 1:02d}",
        lambda i: f"{pair} {base % 900 + 100}/{i + 1}",
        lambda i: f"SN{base % 90000000 + 10000000}-{i + 1:02d}",
    )
    numbers: dict[str, None] = {}
    for shape in shapes:
        until = len(numbers) + count // len(shapes)
        while len(numbers) < until:
            base, pair = draw.getrandbits(40), "".join(draw.sample(letters, 2))
            family = [shape(i) for i in range(draw.randint(3, 12))]
            numbers |= dict.fromkeys(family[: until - len(numbers)])
    return list(numbers)


def make_library(folder: Path) -> list[str]:
    """Write the documents; return the numbers that are asked for, ten of each shape."""
    draw = random.Random(SEED)
    folder.mkdir(parents=True, exist_ok=True)
    numbers = part_numbers(NUMBERS, draw)
    kinds = {number: draw.choice(KINDS) for number in numbers}
    listed = draw.sample(numbers, len(numbers))
    with (folder / "price-list.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("Part number", "Description", "Price EUR", "Shelf", "In stock"))
        for number in listed:
            price, shelf = (
                f"{draw.uniform(2, 900):.2f}",
                f"{draw.choice('ABCDEF')}{draw.randint(1, 60)}",
            )
            writer.writerow(
                (number, kinds[number].capitalize(), price, shelf, draw.randint(0, 400))
            )
    for i in range(40):
        lines = [f"# Maintenance note {i + 1}", ""]
        for _ in range(6):
            number, other = draw.sample(numbers, 2)
            note = draw.choice(NOTES)
            lines += [
                note.format(
                    number=number, other=other, kind=kinds[number], day=draw.randint(2, 28)
                ),
                "",
            ]
        (folder / f"maintenance-{i + 1:02d}.md").write_text("\n".join(lines), encoding="utf-8")
    for name in NAMES:
        words = name.replace("-", " ")
        text = (
            f"# About the {words}\n\nThe {words} is kept by the warehouse. Ask there which part "
            f"number a spare part has, what it costs, and how many pieces are in stock.\n"
        )
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    per_shape = NUMBERS // 4
    return [
        number
        for first in range(0, NUMBERS, per_shape)
        for number in draw.sample(numbers[first : first + per_shape], ASKED // 4)
    ]


def forms(number: str, sentence: str) -> Iterator[tuple[str, str]]:
    """Yield the ways in which a number is asked for: what the way is called, the question."""
    blanks, glued = re.sub("[-./]", " ", number), re.sub("[-./ ]", "", number)
    yield "in a sentence", sentence.format(number)
    yield "alone", number
    yield "with blanks, alone", blanks
    yield "with blanks, in a sentence", sentence.format(blanks)
    yield "nothing between, alone", glued
    yield "nothing between, in a sentence", sentence.format(glued)
    yield "with blanks, in small letters", blanks.lower()
    yield "with dashes everywhere", re.sub("[./ ]", "-", number)


def ask(folders: dict[str, Path], asked: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Ask for each number in each form; return the figures and what was missed by form."""
    from fieldpack.retrieval.fusion import RetrievalSettings
    from fieldpack.retrieval.retriever import open_retriever

    retriever = open_retriever(folders["embedder"], folders["knowledge"], RetrievalSettings())
    retriever.search("warm", 5)
    results: dict[str, dict[str, Any]] = {}
    for i, number in enumerate(asked):
        whole = re.compile(rf"(?<![\w-]){re.escape(number)}(?![\w]|[-./]\w)")
        for form, question in forms(number, SENTENCES[i % len(SENTENCES)]):
            result = results.setdefault(
                form, {"asked": 0, "first": 0, "among_5": 0, "ms": 0.0, "missed": []}
            )
            started = time.perf_counter()
            passages = retriever.search(question, 5)
            result["ms"] += 1000 * (time.perf_counter() - started) / len(asked)
            right = [bool(whole.search(passage.text)) for passage in passages]
            result["asked"] += 1
            result["first"] += right[0]
            result["among_5"] += any(right)
            if not right[0]:
                result["missed"].append((question, passages[0].text[:60]))
    return results


if __name__ == "__main__":
    main()
