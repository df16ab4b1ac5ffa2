"""What rounding costs an OpenVINO model: a recipe's tuned model in int4, to the nearest and by GPTQ,
all matrices or the less sensitive ones, each as the stage `targets` would make it. Size, KL from
the model in full precision and next tokens that are the same, on the recipe's test questions; what
was calibrated on, the training rows, is not among them.

Needs what `build recipe` leaves in its cache up to the stage `merge` (or `base`, where nothing is
tuned). A minute or two a row for SmolLM2-135M, and five more for GPTQ.

    python benchmarks/openvino_rounding.py recipes/finance.yaml --group 64 --tokens 5000 \
        --json benchmarks/results/openvino_rounding.json
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from export import cached_inputs
from measuring import machine, machine_line, table, write_json

from fieldpack_build import toolchains
from fieldpack_build.errors import BuildError
from fieldpack_build.export import openvino_ir
from fieldpack_build.export.calibrated import write_rounded
from fieldpack_build.export.held_out import (
    CALIBRATION_TOKENS,
    calibration_samples,
    held_out_samples,
)
from fieldpack_build.export.openvino_ir import Rounding
from fieldpack_build.export.reference_logits import cost_of_rounding, write_reference
from fieldpack_build.models import causal_lm
from fieldpack_build.models.causal_lm import MODEL
from fieldpack_build.models.chat_template import read_chat
from fieldpack_build.pipeline.store import Store, default_cache
from fieldpack_build.pipeline.task import Task
from fieldpack_build.recipe.load import find_recipe, load_recipe

_PACKAGES = ("torch", "transformers")
_NEW_TOKENS = 32  # of the model's own answers
ROUNDINGS = {
    "nearest": Rounding(),
    "nearest, mixed": Rounding(mixed=True),
    "gptq": Rounding(calibrated=True),
    "gptq, mixed": Rounding(calibrated=True, mixed=True),
}


@click.command()
@click.argument("recipe")
@click.option(
    "--group", default=64, show_default=True, help="Weights that share a scale; -1: a row."
)
@click.option("--rounding", "names", multiple=True, type=click.Choice(list(ROUNDINGS)))
@click.option("--tokens", default=5000, show_default=True, help="Of held-out text.")
@click.option("--calibration-tokens", default=CALIBRATION_TOKENS, show_default=True)
@click.option(
    "--cache", type=click.Path(path_type=Path), help="The build's cache ($FIELDPACK_CACHE)."
)
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the models in this folder.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(
    recipe: str,
    group: int,
    names: tuple[str, ...],
    tokens: int,
    calibration_tokens: int,
    cache: Path | None,
    keep: Path | None,
    json_path: Path | None,
) -> None:
    """Size and KL of RECIPE's model in OpenVINO's int4, by how it is rounded."""
    causal_lm.quiet()
    facts = machine(_PACKAGES)
    loaded = load_recipe(find_recipe(recipe))
    store = Store(cache or default_cache())
    try:
        inputs = cached_inputs(loaded, store, None)
        with tempfile.TemporaryDirectory(prefix="fieldpack-openvino-") as scratch:
            task = Task(loaded, inputs, keep or Path(scratch), store)
            rows = measure(task, names or tuple(ROUNDINGS), group, tokens, calibration_tokens)
    except BuildError as error:
        raise click.ClickException(str(error)) from None
    data = {
        "benchmark": "openvino_rounding",
        "recipe": recipe,
        "group": group,
        "calibration_tokens": calibration_tokens,
        "machine": facts,
        **rows,
    }
    _show(data)
    write_json(json_path, data)


def measure(
    task: Task, names: tuple[str, ...], group: int, tokens: int, calibration_tokens: int
) -> dict[str, Any]:
    """Make a model for each rounding, and return what was measured of each, with what rounding to
    the nearest costs in torch."""
    source = task.inputs["merge" if "merge" in task.inputs else "base"] / MODEL
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    tokenizer, chat = causal_lm.load_tokenizer(source), read_chat(task.inputs["base"])
    context = task.recipe.export.max_context
    tools = openvino_ir.Toolchains(
        *(
            toolchains.ensure(name, task.store.toolchains, click.echo)
            for name in (openvino_ir.EXPORTER, openvino_ir.RUNTIME)
        )
    )
    ends = [tokenizer.eos_token_id]
    reference = task.out / "reference"
    nearest = openvino_ir.rounded_as(group, config)
    if not reference.is_dir():
        click.echo("answering in full precision", err=True)
        samples = held_out_samples(task, chat, tokenizer, tokens=tokens, context=context)
        write_reference(
            source,
            samples,
            reference,
            ends=ends,
            max_own_tokens=_NEW_TOKENS,
            candidates=[nearest],
        )
    rows = []
    for name in names:
        rounding = ROUNDINGS[name]
        click.echo(f"making {name}", err=True)
        folder, model = task.out / rounding.name(group), source
        if rounding.calibrated and not folder.is_dir():
            training = calibration_samples(
                task, chat, tokenizer, tokens=calibration_tokens, context=context
            )
            model = task.out / f"{folder.name}.rounded"
            write_rounded(
                source,
                model,
                rounding.candidate(group, config),
                [sample.prompt + sample.answer for sample in training],
                half_scales=True,
                on_progress=lambda done, total, what: None,
            )
        if not folder.is_dir():
            openvino_ir.build_ir(
                model, folder, group=group, mixed=rounding.mixed, ends=ends, tools=tools
            )
        size_mb = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        figures: Mapping[str, Any] = openvino_ir.probe_ir(folder, reference, [], tools=tools)
        rows.append({"rounding": name, "size_mb": round(size_mb, 1), **figures})
    return {"torch": cost_of_rounding(reference, nearest), "rows": rows}


def _show(data: dict[str, Any]) -> None:
    click.echo(machine_line(data["machine"]))
    first = data["rows"][0]
    click.echo(
        f"\ngroups of {data['group']}; {first['texts']} questions, {first['positions']} positions; "
        f"rounding to the nearest costs a KL of {data['torch']['kl']} in torch"
    )
    keys = ("size_mb", "kl", "same_next_token", "same_answers", "perplexity_ratio")
    rows = [(row["rounding"], *(row.get(key) for key in keys)) for row in data["rows"]]
    click.echo(table(("rounding", "MB", "KL", "same token", "same answers", "perplexity"), rows))


if __name__ == "__main__":
    main()
