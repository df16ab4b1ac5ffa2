"""This version of the runtime against an older one: the same bundle, prompt, threads and packages, each
in a fresh process, taking turns. Says whether time and memory are what they were.

The older one is taken out of git into a temporary folder. Both are measured by this version's
`runtime_sides.py` (the side `ours`: prefill and decode of one long prompt; `ask`: a whole answer),
on prompts that this version prepares, and a bundle that both can open: one that the older version
built. A quiet machine is wanted: look at the spread.

    python benchmarks/versions.py OLD/finance-1.0.0 --before c4a40d5~1 --rounds 7 --json versions.json
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from measuring import machine, machine_line, median, table, write_json

_HOME = Path(__file__).resolve().parent.parent
_PACKAGES = ("onnxruntime", "onnxruntime-genai", "numpy", "usearch", "tokenizers")
_FIGURES = {
    "ours": (
        "first_token_ms",
        "prefill_tokens_per_s",
        "decode_tokens_per_s",
        "peak_rss_mb",
        "cold_s",
    ),
    "ask": ("retrieval_ms", "first_token_ms", "total_ms", "tokens_per_s", "peak_rss_mb", "cold_s"),
}


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--before", required=True, help="The older commit.")
@click.option("--rounds", default=7, show_default=True, help="Medians are over these.")
@click.option(
    "--model-alone", is_flag=True, help="No whole answers: where the versions' indexes differ."
)
@click.option("--prompt-tokens", default=800, show_default=True)
@click.option("--new-tokens", default=128, show_default=True)
@click.option("--threads", type=int, help="[default: the cores this process may use]")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(
    bundle: Path,
    before: str,
    rounds: int,
    model_alone: bool,
    prompt_tokens: int,
    new_tokens: int,
    threads: int | None,
    json_path: Path | None,
) -> None:
    """Time and memory of BUNDLE under this version and an older one."""
    facts = machine(_PACKAGES)
    sides = ("ours",) if model_alone else tuple(_FIGURES)
    wanted = {
        "bundle": str(bundle.resolve()),
        "prompt_tokens": prompt_tokens,
        "new_tokens": new_tokens,
        "threads": threads or facts["cores"],
        "question": "",
    }
    with tempfile.TemporaryDirectory(prefix="fieldpack-versions-") as name:
        homes = {"before": check_out(before, Path(name) / "before"), "now": _HOME}
        spec = {**_run(_HOME, "prepare", wanted), "verify": True}
        runs: dict[str, dict[str, list[dict[str, Any]]]] = {
            side: {version: [] for version in homes} for side in sides
        }
        for number in range(rounds):
            for version in list(homes)[:: -1 if number % 2 else 1]:
                for side in sides:
                    runs[side][version].append(_run(homes[version], side, spec))
    data = {
        "benchmark": "versions",
        "before": before,
        "rounds": rounds,
        "machine": facts,
        "spec": spec,
        "figures": {side: compare(of_side, _FIGURES[side]) for side, of_side in runs.items()},
        "same_text": same_texts(runs["ours"]),
        "runs": runs,
    }
    _show(data)
    write_json(json_path, data)


def check_out(commit: str, folder: Path) -> Path:
    """Unpack a commit of this repository into `folder`, and return it."""
    archive = folder.with_suffix(".tar")
    command = ["git", "-C", str(_HOME), "archive", "--output", str(archive), commit]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"git archive {commit}: {done.stderr.strip()}")
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return folder


def _run(home: Path, side: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Run one side of `runtime_sides.py` with a version's own packages."""
    packages = (str(home / "runtime"), str(home / "build"), str(home / "edge_app"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(packages)}
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(spec, file)
        file.flush()
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, str(_HOME / "benchmarks/runtime_sides.py"), side, file.name],
            env=environment,
            capture_output=True,
            text=True,
        )
    if done.returncode:
        last = " | ".join(done.stderr.splitlines()[-3:])
        raise click.ClickException(f"{home.name}, {side}: exit {done.returncode}: {last}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if found.get("first_at") is not None:
        found["cold_s"] = found.pop("first_at") - started
    return found


def compare(
    runs: Mapping[str, list[dict[str, Any]]], keys: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """Return each figure's medians, their ratio, and how far its own rounds lie apart: the larger
    of the two versions' spans, as a share of the median."""
    rows = {}
    for key in keys:
        values = {version: [run[key] for run in of_version] for version, of_version in runs.items()}
        middle = {version: median(found) for version, found in values.items()}
        spread = max((max(v) - min(v)) / middle[version] for version, v in values.items())
        ratio = middle["now"] / middle["before"]
        rows[key] = {**middle, "ratio": round(ratio, 4), "spread": round(spread, 4)}
    return rows


def same_texts(runs: Mapping[str, list[dict[str, Any]]]) -> bool:
    """Return whether both versions wrote the same text in every round."""
    return len({run["text"] for of_version in runs.values() for run in of_version}) == 1


def _show(data: dict[str, Any]) -> None:
    click.echo(machine_line(data["machine"]))
    click.echo(f"\nbefore: {data['before']}; medians of {data['rounds']} alternating rounds")
    rows = [
        (f"{side}: {key}", row["before"], row["now"], row["ratio"], row["spread"])
        for side, of_side in data["figures"].items()
        for key, row in of_side.items()
    ]
    click.echo(table(("figure", "before", "now", "now/before", "spread"), rows))
    click.echo("texts: " + ("identical" if data["same_text"] else "different"))


if __name__ == "__main__":
    main()
