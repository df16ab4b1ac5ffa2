"""What a library without training rows refuses: with no threshold on how well a quote answers, as
before, and with the one that the build carries over and checks on made-up questions.

    python benchmarks/refusals_without_rows.py [--only finance de ...] [--tatqa FOLDER]
    [--financebench FOLDER] [--packages unpacked] [--work FOLDER] [--json results.json]

Libraries: recipes/finance.yaml without its rows, the four of benchmarks/languages, TAT-QA's
(`--tatqa`: a folder with docs and eval.jsonl; 120 of its questions), FinanceBench's filings
(`--financebench`: a folder with docs and eval.jsonl) and the four Debian packages of
benchmarks/real_libraries.py (`--packages`). Their questions were written for other measurements.
Unanswerable are: finance's own such questions; elsewhere each question once more in the library
without the documents that answer it ("left out"); of three packages twenty, or ten, that ask what
their subject's documents do not say ("near", benchmarks/questions/near_misses.jsonl); forty that were
written for other libraries ("others'"); and ten that hardly any library answers ("ten"). Those of
"near" and "ten" were written before anything was measured.
Shares have 95% intervals (Clopper and Pearson). The finance recipe's rows gave the weights and the
threshold that are carried over: its figures are of new questions, not of a new library.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from measuring import machine, machine_line, table, write_json
from real_libraries import PACKAGES, QUESTIONS, _recipe
from retrieval import EMBEDDER, SHA256

from fieldpack.passages import Passage
from fieldpack.prompt import PromptSettings
from fieldpack.retrieval.quoting import pick
from fieldpack.retrieval.retriever import Retriever
from fieldpack_build.console import make_console
from fieldpack_build.evaluation.masked_index import MaskedIndex
from fieldpack_build.pipeline.run import run_plan
from fieldpack_build.pipeline.store import Store
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.recipe.runtime_settings import open_library, prompt_settings
from fieldpack_build.stages.table import make_plan, needed_for

HERE = Path(__file__).parent
FINANCE = HERE.parent / "recipes" / "finance.yaml"
LANGUAGES = ("de", "sk", "uk", "zh")
NEAR_MISSES = HERE / "questions" / "near_misses.jsonl"
_OTHERS, _FILINGS = 40, 120
_KINDS = ("wrongly refused", "unanswerable", "left out", "near", "others'", "ten")
TEN = (
    "What is the wifi password of the Zurich office?",
    "Who won the staff football tournament last summer?",
    "How many parking spaces does the Dublin office have?",
    "What time does the canteen close on Fridays?",
    "What is the phone number of the building's reception?",
    "Which dentist does the company insurance recommend?",
    "What colour are the new access badges?",
    "How do I reset my printer to factory settings?",
    "Who designed the company's logo?",
    "What was the temperature in the server room yesterday?",
)


class Question(NamedTuple):
    """A test question and the documents that answer it; none where no document does."""

    text: str
    documents: tuple[str, ...]


@dataclass(frozen=True)
class Library:
    """A recipe, settings that override it, its questions, and near misses."""

    recipe: Path
    overrides: tuple[str, ...]
    questions: list[Question]
    near: tuple[str, ...] = ()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", help="these libraries alone")
    parser.add_argument("--tatqa", type=Path, help="a folder with docs and eval.jsonl")
    parser.add_argument("--financebench", type=Path, help="a folder with docs and eval.jsonl")
    parser.add_argument("--packages", type=Path, help="the folder that dpkg -x wrote to")
    parser.add_argument("--work", type=Path, default=Path("benchmarks/out/refusals"))
    parser.add_argument("--cache", type=Path, help="the build's cache; by default below --work")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    facts = machine(("onnxruntime", "usearch"))
    libraries = dict(_libraries(arguments))
    results: dict[str, Any] = {}
    for name in arguments.only or libraries:
        others = [
            question.text
            for other, library in libraries.items()
            for question in library.questions
            if other != name
        ]
        chosen = random.Random(name).sample(others, min(_OTHERS, len(others)))
        cache = arguments.cache or arguments.work / "cache"
        results[name] = measure(libraries[name], chosen, cache)
        print(name, json.dumps(results[name]), flush=True)
    print(machine_line(facts))
    print(table(("", "threshold", "made-up", *_KINDS), [_row(*item) for item in results.items()]))
    if arguments.json:
        write_json(arguments.json, {"machine": facts, "libraries": results})


def measure(library: Library, others: Sequence[str], cache: Path) -> dict[str, Any]:
    """Build a library up to its threshold, ask its questions, and return by kind of question how
    many were asked, and refused before and after."""
    recipe = load_recipe(library.recipe, library.overrides)
    store = Store(cache)
    with store.lock():
        plan = make_plan(recipe, store, among=needed_for("quoting"))
        run_plan(plan, make_console())
    folders = {step.name: store.folder(step.name, step.key) for step in plan.steps}
    receipt = next(store.find(step.name, step.key) for step in plan.steps if step.name == "quoting")
    assert receipt
    settings = prompt_settings(recipe, quoting=folders["quoting"])
    index = MaskedIndex(folders["knowledge"])
    retriever = open_library(recipe, folders)
    retriever.index = index
    figures: dict[str, list[int]] = {}

    def ask(kind: str, question: str) -> None:
        counts = figures.setdefault(kind, [0, 0, 0])
        before, after = _refused(retriever, settings, question)
        for place, one in enumerate((True, before, after)):
            counts[place] += one

    ids = {document: [i for i, _ in index.chunks(document)] for document in index.documents()}
    for question, documents in library.questions:
        ask("wrongly refused" if documents else "unanswerable", question)
        if documents and library.recipe != FINANCE:
            index.masked = {i for document in documents for i in ids.get(document, ())}
            ask("left out", question)
            index.masked = frozenset()
    for question in library.near:
        ask("near", question)
    for question in others:
        ask("others'", question)
    for question in TEN:
        ask("ten", question)
    assert settings.quoting
    return {
        "refuse_below": settings.quoting.refuse_below,
        "made_up": receipt.result,
        "asked, refused before, refused after": figures,
    }


def _refused(retriever: Retriever, settings: PromptSettings, question: str) -> tuple[bool, bool]:
    """Whether the device refuses a question for its cosine alone, and for its quote too."""
    passages: list[Passage] = retriever.search(question, settings.passages)
    if max((p.similarity for p in passages), default=-1.0) < settings.refuse_below:
        return True, True
    assert settings.quoting
    quote = pick(
        question,
        passages,
        retriever.embedder,
        settings.quoting,
        margin=retriever.similarity_margin(question),
        rarity=retriever.rarity,
        languages=retriever.languages,
    )
    return quote is None, quote is None or not quote.sufficient


def _libraries(arguments: argparse.Namespace) -> Iterator[tuple[str, Library]]:
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    rows = _read(FINANCE.parent / "finance" / "questions.jsonl")
    without = ("train={method: none}", "evaluate.arms=[quote]", "evaluate.ship=quote")
    yield (
        "finance",
        Library(
            FINANCE,
            (*without, "evaluate.gates=[]"),
            [Question(r["question"], (r["document"],) if r["document"] else ()) for r in rows],
        ),
    )
    for language in LANGUAGES:
        folder = HERE / "languages" / language
        rows = _read(folder / "questions.jsonl")
        recipe = _write(work / f"{language}.yaml", folder / "documents")
        asked = [Question(row["question"], (row["document"],)) for row in rows]
        yield language, Library(recipe, (), asked)
    for name, filings in (("tatqa", arguments.tatqa), ("financebench", arguments.financebench)):
        if filings:
            rows = _read(filings / "eval.jsonl")
            rows = random.Random(7).sample(rows, min(_FILINGS, len(rows)))
            recipe = _write(work / f"{name}.yaml", filings / "docs")
            asked = [Question(row["question"], (row["document"],)) for row in rows]
            yield name, Library(recipe, (), asked)
    if arguments.packages:
        every, near = _read(QUESTIONS), _read(NEAR_MISSES)
        for name, package in PACKAGES.items():
            rows = [row for row in every if row["library"] == name]
            recipe = _with_answers(_recipe(name, package, arguments.packages, rows, work))
            asked = [Question(row["question"], tuple(row["documents"])) for row in rows]
            missed = tuple(row["question"] for row in near if row["library"] == name)
            yield name, Library(recipe, (), asked, missed)


def _write(path: Path, documents: Path) -> Path:
    """Write a recipe of quotes alone, all else its defaults."""
    path.write_text(
        f"name: {path.stem}\nversion: 1.0.0\nknowledge:\n  documents: {documents.resolve()}\n"
        f"  embedder: {{model: '{EMBEDDER}', sha256: {SHA256}}}\n",
        encoding="utf-8",
    )
    return _with_answers(path)


def _with_answers(path: Path) -> Path:
    """Add what a recipe has beside its library."""
    text = "base: {model: none}\ntrain: none\nanswer: {system: Answer from the passages.}\n"
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    return path


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _row(name: str, result: dict[str, Any]) -> list[object]:
    made = result["made_up"]
    cells: list[object] = [name, result["refuse_below"]]
    cells.append(f"{made['answerable']}: {made['refused_wrong']} / {made['refused_right']}")
    for kind in _KINDS:
        asked, before, after = result["asked, refused before, refused after"].get(kind, (0, 0, 0))
        cells.append(f"{_share(before, asked)} -> {_share(after, asked)}" if asked else "")
    return cells


def _share(count: int, of: int) -> str:
    from scipy.stats import beta

    low = beta.ppf(0.025, count, of - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, of - count) if count < of else 1.0
    return f"{count}/{of} ({low:.0%} to {high:.0%})"


if __name__ == "__main__":
    main()
