"""What becomes of `fieldpack ask`, `search`, `doctor` and `info` on mutations of a bundle that is
sealed anew after each: bit flips, swaps, cuts, wrong types in JSON and SQLite, endless views.

    python benchmarks/attacks_mutations.py --count 1000 --json attacks_mutations.json

Each runs in a process of its own with a limit of 10 s, waiting for a busy processor aside. The
files of the bundle come in turn, the manifest among them. "held" says that it ended with exit code
3 and a sentence (`doctor` also with 1 and a finding), or answered; all others are listed by their
seed, which makes the same mutation again. Without a BUNDLE it takes a toy of random weights that
has a file of every kind. Another one should be small: it is copied and hashed for each.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from measuring import machine, machine_line, table, write_json
from mutations import SECONDS, Outcome, mutated, outcome

sys.path.append(str(Path(__file__).parent.parent / "tests" / "support"))

COMMANDS = ("ask", "search", "ask", "doctor", "info")  # ask twice: it opens everything


@click.command()
@click.argument(
    "bundle", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option("--count", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--first", type=int, default=0, show_default=True, help="The first seed.")
@click.option(
    "--seconds",
    type=float,
    default=SECONDS,
    show_default=True,
    help="For each.",
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(
    bundle: Path | None, count: int, first: int, seconds: float, json_path: Path | None
) -> None:
    """Mutate BUNDLE's files, one at a time."""
    facts = machine(("fieldpack", "onnxruntime", "onnxruntime-genai", "usearch", "tokenizers"))
    with _bundle(bundle) as path:
        rows = []
        for seed in range(first, first + count):
            rows.append((seed, _try(path, seed, seconds)))
            if not rows[-1][1].held:
                print(f"{seed}: {rows[-1][1]}", file=sys.stderr, flush=True)
        name = path.name
    kinds = {
        command: Counter(one.kind for _, one in rows if one.command == command)
        for command in dict.fromkeys(COMMANDS)
    }
    names = sorted({one.kind for _, one in rows})
    fell = [
        {
            "seed": seed,
            "mutation": one.mutation,
            "command": one.command,
            "kind": one.kind,
            "says": one.says,
        }
        for seed, one in rows
        if not one.held
    ]
    print(machine_line(facts), "\n")
    print(
        table(
            ["command", *names],
            [[command, *(found[name] for name in names)] for command, found in kinds.items()],
        ),
        "\n",
    )
    for row in fell:
        print(f"{row['seed']}: {row['mutation']}: {row['command']}: {row['kind']}: {row['says']}")
    files = Counter(one.file for _, one in rows)
    slowest = max(one.seconds for _, one in rows)
    seed, largest = max(rows, key=lambda row: row[1].peak_mb)
    print(
        f"{len(rows)} mutations of {len(files)} files, {len(rows) - len(fell)} held; the slowest "
        f"took {slowest:.1f} s, the largest process {largest.peak_mb:.0f} MB (seed {seed})"
    )
    write_json(
        json_path,
        {
            "benchmark": "attacks_mutations",
            "machine": facts,
            "bundle": name,
            "count": count,
            "kinds": kinds,
            "files": files,
            "slowest_s": slowest,
            "largest_mb": round(largest.peak_mb),
            "fell": fell,
        },
    )


@contextmanager
def _bundle(given: Path | None) -> Iterator[Path]:
    """The bundle to mutate: the one that was named, or else a toy that is made here."""
    if given is not None:
        yield given
        return
    import fakes

    with tempfile.TemporaryDirectory(prefix="fieldpack-mutations-") as name:
        model = fakes.write_tiny_model(Path(name) / "model", "llama")
        exported = fakes.export_tiny_model(model, Path(name) / "exported")
        yield fakes.write_every_part(Path(name) / "toy-1.0.0", model=exported)


def _try(bundle: Path, seed: int, seconds: float) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="fieldpack-mutations-") as name:
        folder = Path(name) / "bundle"
        mutation = mutated(bundle, folder, seed)
        return outcome(folder, mutation, COMMANDS[seed % len(COMMANDS)], seconds=seconds)


if __name__ == "__main__":
    main()
