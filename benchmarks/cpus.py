"""One bundle on three kinds of processor: this one, x86-64 with AVX2 and no VNNI, and ARM64, the last
two emulated by qemu. How many of the ten best passages are the same, and how many of an answer's
first tokens: kernels round differently, so logits are not compared. Besides, the answers' F1 on each
(of answerable questions). Emulated times say nothing and are not shown.

    python benchmarks/cpus.py dist/finance-1.0.0 recipes/finance/questions.jsonl --sample 5 \
        --json benchmarks/results/cpus.json

A question of finance takes ARM64 some minutes here. What ARM64 needs is fetched once into --cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import click
from measuring import machine, machine_line, table, write_json
from other_cpus import arm64, avx2, this_processor
from tokenizers import Tokenizer

from fieldpack.citations import strip_marks
from fieldpack_build.data import read_questions
from fieldpack_build.data.rows import TestQuestion
from fieldpack_build.evaluation.metrics import token_f1
from fieldpack_build.pipeline.store import default_cache

_PACKAGES = ("onnxruntime", "onnxruntime-genai", "numpy", "usearch", "tokenizers")


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("questions", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--sample", default=5, show_default=True, help="Questions, spread evenly.")
@click.option("--arm-cpu", default="cortex-a76", show_default=True, help="As qemu calls it.")
@click.option("--no-arm", is_flag=True, help="AVX2 alone.")
@click.option("--cache", type=click.Path(path_type=Path), help="For ARM64's Python and wheels.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(
    bundle: Path,
    questions: Path,
    sample: int,
    arm_cpu: str,
    no_arm: bool,
    cache: Path | None,
    json_path: Path | None,
) -> None:
    """Passages and tokens of BUNDLE's answers to QUESTIONS on other processors."""
    facts = machine(_PACKAGES)
    every = [q for q in read_questions(questions) if q.answer is not None]
    count = min(sample, len(every))
    asked = [every[i * len(every) // count] for i in range(count)]
    wanted = [question.question for question in asked]
    others = [] if (emulated := avx2()) is None else [emulated]
    if not no_arm:
        others.append(arm64(cache or default_cache() / "other-cpus", cpu=arm_cpu))
    bundle = bundle.resolve()
    native = this_processor().answer(bundle, wanted)["answers"]
    model = bundle / "model" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(model)) if model.is_file() else None
    rows = []
    for processor in others:
        click.echo(f"asking {processor.name}", err=True)
        answers = processor.answer(bundle, wanted)["answers"]
        pairs = list(zip(native, answers, strict=True))
        compared = {**_compare(pairs, tokenizer), "f1": _f1(answers, asked)}
        rows.append({"processor": processor.name, **compared, "answers": answers})
    data = {
        "benchmark": "cpus",
        "bundle": bundle.name,
        "questions": wanted,
        "machine": facts,
        "native": native,
        "native_f1": _f1(native, asked),
        "rows": rows,
    }
    click.echo(machine_line(facts))
    keys = ("same_passages", "same_best", "same_texts", "shared_tokens", "same_refusals", "f1")
    head = (
        "processor",
        "top 10 shared",
        "same best",
        "same text",
        "tokens shared",
        "refusals",
        "F1",
    )
    click.echo(table(head, [(row["processor"], *(row[key] for key in keys)) for row in rows]))
    click.echo(f"F1 of this processor: {data['native_f1']}")
    write_json(json_path, data)


def _f1(answers: Sequence[Mapping[str, Any]], asked: Sequence[TestQuestion]) -> float:
    """Return the mean token F1; a refusal has none."""
    scores = (
        0.0 if one["refused"] else token_f1(strip_marks(one["text"]), question.answer or "")
        for one, question in zip(answers, asked, strict=True)
    )
    return round(mean(scores), 4)


def _compare(
    pairs: list[tuple[dict[str, Any], dict[str, Any]]], tokenizer: Tokenizer | None
) -> dict[str, Any]:
    """Return the means over the questions. `shared_tokens`: of the longer answer, the share before
    the first token that differs."""
    same, best, similarities, shared = [], [], [], []
    for mine, theirs in pairs:
        left, right = ([tuple(p) for p in one["passages"]] for one in (mine, theirs))
        same.append(len({*left} & {*right}) / max(len(left), 1))
        best.append(left[:1] == right[:1])
        known = dict(zip(right, theirs["similarities"], strict=True))
        values = zip(left, mine["similarities"], strict=True)
        similarities += [abs(value - known[place]) for place, value in values if place in known]
        if tokenizer:
            shared.append(_shared(*(tokenizer.encode(one["text"]).ids for one in (mine, theirs))))
    return {
        "same_passages": round(mean(same), 4),
        "same_best": round(mean(best), 4),
        "largest_similarity_difference": round(max(similarities, default=0.0), 4),
        "same_texts": round(mean(mine["text"] == theirs["text"] for mine, theirs in pairs), 4),
        "shared_tokens": round(mean(shared), 4) if shared else None,
        "same_refusals": round(mean(a["refused"] == b["refused"] for a, b in pairs), 4),
    }


def _shared(left: list[int], right: list[int]) -> float:
    longest = max(len(left), len(right))
    pairs = zip(left, right, strict=False)
    equal = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))
    return equal / longest if longest else 1.0


if __name__ == "__main__":
    main()
