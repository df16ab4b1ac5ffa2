"""What becomes of `fieldpack ask`, `search`, `doctor` and `info` on mutations of a bundle that is
sealed anew after each: bit flips, swaps, cuts, wrong types in JSON and SQLite, endless views.

    python benchmarks/attacks_mutations.py BUNDLE --count 1000 --json attacks_mutations.json

Each runs in a process of its own with a limit of 10 s. "held" says that it ended with exit code 3
and a sentence (`doctor` also with 1 and a finding), or answered; all others are listed by their
seed, which makes the same mutation again. Take a small BUNDLE: it is copied and hashed for each.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import click
from measuring import machine, machine_line, table, write_json
from mutations import SECONDS, Outcome, mutated, outcome

COMMANDS = ("ask", "search", "ask", "doctor", "info")  # ask twice: it opens everything


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--count", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--first", type=int, default=0, show_default=True, help="The first seed.")
@click.option(
    "--seconds",
    type=float,
    default=SECONDS,
    show_default=True,
    help="For each; more on a busy machine.",
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(bundle: Path, count: int, first: int, seconds: float, json_path: Path | None) -> None:
    """Mutate BUNDLE's files, one at a time."""
    facts = machine(("fieldpack", "onnxruntime", "onnxruntime-genai", "usearch", "tokenizers"))
    rows = [(seed, _try(bundle, seed, seconds)) for seed in range(first, first + count)]
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
    slowest = max(one.seconds for _, one in rows)
    print(f"{len(rows)} mutations, {len(rows) - len(fell)} held, the slowest took {slowest:.1f} s")
    write_json(
        json_path,
        {
            "benchmark": "attacks_mutations",
            "machine": facts,
            "bundle": bundle.name,
            "count": count,
            "kinds": kinds,
            "slowest_s": slowest,
            "fell": fell,
        },
    )


def _try(bundle: Path, seed: int, seconds: float) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="fieldpack-mutations-") as name:
        folder = Path(name) / "bundle"
        mutation = mutated(bundle, folder, seed)
        return outcome(folder, mutation, COMMANDS[seed % len(COMMANDS)], seconds=seconds)


if __name__ == "__main__":
    main()
