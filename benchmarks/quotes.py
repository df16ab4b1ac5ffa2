"""What bundles quote: their picked words for the same questions, one bundle after the other for each
question, compared with the first bundle's by the paired bootstrap. No language model is run, also
where a bundle has one.

A quote is held back as a bundle without a model holds it back: where the best passage is less like
the question than `refuse_below`, or the quote is not sufficient. A training row has no value: there a
right value is one with all figures of the answer that the question has not; with `--spans`, where an
answer is a span, one that has the answer.

    python benchmarks/quotes.py before=dist/finance-old after=dist/finance-1.0.0 \\
        --questions recipes/finance/questions.jsonl --json benchmarks/results/quotes.json
    python benchmarks/quotes.py before=OLD after=NEW --questions tatqa/eval.jsonl --spans
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from measuring import machine, machine_line, table, write_json

from fieldpack.figures import find_figures
from fieldpack.passages import Filter, Passage
from fieldpack.prompt import PromptSettings, read_prompt
from fieldpack.retrieval.fusion import RetrievalSettings
from fieldpack.retrieval.quoting import Quote, pick
from fieldpack.retrieval.retriever import Retriever, open_retriever
from fieldpack_build.evaluation.bootstrap import PairedBootstrap
from fieldpack_build.evaluation.metrics import contains, token_f1
from fieldpack_build.evaluation.report_file import ArmAnswer, Cited, QuestionRow

_PACKAGES = ("onnxruntime", "usearch", "tokenizers")
_FIGURES = ("f1", "value_match", "refused_wrong", "refused_right", "citations_valid")


@dataclass(frozen=True, slots=True)
class Opened:
    """A bundle without its language model."""

    retriever: Retriever
    settings: PromptSettings

    def quote(
        self, question: str, document: str | None
    ) -> tuple[Quote | None, list[Passage], float]:
        """Return what the bundle quotes, None where it holds back, its passages, and the
        milliseconds that the quote took after them. `document`: the only one to look in."""
        where = Filter(documents=(document,)) if document else None
        passages = self.retriever.search(question, self.settings.passages, where)
        started = time.perf_counter()
        assert self.settings.quoting
        quote = pick(
            question,
            passages,
            self.retriever.embedder,
            self.settings.quoting,
            margin=self.retriever.similarity_margin(question),
            rarity=self.retriever.rarity,
            languages=self.retriever.languages,
        )
        milliseconds = (time.perf_counter() - started) * 1000
        best = max((passage.similarity for passage in passages), default=-1.0)
        shown = quote and quote.sufficient and best >= self.settings.refuse_below
        return quote if shown else None, passages, milliseconds


@click.command()
@click.argument("bundles", nargs=-1, required=True, metavar="NAME=BUNDLE...")
@click.option(
    "--questions", required=True, type=click.Path(exists=True, path_type=Path), help="JSON Lines."
)
@click.option("--spans", is_flag=True, help="Only rows of type span, each within its own document.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures there.")
def main(bundles: tuple[str, ...], questions: Path, spans: bool, json_path: Path | None) -> None:
    """Ask each of BUNDLES the same questions and compare what is quoted with the first one's."""
    facts = machine(_PACKAGES)
    opened = {}
    for text in bundles:
        name, _, folder = text.partition("=")
        opened[name] = _open(Path(folder))
    rows, times = _ask(opened, _read(questions, spans=spans), spans=spans)
    figures = _figures(rows, list(opened))
    for name, of in figures.items():
        of["quote_ms"] = round(statistics.median(times[name]), 1)
    print(machine_line(facts))
    answerable = sum(row.expected is not None for row in rows)
    print(f"{len(rows)} questions of {questions.name}, {answerable} answerable\n")
    print(table(("", *_FIGURES, "quote, ms"), _cells(figures)))
    data = {
        "benchmark": "quotes",
        "machine": facts,
        "questions": questions.name,
        "spans": spans,
        "settings": {
            name: asdict(one.settings.quoting)
            for name, one in opened.items()
            if one.settings.quoting
        },
        "figures": figures,
        "rows": [
            {
                "question": row.question,
                "expected": row.expected,
                **{name: arm.answer for name, arm in row.arms.items()},
            }
            for row in rows
        ],
    }
    write_json(json_path, data)


