"""Where a QLoRA training step's time goes on a CPU: 4-bit weights against the same weights
dequantised once, in float32 and in bfloat16, on a recipe's base as its rows are learned (questions
that share a prompt).

Each setting runs in a process of its own. "Same numbers" compares loss and gradients of the two kinds
of weights bit by bit.

    python benchmarks/training_step.py recipes/finance.yaml [--rows 6] [--steps 4] [--json FILE]
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
from measuring import machine, machine_line, table, write_json

from fieldpack_build.data.prompts import IGNORED, Tokenized
from fieldpack_build.models.causal_lm import MODEL
from fieldpack_build.pipeline.store import Store, default_cache
from fieldpack_build.recipe.load import find_recipe, load_recipe
from fieldpack_build.stages.table import make_plan

_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes")
_PROMPT, _QUESTION, _ANSWER = 380, 30, 30  # tokens of a row; the finance recipe's are about as long
_KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "attention": ("scaled_dot_product",),
    "dequantising": ("dequantize",),
    "copies": ("aten::copy_", "aten::cat", "aten::fill_"),
}


@click.command()
@click.argument("recipe")
@click.option("--cache", type=click.Path(path_type=Path), help="The build's ($FIELDPACK_CACHE).")
@click.option("--rows", default=6, show_default=True, help="Questions of a step, three a prompt.")
@click.option("--steps", default=4, show_default=True, help="Timed steps; the fastest counts.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--part", hidden=True)
def main(
    recipe: str,
    cache: Path | None,
    rows: int,
    steps: int,
    json_path: Path | None,
    part: str | None,
) -> None:
    """Time training steps on RECIPE's base, which must have been built."""
    plan = make_plan(load_recipe(find_recipe(recipe)), Store(cache or default_cache()))
    base = plan.store.folder("base", plan.step("base").key) / MODEL
    if not base.is_dir():
        raise click.ClickException(f"no base there; run `build recipe {recipe} --only base` first")
    if part is not None:
        weights, dtype = part.split(":")
        print(json.dumps(_measure(recipe, base, weights, dtype, rows, steps)))
        return
    facts, results = machine(_PACKAGES), []
    for dtype in ("float32", "bfloat16"):
        for weights in ("4 bit", "dequantised once"):
            command = [sys.executable, __file__, recipe, "--part", f"{weights}:{dtype}"]
            command += ["--rows", str(rows), "--steps", str(steps)]
            command += ["--cache", str(cache)] if cache else []
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results.append(json.loads(done.stdout.splitlines()[-1]))
    for one in results:
        one["same_numbers"] = all(
            one["gradients"] == other["gradients"] and one["loss"] == other["loss"]
            for other in results
            if other["dtype"] == one["dtype"]
        )
    print(machine_line(facts))
    names = ("dtype", "weights", "tokens_per_s", "loss", "same_numbers", *_KINDS, "other")
    print(table(names, [[one[name] for name in names] for one in results]))
    write_json(json_path, {"benchmark": "training_step", "machine": facts, "rows": results})


def _measure(
    recipe: str, base: Path, weights: str, dtype: str, count: int, steps: int
) -> dict[str, Any]:
    """Time steps with one kind of weights, and profile one more."""
    from torch.profiler import ProfilerActivity, profile

    from fieldpack_build.models import causal_lm
    from fieldpack_build.training.adapter import load_model_with_adapter
    from fieldpack_build.training.dataset import Collator, SequenceDataset
    from fieldpack_build.training.job import Job
    from fieldpack_build.training.loss import answer_loss

    causal_lm.quiet()
    loaded = load_recipe(find_recipe(recipe), ["train.method=qlora", f"train.dtype={dtype}"])
    model = load_model_with_adapter(Job(loaded, base, Path("unused"), "cpu", 0, None))
    if weights != "4 bit":
        _dequantise(model)
    sequences = SequenceDataset.with_shared_prompts(_rows(count, model.config.vocab_size))
    batch = Collator(0)([sequences[at] for at in range(len(sequences))])
    model.train()

    def step() -> float:
        model.zero_grad()
        loss = answer_loss(model, batch)
        loss.backward()
        return float(loss.detach())

    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        loss = step()
        seconds.append(time.perf_counter() - start)
    gradients = hashlib.sha256()
    for parameter in model.parameters():
        if parameter.grad is not None:
            gradients.update(parameter.grad.float().numpy().tobytes())
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step()
    events = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    total = sum(events.values())
    shares = {
        kind: round(
            sum(t for name, t in events.items() if any(part in name for part in parts)) / total, 3
        )
        for kind, parts in _KINDS.items()
    }
    return {
        "dtype": dtype,
        "weights": weights,
        "tokens": sum(sequences.lengths),
        "tokens_per_s": round(sum(sequences.lengths) / min(seconds), 1),
        "loss": loss,
        "gradients": gradients.hexdigest(),
        **shares,
        "other": round(1 - sum(shares.values()), 3),
    }


def _dequantise(model: Any) -> None:
    """Put full weights in the place of the 4-bit ones, as every step computes them anew."""
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            full = dequantize_4bit(module.weight.data, module.weight.quant_state)
            module.weight = torch.nn.Parameter(full, requires_grad=False)
            module.__class__ = torch.nn.Linear


def _rows(count: int, vocabulary: int) -> list[Tokenized]:
    """Rows of random tokens, three questions a prompt."""
    chance = random.Random(0)

    def tokens(length: int) -> list[int]:
        return [chance.randrange(100, vocabulary) for _ in range(length)]

    rows = []
    for number in range(count):
        if number % 3 == 0:
            prompt = tokens(_PROMPT)
        ids = prompt + tokens(_QUESTION + _ANSWER)
        learned = ids[-_ANSWER:]
        rows.append(Tokenized(ids, [IGNORED] * (len(ids) - _ANSWER) + learned, group=number // 3))
    return rows


if __name__ == "__main__":
    main()
