"""What bundles' language models run on: a table of what their manifests say, and a measurement of
targets side by side.

    python benchmarks/targets.py table dist/finance-1.0.0 --into docs/targets.md
    python benchmarks/targets.py measure dist/finance-1.0.0 recipes/finance/questions.jsonl \
        --target cpu --target openvino-cpu --rounds 3 --json benchmarks/results/targets.json

`table` measures nothing. `measure` asks every question through each target, in a fresh process
each time, the targets taking turns, and shows medians over the rounds: a question is asked once a
process, as an engine answers a prompt that it has seen out of its cache. Quality does not change
from round to round; that it does not is checked. OpenVINO comes from the build's own toolchain in
the cache.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click
from measuring import machine, machine_line, write_json
from measuring import table as text_table

from fieldpack import read_manifest
from fieldpack.bundle.targets import Target, TargetJson, targets_from_json, targets_to_json
from fieldpack_build import toolchains
from fieldpack_build.data import read_questions
from fieldpack_build.evaluation import target_trial
from fieldpack_build.export.openvino_ir import RUNTIME, Toolchains, ask_in_openvino
from fieldpack_build.pipeline.store import Store, default_cache

_PACKAGES = ("onnxruntime", "onnxruntime-genai", "numpy", "usearch", "tokenizers")
RECORDS = Path(__file__).with_name("results") / "target_records.json"
BEGIN, END = "<!-- made by benchmarks/targets.py table -->", "<!-- end of the table -->"
_FIGURES = (
    ("questions", "questions", "{:.0f}"),
    ("f1", "F1", "{:.3f}"),
    ("value_match", "right value", "{:.0%}"),
    ("first_token_ms", "first token, ms", "{:,.0f}"),
    ("tokens_per_s", "tokens/s", "{:.0f}"),
    ("peak_mb", "peak, MB", "{:,.0f}"),
    ("load_s", "load, s", "{:.1f}"),
)
_SAME = ("f1", "value_match", "refused_right", "refused_wrong", "golden_right")
_MEDIANS = ("load_s", "first_token_ms", "total_ms", "tokens_per_s", "peak_mb")


@click.group()
def main() -> None:
    """Targets of sealed bundles."""


@main.command("table")
@click.argument("bundles", nargs=-1, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--into", type=click.Path(path_type=Path, exists=True), help="Put it in this page.")
@click.option(
    "--records",
    type=click.Path(path_type=Path),
    default=RECORDS,
    help="The manifests' records: written from BUNDLES, read where none is named.",
)
def show_table(bundles: tuple[Path, ...], into: Path | None, records: Path) -> None:
    """Print the targets of BUNDLES as Markdown."""
    if bundles:
        manifests = [read_manifest(path) for path in bundles]
        known = {f"{m.name} {m.version}": targets_to_json(m.targets) for m in manifests}
        write_json(records, known)
    made = table(json.loads(records.read_text(encoding="utf-8")))
    click.echo(made)
    if into:
        into.write_text(with_table(into.read_text(encoding="utf-8"), made), encoding="utf-8")


def table(records: dict[str, list[TargetJson]]) -> str:
    """Return one Markdown row for each target of each bundle. `records`: by bundle, as the manifest
    has them."""
    heads = ["target", "route", "proof", "golden right", *(head for _, head, _ in _FIGURES)]
    rows = [[*heads, "machine, or why not"], ["---"] * (len(heads) + 1)]
    for bundle, written in records.items():
        rows.append([f"**{bundle}**", *[""] * len(heads)])
        rows += [_row(target) for target in targets_from_json(written)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def with_table(page: str, made: str) -> str:
    """Return a page with the table between its marks. Raises ValueError where it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"


def _row(target: Target) -> list[str]:
    packages = ", ".join(f"{name} {version}" for name, version in target.packages.items())
    limits = f", prompts to {target.prompt_limit:,}" if target.prompt_limit else ""
    route = f"`{target.folder}` on {target.device}{limits}; {packages}"
    golden = ""
    if "golden" in target.figures:
        golden = f"{target.figures['golden_right']:.0f} of {target.figures['golden']:.0f}"
    # What an emulation takes says nothing of the device.
    executed = target.proof == "executed"
    figures = [
        style.format(target.figures[key]) if executed and key in target.figures else ""
        for key, _, style in _FIGURES
    ]
    about = "; ".join(filter(None, [target.machine, target.note]))
    return [f"`{target.name}`", route, target.proof, golden, *figures, about]


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("questions", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--target", "targets", multiple=True, default=("cpu", "openvino-cpu"))
@click.option("--rounds", default=3, show_default=True, help="Medians are over these.")
@click.option("--sample", type=int, help="So many questions, evenly; all if left away.")
@click.option("--refusal", default="", help="The recipe's, where questions leave it out.")
@click.option("--cache", type=click.Path(path_type=Path), help="The build's ($FIELDPACK_CACHE).")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def measure(
    bundle: Path,
    questions: Path,
    targets: tuple[str, ...],
    rounds: int,
    sample: int | None,
    refusal: str,
    cache: Path | None,
    json_path: Path | None,
) -> None:
    """Ask QUESTIONS through targets of BUNDLE in turn, each time in a fresh process."""
    facts = machine(_PACKAGES)
    every = read_questions(questions, refusal=refusal)
    count = min(sample or len(every), len(every))
    asked = [every[i * len(every) // count] for i in range(count)]
    folder = toolchains.ensure(RUNTIME, Store(cache or default_cache()).toolchains, click.echo)
    tools = Toolchains(folder, folder)
    trials: dict[str, list[target_trial.Trial]] = {name: [] for name in targets}
    for number in range(rounds):
        for name in targets[:: -1 if number % 2 else 1]:
            click.echo(f"round {number + 1}: {name}", err=True)
            question = target_trial.question_of(bundle.resolve(), name, asked)
            trials[name].append(ask_in_openvino(tools, Path(target_trial.__file__), question))
    rows = {name: summarize(found) for name, found in trials.items()}
    data = {
        "benchmark": "targets",
        "bundle": bundle.name,
        "questions": count,
        "rounds": rounds,
        "machine": facts,
        "targets": rows,
        "trials": trials,
    }
    _show(data)
    write_json(json_path, data)


def summarize(trials: Sequence[target_trial.Trial]) -> dict[str, Any]:
    """Return a target's figures over its rounds: quality, which must be the same in each, and the
    medians of times and memory. A target that did not run says why."""
    figures = [trial["figures"] for trial in trials]
    if trials[0]["proof"] == "config":
        return {"proof": "config", "note": trials[0]["note"]}
    for key in _SAME:
        if len({one.get(key) for one in figures}) > 1:
            raise click.ClickException(f"{key} differs between rounds of the same questions")
    quality = {key: figures[0][key] for key in _SAME if key in figures[0]}
    times = {key: median(one[key] for one in figures) for key in _MEDIANS if key in figures[0]}
    return {"proof": trials[0]["proof"], **quality, **times}


def _show(data: dict[str, Any]) -> None:
    click.echo(machine_line(data["machine"]))
    click.echo(
        f"\n{data['bundle']}: {data['questions']} questions, medians of {data['rounds']} "
        "alternating rounds"
    )
    keys = (*_SAME, *_MEDIANS)
    rows = [
        (name, row["proof"], *(row.get(key) for key in keys))
        for name, row in data["targets"].items()
    ]
    click.echo(text_table(("target", "proof", *keys), rows))
    for name, row in data["targets"].items():
        if row.get("note"):
            click.echo(f"{name}: {row['note']}")


if __name__ == "__main__":
    main()