def _open(folder: Path) -> Opened:
    reranker = folder / "reranker"
    retriever = open_retriever(
        folder / "embedder",
        folder / "knowledge",
        RetrievalSettings.read(folder),
        reranker=reranker if reranker.exists() else None,
    )
    settings = read_prompt(folder)[1]
    if settings.quoting is None:
        raise click.ClickException(f"{folder}: does not quote")
    return Opened(retriever, settings)


def _read(path: Path, *, spans: bool) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if not spans or row["type"] == "span"]


def _ask(
    opened: Mapping[str, Opened], questions: Sequence[dict[str, Any]], *, spans: bool
) -> tuple[list[QuestionRow], dict[str, list[float]]]:
    """Return each question with what every bundle quotes, and the milliseconds of every quote."""
    times: dict[str, list[float]] = {name: [] for name in opened}
    rows = []
    for number, asked in enumerate(questions):
        arms = {}
        # Whoever comes first reads the question's pages from the disk.
        names = list(opened) if number % 2 else list(opened)[::-1]
        for name in names:
            document = asked["document"] if spans else None
            quote, passages, milliseconds = opened[name].quote(asked["question"], document)
            times[name].append(milliseconds)
            arms[name] = _score(asked, quote, passages, spans=spans)
        rows.append(
            QuestionRow(
                question=asked["question"],
                expected=asked["answer"],
                arms={name: arms[name] for name in opened},
                line=number + 1,
            )
        )
    return rows, times


def _score(
    asked: Mapping[str, Any], quote: Quote | None, passages: Sequence[Passage], *, spans: bool
) -> ArmAnswer:
    text = quote.text if quote else ""
    answer = asked["answer"]
    right = None
    if answer is not None:
        value = asked.get("value") or (answer if spans else None)
        figures = _values(answer) - _values(asked["question"])
        if value:
            right = contains(text, value)
        elif figures:
            right = figures <= _values(text)
    valid = quote and quote.citation.quote in passages[quote.citation.passage - 1].text
    return ArmAnswer(
        refused=quote is None,
        f1=round(token_f1(text, answer), 4) if answer is not None else 0.0,
        value_match=right,
        citations=[Cited(**asdict(quote.citation))] if quote else [],
        citations_valid=int(bool(valid)),
        answer=text,
    )


def _values(text: str) -> set[str]:
    return {figure.value for figure in find_figures(text)}


def _figures(rows: Sequence[QuestionRow], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return each bundle's figures with intervals, and their differences from the first one's."""
    bootstrap = PairedBootstrap(rows, names)
    figures: dict[str, dict[str, Any]] = {name: {} for name in names}
    for name in names:
        for key in _FIGURES:
            whole = bootstrap.interval(name, key)
            figures[name][key] = whole.rounded().model_dump() if whole else None
            if name != names[0]:
                gap = bootstrap.difference(name, names[0], key)
                figures[name][f"{key}_difference"] = gap.rounded().model_dump() if gap else None
    return figures


def _cells(figures: Mapping[str, Mapping[str, Any]]) -> list[list[object]]:
    def shown(interval: Mapping[str, float] | None, sign: str = "") -> str:
        if interval is None:
            return ""
        low, high = interval["low"], interval["high"]
        return f"{interval['value']:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"

    rows: list[list[object]] = []
    for number, (name, of) in enumerate(figures.items()):
        rows.append([name, *(shown(of[key]) for key in _FIGURES), of["quote_ms"]])
        if number:
            gaps = [shown(of[f"{key}_difference"], "+") for key in _FIGURES]
            rows.append(["  difference", *gaps, ""])
    return rows


if __name__ == "__main__":
    main()
