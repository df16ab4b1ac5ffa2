"""Whether a bundle takes the memory that was predicted before it was built, and whether it keeps
within a limit: `device: {ram_mb: N}` of a recipe, and `fieldpack.open(memory_mb=N)` on a device.

Three figures a bundle: what `build check` computes from the base model's shape, what the runtime
computes from the bundle's files, and the most resident memory (VmHWM, mapped files included) of a
fresh process that searches and then answers the longest question that it takes, so that its
context is full. Then the same again in a memory cgroup of N megabytes without swap, the bundle's
files first put out of the page cache, so that the cgroup is charged for them too; only where a
cgroup can be made (root). `ulimit -v` would count address space, which nothing here runs out of.

    python benchmarks/memory.py recipes/finance.yaml dist/finance-1.0.0 --ram-mb 512 \
        --set evaluate.ship=tuned+rag --json benchmarks/results/memory.json
    ... --shape qwen2.5-0.5b   # the model replaced by a random one of that shape, exported here
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from measuring import machine, machine_line, table, write_json

from fieldpack.bundle.manifest import describe_files, read_manifest, write_manifest
from fieldpack.child import ChildFailed, ask_child, python
from fieldpack.prompt import read_prompt
from fieldpack_build.device_budget import solve
from fieldpack_build.export.build_onnx import adjust_config, build_onnx
from fieldpack_build.models import causal_lm
from fieldpack_build.models.precision import parse
from fieldpack_build.pipeline.store import default_cache, place_link
from fieldpack_build.recipe.load import find_recipe, load_recipe

_CHILD = Path(__file__).with_name("memory_child.py")
_PACKAGES = ("onnxruntime", "onnxruntime-genai", "numpy", "usearch", "tokenizers")
_CGROUPS = Path("/sys/fs/cgroup")
# The config.json of Qwen/Qwen2.5-0.5B-Instruct (494 million parameters) and of
# HuggingFaceTB/SmolLM2-360M-Instruct (362 million); the head of each is its embeddings.
SHAPES: dict[str, dict[str, Any]] = {
    "smollm2-360m": {
        "hidden_size": 960,
        "num_hidden_layers": 32,
        "num_attention_heads": 15,
        "num_key_value_heads": 5,
        "intermediate_size": 2560,
        "vocab_size": 49152,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
    },
    "qwen2.5-0.5b": {
        "hidden_size": 896,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "intermediate_size": 4864,
        "vocab_size": 151936,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": True,
    },
}


@click.command()
@click.argument("recipe")
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--ram-mb", default=512, show_default=True, help="The limit.")
@click.option("--shape", type=click.Choice(list(SHAPES)), help="Another model in the bundle.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override, as in `build recipe`."
)
@click.option(
    "--cache", type=click.Path(path_type=Path), help="The build's cache ($FIELDPACK_CACHE)."
)
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Keep the bundle of --shape here, or take it."
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(
    recipe: str,
    bundle: Path,
    ram_mb: int,
    shape: str | None,
    overrides: tuple[str, ...],
    cache: Path | None,
    keep: Path | None,
    json_path: Path | None,
) -> None:
    """Memory of BUNDLE, which RECIPE made: predicted, measured, and under a limit."""
    facts = machine(_PACKAGES)
    with tempfile.TemporaryDirectory(prefix="fieldpack-memory-") as name:
        scratch = Path(name)
        changes = [*overrides, f"device={{ram_mb: {ram_mb}}}"]
        if shape:
            base = _write_random(scratch / "base", bundle / "model", SHAPES[shape])
            changes.append(f"base={{model: {base}}}")
        models = (cache or default_cache()) / "models"
        solution = solve(load_recipe(find_recipe(recipe), changes), models)
        if solution is None:
            raise click.ClickException("the base model is not in the cache; build the recipe first")
        if shape:
            folder = keep or scratch / "bundle"
            if not folder.is_dir():
                _exchange_model(bundle, folder, base, solution.written.precision, scratch)
            bundle = folder
        rows = [_measure(bundle, None, None), _measure(bundle, ram_mb, None)]
        with _cgroup(ram_mb) as cgroup:
            if cgroup is None:
                click.echo("no memory cgroup can be made here: the limit is not tried", err=True)
            else:
                _forget(bundle)
                rows.append(_measure(bundle, ram_mb, cgroup))
    data = {
        "benchmark": "memory",
        "bundle": shape or bundle.name,
        "ram_mb": ram_mb,
        "machine": facts,
        "build": {
            "written": asdict(solution.written),
            "problem": solution.problem,
            "best": asdict(solution.best) if solution.best else None,
        },
        "runs": rows,
    }
    _show(data)
    write_json(json_path, data)


def _write_random(folder: Path, tokenizer: Path, shape: dict[str, Any]) -> Path:
    """Write a random model of this shape with the tokenizer of the folder `tokenizer`; return its
    folder."""
    import torch
    import transformers

    causal_lm.quiet()
    known = causal_lm.load_tokenizer(tokenizer)
    known.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        **shape, bos_token_id=None, eos_token_id=known.eos_token_id, dtype="bfloat16"
    )
    transformers.Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def _exchange_model(bundle: Path, folder: Path, base: Path, precision: str, work: Path) -> None:
    """Lay out `bundle` anew in `folder` with the model in `base`, exported to `precision`."""
    click.echo(f"exporting {precision}", err=True)
    new = folder.with_name(folder.name + ".building")
    shutil.copytree(
        bundle,
        new,
        ignore=lambda _, names: {"model", "variants"} & set(names),
        copy_function=place_link,
    )
    build_onnx(base, new / "model", parse(precision), work / "builder")
    chat, settings = read_prompt(bundle)
    adjust_config(new / "model", causal_lm.load_tokenizer(base), chat, settings.max_context)
    manifest = read_manifest(bundle)
    (new / "manifest.json").unlink()
    (new / "golden.json").unlink(missing_ok=True)
    write_manifest(new, replace(manifest, files=describe_files(new), targets=()))
    new.rename(folder)


def _measure(bundle: Path, limit_mb: int | None, cgroup: Path | None) -> dict[str, Any]:
    """Return what a fresh process says of the bundle, opened within `limit_mb`; where it does not
    fit or was killed, why."""
    question = {
        "bundle": str(bundle.resolve()),
        "limit_mb": limit_mb,
        "cgroup": str(cgroup) if cgroup else None,
    }
    ran = {"limit_mb": limit_mb, "in_cgroup": cgroup is not None}
    try:
        return {**ran, **ask_child(python(_CHILD), question)}
    except ChildFailed as failed:
        return {**ran, "failed": str(failed)}


@contextmanager
def _cgroup(ram_mb: int) -> Iterator[Path | None]:
    """Make a memory cgroup of so many megabytes without swap, version 1 or 2, and remove it at the
    end; None where that is not allowed."""
    first = _CGROUPS / "memory"
    home, limits = (
        (first, ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"))
        if first.is_dir()
        else (_CGROUPS, ("memory.max", "memory.swap.max"))
    )
    group = home / f"fieldpack-{os.getpid()}"
    size = str(ram_mb * 1_000_000)
    try:
        group.mkdir()
    except OSError:
        yield None
        return
    try:
        (group / limits[0]).write_text(size)
        if (group / limits[1]).exists():  # of version 1 it is memory and swap together
            (group / limits[1]).write_text("0" if limits[1].endswith("swap.max") else size)
        yield group
    except OSError as error:
        click.echo(f"{group}: {error}", err=True)
        yield None
    finally:
        group.rmdir()


def _forget(bundle: Path) -> None:
    """Put the bundle's files out of the page cache."""
    for path in bundle.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def _show(data: dict[str, Any]) -> None:
    click.echo(machine_line(data["machine"]))
    build = data["build"]
    written = build["written"]
    click.echo(
        f"\n{data['bundle']}: `build check` computes {written['ram_mb']:,.0f} MB for "
        f"{written['precision']} and a context of {written['context']:,} tokens"
        + (f"; {build['problem']}" if build["problem"] else "")
    )
    if build["best"] and build["problem"]:
        best = build["best"]
        click.echo(
            f"  it advises {best['precision']}, {best['context']:,} tokens, {best['passages']} "
            f"passages: {best['ram_mb']:,.0f} MB"
        )
    rows = []
    for run in data["runs"]:
        limit = f"{run['limit_mb']} MB" if run["limit_mb"] else "none"
        name = limit + (", in a cgroup of as much" if run["in_cgroup"] else "")
        if "failed" in run:
            rows.append((name, run["failed"][:60], None, None, None))
            continue
        error = f"{run['peak_mb'] / run['predicted_mb'] - 1:+.1%}"
        rows.append((name, run["context"], run["predicted_mb"], run["peak_mb"], error))
    click.echo(table(("limit", "context", "predicted, MB", "measured, MB", "differs"), rows))


if __name__ == "__main__":
    main()
