"""What a precision costs in answers: a recipe's model in full precision, as `export.precision:
auto` chooses it, and as plain int4, asked the recipe's test questions through the runtime, with the
passages that the device reads.

Needs what `build recipe` leaves in its cache up to the stage `merge` (or `base`, where nothing is
tuned). Every precision is exported anew in a temporary folder. Answer F1 is that of the answerable
questions.

    python benchmarks/export.py recipes/finance.yaml --sample 60 --json
    benchmarks/results/export.json
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import click
from measuring import machine, machine_line, table, write_json

import fieldpack
from fieldpack.citations import strip_marks
from fieldpack.rag import AnswerOptions
from fieldpack_build.bundle.assemble import assemble
from fieldpack_build.data import TestQuestion, read_questions
from fieldpack_build.errors import BuildError
from fieldpack_build.evaluation.metrics import is_right, token_f1
from fieldpack_build.pipeline.store import Store, default_cache, place_link
from fieldpack_build.pipeline.task import Task
from fieldpack_build.recipe.load import find_recipe, load_recipe
from fieldpack_build.recipe.schema import Recipe
from fieldpack_build.stages import export
from fieldpack_build.stages.table import make_plan

_PACKAGES = ("torch", "transformers", "onnxruntime", "onnxruntime-genai")
_INPUTS = ("base", "embedder", "reranker", "knowledge", "merge")
_AUTO, _FULL = "auto", "fp32"
_DRAWS = 2000
Row = dict[str, Any]


@click.command()
@click.argument("recipe")
@click.option(
    "--cache", type=click.Path(path_type=Path), help="The build's cache ($FIELDPACK_CACHE)."
)
@click.option(
    "--merged",
    type=click.Path(path_type=Path, exists=True),
    help="A merged model's folder instead of the cache's.",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override, as in `build recipe`."
)
@click.option(
    "--with",
    "others",
    multiple=True,
    metavar="CANDIDATE",
    help="Also this one, e.g. int4-k_quant_last-128.",
)
@click.option(
    "--sample", type=int, help="So many of the answerable questions, evenly; all if left away."
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    help="Keep the exported models here, and use those that are there.",
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(
    recipe: str,
    cache: Path | None,
    merged: Path | None,
    overrides: tuple[str, ...],
    others: tuple[str, ...],
    sample: int | None,
    keep: Path | None,
    json_path: Path | None,
) -> None:
    """Size, perplexity, KL and answer F1 of RECIPE's model: full precision, the automatic choice,
    plain int4."""
    facts = machine(_PACKAGES)
    loaded = load_recipe(
        find_recipe(recipe), [*overrides, "export.precision=auto", "answer.refuse_below=-1.0"]
    )
    try:
        with tempfile.TemporaryDirectory(prefix="fieldpack-export-") as scratch:
            folder = keep or Path(scratch)
            inputs = cached_inputs(loaded, Store(cache or default_cache()), merged)
            rows = measure(loaded, inputs, folder, ("int4-rtn-32", *others), sample)
    except BuildError as error:
        raise click.ClickException(str(error)) from None
    data = {
        "benchmark": "export",
        "recipe": recipe,
        "overrides": list(overrides),
        "machine": facts,
        **rows,
    }
    _show(data)
    write_json(json_path, data)


def measure(
    recipe: Recipe,
    inputs: Mapping[str, Path],
    folder: Path,
    others: Sequence[str],
    sample: int | None,
) -> dict[str, Any]:
    asked = _answerable(recipe, sample)
    auto = _exported(recipe, inputs, folder, _AUTO)
    names = [_FULL, auto["candidate"], *(name for name in others if name != auto["candidate"])]
    rows = []
    for name in names:
        facts = auto if name == auto["candidate"] else _exported(recipe, inputs, folder, name)
        place = folder / (_AUTO if facts is auto else name)
        scores = _ask(recipe, inputs, place, asked)
        rows.append(
            {**facts, "name": name, "scores": scores, "f1": round(mean(f1 for f1, _ in scores), 4)}
        )
    full = rows[0]
    for row in rows:
        row |= _against(full["scores"], row["scores"])
    # One candidate alone is not searched for.
    alone = {"name": auto["candidate"], "size_mb": auto["size_mb"], "refused": None}
    tried = auto.get("candidates") or [alone]
    smallest = min(c["size_mb"] for c in tried if c.get("size_mb"))
    chosen = next(row for row in rows if row["name"] == auto["candidate"])
    return {
        "questions": len(asked),
        "chosen": auto["candidate"],
        "candidates": tried,
        "limits": auto.get("limits"),
        "rows": [
            {
                key: value
                for key, value in row.items()
                if key not in ("candidates", "limits", "scores")
            }
            for row in rows
        ],
        "smallest_mb": smallest,
        "size_over_smallest": round(chosen["size_mb"] / smallest, 3),
    }


def cached_inputs(
    recipe: Recipe, store: Store, merged: Path | None, *, stages: Sequence[str] = _INPUTS
) -> dict[str, Path]:
    """Return the finished folders of `stages`, those that an export builds on if nothing is said.
    `merged`: a merged model's folder instead of the cache's."""
    plan = make_plan(recipe, store)
    found = {
        step.name: store.folder(step.name, step.key)
        for step in plan.steps
        if step.name in stages and step.receipt
    }
    wanted = {step.name for step in plan.steps if step.name in stages} - (
        {"merge"} if merged else set()
    )
    if missing := wanted - found.keys():
        lacking = ", ".join(sorted(missing))
        raise click.ClickException(
            f"{store.root}: no finished {lacking}; `build recipe` with this cache first"
        )
    if merged:
        found["merge"] = merged if (merged / "model").is_dir() else merged.parent
    return found


def _answerable(recipe: Recipe, sample: int | None) -> list[TestQuestion]:
    if recipe.evaluate is None:
        raise click.ClickException("the recipe has no evaluate.questions")
    found = [
        q for q in read_questions(recipe.path(recipe.evaluate.questions)) if q.answer is not None
    ]
    count = min(sample or len(found), len(found))
    return [found[i * len(found) // count] for i in range(count)]


def _exported(recipe: Recipe, inputs: Mapping[str, Path], folder: Path, name: str) -> Row:
    """What the export stage says of itself; `auto` is the recipe's, any other name is that
    candidate alone."""
    out = folder / name
    if (out / export.FACTS).is_file():
        return export.read_facts(out)
    click.echo(f"exporting {name}", err=True)
    out.mkdir(parents=True, exist_ok=True)
    task = Task(recipe, inputs, out, Store(folder))
    if name == _AUTO:
        return export.run(task)
    limits = export.Limits()
    return export.export_model(
        task,
        inputs["merge" if "merge" in inputs else "base"] / "model",
        [export.parse(name)],
        limits,
        tokens=3000,
    )


def _ask(
    recipe: Recipe, inputs: Mapping[str, Path], exported: Path, asked: Sequence[TestQuestion]
) -> list[tuple[float, bool]]:
    """(F1, value right) of each question; the threshold of refusal is off, so that every answer is
    the model's own."""
    found = []
    with tempfile.TemporaryDirectory(dir=exported.parent) as scratch:
        folder = Path(scratch) / "bundle"
        assemble(folder, recipe, {**inputs, "export": exported}, provenance={}, place=place_link)
        with fieldpack.open(folder, verify_contents=False) as expert:
            for number, question in enumerate(asked, 1):
                answer = expert.ask(
                    question.question, options=AnswerOptions(retrieval=recipe.knowledge is not None)
                )
                said = "" if answer.refused else strip_marks(answer.text)
                assert question.answer is not None
                found.append(
                    (
                        token_f1(said, question.answer),
                        bool(is_right(said, question, languages=expert.languages)),
                    )
                )
                if number % 10 == 0:
                    click.echo(f"{exported.name}: {number}/{len(asked)} asked", err=True)
    return found


