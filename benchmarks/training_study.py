"""Does what training makes depend on the seed or the CPU? A recipe is built with several seeds in
several arithmetics, and every tuned model is asked the recipe's test questions.

`own` is this CPU's best arithmetic (bfloat16 where it multiplies it in hardware); `avx2` keeps torch
and oneDNN to AVX2, where training computes in float32. Each arithmetic has a cache of its own, as a
stage's key does not say on which CPU it ran. What differs between two seeds is noise that every
figure of a report carries besides its interval, which comes from the questions alone.

    python benchmarks/training_study.py recipes/finance.yaml --seeds 1,2,3 --arithmetics own,avx2
    [--set train.max_steps=40] [--sample 135] [--work FOLDER] [--json FILE]
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import click
from measuring import machine, machine_line, table, write_json

_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "onnxruntime-genai")
_ENVIRONMENTS = {
    "own": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
}
_FIGURES = ("f1", "value_match", "refused_wrong", "refused_right", "citations_valid")


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path, exists=True))
@click.option("--seeds", default="1,2,3", show_default=True)
@click.option("--arithmetics", default="own,avx2", show_default=True)
@click.option("--arm", default="tuned+rag", show_default=True)
@click.option("--sample", default=135, show_default=True, help="Test questions asked.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As in a build.")
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=Path("benchmarks/out/training_study"),
    show_default=True,
    help="Caches and bundles; a run that was stopped goes on there.",
)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
def main(
    recipe: Path,
    seeds: str,
    arithmetics: str,
    arm: str,
    sample: int,
    overrides: tuple[str, ...],
    work: Path,
    json_path: Path | None,
) -> None:
    """Tune RECIPE with several seeds and arithmetics, and ask each model."""
    facts = machine(_PACKAGES)
    settings = [*overrides, f"evaluate.sample={sample}", f"evaluate.arms=[quote,{arm}]"]
    runs = []
    for arithmetic in arithmetics.split(","):
        for seed in seeds.split(","):
            report = _build(recipe, arithmetic, seed, settings, work)
            runs.append(_figures(report, arithmetic, seed, arm))
            _show(runs[-1:])
    data = {
        "benchmark": "training_study",
        "recipe": recipe.name,
        "overrides": settings,
        "machine": facts,
        "arm": arm,
        "runs": runs,
        "spread": _spread(runs),
    }
    print(f"\n{machine_line(facts)}\n{recipe.name}, {', '.join(settings)}\n")
    _show(runs)
    for name, found in data["spread"].items():
        print(
            f"F1 {name}: mean {found['mean']:.3f}, deviation {found['deviation']:.3f}, "
            f"largest less smallest {found['range']:.3f}"
        )
    write_json(json_path, data)


def _build(
    recipe: Path, arithmetic: str, seed: str, settings: Sequence[str], work: Path
) -> dict[str, Any]:
    """Build the recipe with a seed in an arithmetic, and return its report."""
    out = work / f"{arithmetic}-{seed}"
    command = [sys.executable, "-m", "fieldpack_build.cli", "recipe", str(recipe)]
    command += ["--output", str(out), "--cache", str(work / f"cache-{arithmetic}")]
    for setting in (*settings, f"train.seed={seed}", "evaluate.gates=[]", "evaluate.ship=all"):
        command += ["--set", setting]
    print(f"{arithmetic}, seed {seed}", flush=True)
    shutil.rmtree(out, ignore_errors=True)
    subprocess.run(command, check=True, env={**os.environ, **_ENVIRONMENTS[arithmetic]})
    report: dict[str, Any] = json.loads((out / "report" / "report.json").read_text("utf-8"))
    return report


def _figures(report: dict[str, Any], arithmetic: str, seed: str, arm: str) -> dict[str, Any]:
    """What a report says of the tuned model, and of its training."""
    mine, log = report["arms"][arm], report["training"]
    losses = [step["loss"] for step in log["train"]]
    held_out = next((e for e in log["validation"] if e["step"] == log["kept_step"]), {})
    tokens = sum(step["tokens"] for step in log["train"])
    seconds = sum(step["tokens"] / step["tokens_per_s"] for step in log["train"])
    tenth = max(1, len(losses) // 10)
    return {
        "arithmetic": arithmetic,
        "seed": int(seed),
        **{name: mine[name] for name in _FIGURES},
        "f1_interval": report["intervals"][arm]["f1"],
        "worst_loss": max(losses),
        "last_losses": round(mean(losses[-tenth:]), 3),
        "held_out": held_out.get("loss"),
        "held_out_wrong_refusals": held_out.get("wrong_refusals"),
        "tokens_per_s": round(tokens / seconds, 1),
        "quote_f1": report["arms"]["quote"]["f1"],
    }


def _spread(runs: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean, deviation and range of F1 over the seeds of each arithmetic, and over all runs."""
    groups: dict[str, list[float]] = {"over all runs": [run["f1"] for run in runs]}
    for run in runs:
        groups.setdefault(f"in {run['arithmetic']}", []).append(run["f1"])
    return {
        name: {
            "mean": round(mean(found), 4),
            "deviation": round(stdev(found), 4) if len(found) > 1 else 0.0,
            "range": round(max(found) - min(found), 4),
        }
        for name, found in groups.items()
    }


def _show(runs: Sequence[dict[str, Any]]) -> None:
    names = [name for name in runs[0] if name != "f1_interval"]
    print(table(names, [[run[name] for name in names] for run in runs]), flush=True)


if __name__ == "__main__":
    main()
