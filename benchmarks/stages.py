"""How long a build takes, stage by stage, and how long it takes when there is nothing to do.

Times and peak memory are those of the stages' receipts. `--fresh` builds everything anew in a
temporary cache; without it the receipts are those of the build that filled the cache, on whatever
machine and at whatever load that was.

    python benchmarks/stages.py recipes/finance.yaml --fresh --json stages.json
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from measuring import machine, machine_line, median, table, write_json

from fieldpack_build.errors import BuildError
from fieldpack_build.pipeline.plan import Plan
from fieldpack_build.pipeline.store import Store, default_cache
from fieldpack_build.recipe.load import find_recipe, load_recipe
from fieldpack_build.recipe.rehearse import rehearse as rehearsal_of
from fieldpack_build.stages.table import make_plan

_BUILD = [sys.executable, "-m", "fieldpack_build.cli"]
_HEAVY = ("torch", "transformers", "numpy", "onnxruntime", "onnxruntime_genai", "pydantic", "rich")
_PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "onnx",
    "onnxruntime",
    "onnxruntime-genai",
    "usearch",
    "pydantic",
)


@dataclass(frozen=True)
class Ran:
    code: int
    seconds: float
    stderr: str

    @property
    def why(self) -> str:
        return (self.stderr.strip().splitlines() or ["no message"])[-1]


@dataclass(frozen=True)
class Build:
    """One recipe in one cache with one output folder: what every measurement here is about."""

    recipe: str
    overrides: tuple[str, ...]
    cache: Path
    output: Path
    rehearse: bool

    def command(self) -> list[str]:
        sets = [part for override in self.overrides for part in ("--set", override)]
        rehearse = ["--rehearse"] if self.rehearse else []
        return [
            "recipe",
            self.recipe,
            *sets,
            *rehearse,
            "-o",
            str(self.output),
            "--cache",
            str(self.cache),
        ]

    def plan(self) -> Plan:
        recipe = load_recipe(find_recipe(self.recipe), self.overrides)
        return make_plan(rehearsal_of(recipe) if self.rehearse else recipe, Store(self.cache))


@click.command(
    epilog=(
        "Exit code 1 when the fresh build fails; what its finished stages took is shown all the "
        "same."
    )
)
@click.argument("recipe")
@click.option(
    "--cache", type=click.Path(path_type=Path), help="The build's cache ($FIELDPACK_CACHE)."
)
@click.option(
    "--fresh",
    is_flag=True,
    help="Build in a new temporary cache instead of reading receipts that are there.",
)
@click.option(
    "--with-downloads",
    is_flag=True,
    help="With --fresh: fetch models and toolchains again, timed too.",
)
@click.option(
    "--rehearse", is_flag=True, help="The recipe's rehearsal: for a trial of this script."
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override, as in `build recipe`."
)
@click.option("--rounds", default=5, show_default=True, help="Runs of which medians are taken.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(
    recipe: str,
    cache: Path | None,
    fresh: bool,
    with_downloads: bool,
    rehearse: bool,
    overrides: tuple[str, ...],
    rounds: int,
    json_path: Path | None,
) -> None:
    """Time and peak memory of each stage of RECIPE; a second run; `build --help`; who imports
    torch."""
    facts = machine(_PACKAGES)
    given = cache or default_cache()
    with tempfile.TemporaryDirectory(prefix="fieldpack-stages-") as name:
        folder = Path(name)
        used = _fresh_cache(given, folder / "cache", with_downloads) if fresh else given
        build = Build(recipe, overrides, used, folder / "bundle", rehearse)
        try:
            data = measure(build, fresh=fresh, rounds=rounds)
        except BuildError as error:
            raise click.ClickException(str(error)) from None
    linked = fresh and not with_downloads
    data = {
        "benchmark": "stages",
        "recipe": recipe,
        "overrides": list(overrides),
        "rehearsal": rehearse,
        "fresh": fresh,
        "models_and_toolchains": "linked from the given cache"
        if linked
        else "fetched"
        if fresh
        else "as built",
        "machine": facts,
        **data,
    }
    _show(data)
    write_json(json_path, data)
    if data["failed"]:
        raise click.ClickException(data["failed"])


def measure(build: Build, *, fresh: bool, rounds: int) -> dict[str, Any]:
    first = _run(build.command()) if fresh else None
    plan = build.plan()
    whole = all(step.receipt for step in plan.steps)
    return {
        "failed": f"the build ended with {first.code}: {first.why}"
        if first and first.code
        else None,
        "build_seconds": round(first.seconds, 2) if first else None,
        "stages": [_stage(step) for step in plan.steps],
        "commands": _commands(build, whole=whole, rounds=rounds),
    }


def _fresh_cache(given: Path, new: Path, with_downloads: bool) -> Path:
    new.mkdir()
    for name in ("models", "toolchains"):
        source = given.resolve() / name
        if with_downloads:
            continue
        if not source.is_dir():
            raise click.ClickException(
                f"{source}: not there to link; build once with this cache, or --with-downloads"
            )
        (new / name).symlink_to(source, target_is_directory=True)
    return new


def _stage(step: Any) -> dict[str, Any]:
    receipt = step.receipt
    if receipt is None:
        return {
            "stage": step.name,
            "seconds": None,
            "peak_rss_mb": None,
            "output_mb": None,
            "result": None,
        }
    size = round(sum(receipt.files.values()) / 1e6, 1)
    return {
        "stage": step.name,
        "seconds": receipt.seconds,
        "peak_rss_mb": receipt.peak_rss_mb,
        "output_mb": size,
        "result": dict(receipt.result),
    }


def _commands(build: Build, *, whole: bool, rounds: int) -> dict[str, Any]:
    """Medians of fresh processes. The second run is left out where stages are missing: it would be
    a build."""
    found = {
        "python -c pass": _timed([sys.executable, "-c", "pass"], rounds),
        "build --help": {**_timed([*_BUILD, "--help"], rounds), "imports": _imports(["--help"])},
    }
    if whole:
        delivered = _run(
            build.command()
        )  # the output folder is new: this run puts the bundle there
        if delivered.code:
            return {**found, "build recipe (nothing to do)": {"failed": delivered.why}}
        again = _timed([*_BUILD, *build.command()], rounds)
        found["build recipe (nothing to do)"] = {**again, "imports": _imports(build.command())}
    return found


def _timed(command: list[str], rounds: int) -> dict[str, Any]:
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        seconds.append(round(time.perf_counter() - started, 4))
    return {"seconds": median(seconds), "rounds": seconds}


def _imports(arguments: list[str]) -> dict[str, Any]:
    """Which of the heavy packages the command imports, and how many modules in all (python -X
    importtime)."""
    command = [sys.executable, "-X", "importtime", "-m", "fieldpack_build.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    modules = {
        line.rpartition("|")[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    return {
        "torch": "torch" in modules,
        "heavy": [name for name in _HEAVY if name in modules],
        "modules": len(modules),
    }


def _run(arguments: list[str]) -> Ran:
    started = time.perf_counter()
    done = subprocess.run([*_BUILD, *arguments], capture_output=True, text=True)
    return Ran(done.returncode, time.perf_counter() - started, done.stderr)


def _show(data: dict[str, Any]) -> None:
    print(machine_line(data["machine"]), "\n")
    stages = data["stages"]
    rows = [[s["stage"], s["seconds"], s["peak_rss_mb"], s["output_mb"]] for s in stages]
    done = [s for s in stages if s["seconds"] is not None]
    if done:
        rows.append(
            ["all", sum(s["seconds"] for s in done), max(s["peak_rss_mb"] for s in done), None]
        )
    if data["build_seconds"] is not None:
        rows.append(["whole command", data["build_seconds"], None, None])
    print(table(["stage", "seconds", "peak MB", "output MB"], rows), "\n")
    if len(done) < len(stages):
        print(
            "a dash: not built in this cache, so the second run is not timed; --fresh builds it\n"
        )
    rows = []
    for name, found in data["commands"].items():
        imports = found.get("imports", {})
        rows.append(
            [
                name,
                found.get("seconds"),
                imports.get("torch"),
                imports.get("modules"),
                found.get("failed") or ", ".join(imports.get("heavy", [])),
            ]
        )
    print(table(["command", "median s", "torch", "modules", "imports of weight"], rows))


if __name__ == "__main__":
    main()