def _against(full: Sequence[tuple[float, bool]], mine: Sequence[tuple[float, bool]]) -> Row:
    """The share of full precision's F1 that is lost, with a paired bootstrap interval (95%,
    questions drawn anew)."""
    rng = random.Random(17)
    draws = []
    for _ in range(_DRAWS):
        places = rng.choices(range(len(full)), k=len(full))
        theirs = mean(full[i][0] for i in places)
        draws.append(1 - mean(mine[i][0] for i in places) / theirs if theirs else 0.0)
    draws.sort()
    theirs = mean(f1 for f1, _ in full)
    return {
        "value_match": round(mean(right for _, right in mine), 4),
        "f1_lost": round(1 - mean(f1 for f1, _ in mine) / theirs, 4) if theirs else None,
        "f1_lost_interval": [round(draws[int(_DRAWS * share)], 4) for share in (0.025, 0.975)],
    }


def _show(data: Mapping[str, Any]) -> None:
    click.echo(machine_line(data["machine"]))
    click.echo(
        "\nCandidates of `export.precision: auto`, on held-out questions with their passages"
    )
    head = (
        "candidate",
        "MB",
        "perplexity",
        "ratio",
        "KL",
        "same token",
        "worse by",
        "prefill/s",
        "decode/s",
        "peak MB",
    )
    keys = (
        "size_mb",
        "perplexity_onnx",
        "perplexity_ratio",
        "kl",
        "same_next_token",
        "degradation",
        "prefill_tokens_per_s",
        "decode_tokens_per_s",
        "memory_mb",
    )
    click.echo(
        table(head, [(c["name"], *(c.get(key) for key in keys)) for c in data["candidates"]])
    )
    for c in data["candidates"]:
        if c["refused"]:
            click.echo(f"  refused {c['name']}: {c['refused']}")
    click.echo(f"\n{data['questions']} answerable questions through the runtime")
    rows = [
        (
            row["name"] + (" (auto)" if row["name"] == data["chosen"] else ""),
            row["size_mb"],
            row["degradation"],
            row["f1"],
            row["value_match"],
            row["f1_lost"],
            " to ".join(f"{x:+.3f}" for x in row["f1_lost_interval"]),
        )
        for row in data["rows"]
    ]
    click.echo(
        table(("precision", "MB", "worse by", "F1", "value", "F1 lost", "95% interval"), rows)
    )
    click.echo(
        f"\nthe choice is {data['size_over_smallest']} times the smallest candidate "
        f"({data['smallest_mb']} MB)"
    )


if __name__ == "__main__":
    main()
