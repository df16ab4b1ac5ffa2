"""Whether a question that follows another is read as a person means it: with the question before
where it needs that one, alone where it does not.

    python benchmarks/follow_ups.py --library NAME EMBEDDER KNOWLEDGE QUESTIONS.jsonl [--library ...]
    [--misses] [-o results.json]

EMBEDDER and KNOWLEDGE are folders of a bundle or of the build's stages. Two things are measured:

- Pairs: each of QUESTIONS.jsonl, which stand alone, is asked after three others of them, chosen at
  random (seed 0). Counted is how often it is read otherwise than alone, and how often its quote changes.
- Follow-ups: those of NAME in benchmarks/questions/follow_ups.jsonl, written before any was measured.
  `before` are the questions before it in their order, `follows` whether it needs them, `says` a piece
  of the right quote where the library has one. Rules were chosen by the half "choose" alone.

Quotes are picked with the plain weights and never refused, so that the reading alone is measured.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measuring import machine, machine_line, table, write_json

from fieldpack.passages import Previous
from fieldpack.prompt import PromptSettings
from fieldpack.rag.questions import ResolvedQuestion, resolve_question
from fieldpack.retrieval.fusion import RetrievalSettings
from fieldpack.retrieval.quoting import QuoteSettings, pick
from fieldpack.retrieval.retriever import Retriever, open_retriever

FOLLOW_UPS = Path(__file__).parent / "questions" / "follow_ups.jsonl"
HALVES = ("choose", "held out")
_BEFORE = 3  # other questions that each is asked after


class Library:
    """A library that is asked question after question."""

    def __init__(self, embedder: Path, knowledge: Path) -> None:
        self.retriever: Retriever = open_retriever(embedder, knowledge, RetrievalSettings())
        self.settings = PromptSettings("", "", 3, 0, 0, 0.0, 2_000)

    def read(self, question: str, previous: Previous | None = None) -> ResolvedQuestion:
        return resolve_question(self.retriever, question, previous, None, self.settings)

    def read_after(self, before: Sequence[str], question: str) -> ResolvedQuestion:
        """Return a question as it is read after others, each of which follows the one before it."""
        previous = None
        for one in before:
            resolved = self.read(one, previous)
            previous = Previous(resolved.question, tuple(p.chunk_id for p in resolved.passages))
        return self.read(question, previous)

    def quote(self, resolved: ResolvedQuestion) -> str:
        quote = pick(
            resolved.question,
            resolved.passages,
            self.retriever.embedder,
            QuoteSettings(),
            margin=self.retriever.similarity_margin(resolved.question),
            rarity=self.retriever.rarity,
            languages=self.retriever.languages,
        )
        return quote.text if quote else ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ("NAME", "EMBEDDER", "KNOWLEDGE", "QUESTIONS")
    parser.add_argument("--library", nargs=4, action="append", metavar=names, required=True)
    parser.add_argument("--half", choices=HALVES, help="ask these follow-ups alone")
    parser.add_argument("--misses", action="store_true", help="print what is read otherwise")
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    arguments = parser.parse_args()
    facts = machine(("onnxruntime", "usearch"))
    rows = [json.loads(line) for line in FOLLOW_UPS.read_text(encoding="utf-8").splitlines()]
    kept: dict[str, Any] = {"machine": facts, "libraries": {}}
    lines = []
    for name, embedder, knowledge, path in arguments.library:
        library = Library(Path(embedder), Path(knowledge))
        asked = [json.loads(x) for x in Path(path).read_text(encoding="utf-8").splitlines() if x]
        questions = [row["question"] for row in asked if row.get("library", name) == name]
        figures = ask_pairs(library, questions, misses=arguments.misses)
        for half in [arguments.half] if arguments.half else HALVES:
            chosen = [row for row in rows if row["library"] == name and row["half"] == half]
            figures[half] = ask_follow_ups(library, chosen, misses=arguments.misses)
        kept["libraries"][name] = figures
        cells = [
            f"{figures[key]} of {figures['pairs']}"
            for key in ("read_otherwise", "quoted_otherwise")
        ]
        for half in HALVES:
            for key in ("joined", "alone", "says"):
                right, count = figures.get(half, {}).get(key, (0, 0))
                cells.append(f"{right} of {count}")
        lines.append((name, *cells))
    print(machine_line(facts))
    heads = [f"{key}, {half}" for half in HALVES for key in ("joined", "alone", "says")]
    print(table(("", "pairs read otherwise", "quoted otherwise", *heads), lines))
    write_json(arguments.output, kept)


def ask_pairs(library: Library, questions: Sequence[str], *, misses: bool) -> dict[str, Any]:
    """Ask each question after others and return how many pairs are read and quoted otherwise than
    the question alone."""
    chosen = random.Random(0)
    counts = {"pairs": 0, "read_otherwise": 0, "quoted_otherwise": 0}
    for question in questions:
        alone = library.read(question)
        quote = None
        for before in chosen.sample([q for q in questions if q != question], _BEFORE):
            after = library.read_after([before], question)
            counts["pairs"] += 1
            counts["read_otherwise"] += after.question != question
            if after != alone:
                quote = library.quote(alone) if quote is None else quote
                counts["quoted_otherwise"] += library.quote(after) != quote
            if misses and after.question != question:
                print(f"pair: {before} | {question} | {after.question}")
    return counts


def ask_follow_ups(
    library: Library, rows: Sequence[dict[str, Any]], *, misses: bool
) -> dict[str, tuple[int, int]]:
    """Return how many follow-ups are joined, how many new questions are read alone, and how many
    quotes say the answer, each of how many."""
    counts = {"joined": [0, 0], "alone": [0, 0], "says": [0, 0]}
    for row in rows:
        resolved = library.read_after(row["before"], row["question"])
        kind = "joined" if row["follows"] else "alone"
        right = (resolved.question != row["question"]) == row["follows"]
        counts[kind][0] += right
        counts[kind][1] += 1
        says = True
        if row.get("says"):
            quote = library.quote(resolved)
            says = row["says"] in quote
            counts["says"][0] += says
            counts["says"][1] += 1
        if misses and not (right and says):
            said = "" if says else f" -> {quote[:90]}"
            print(
                f"{row['half']}, {kind}: {row['before'][-1]} | {row['question']} | {resolved.question}{said}"
            )
    return {kind: (right, count) for kind, (right, count) in counts.items()}


if __name__ == "__main__":
    main()
