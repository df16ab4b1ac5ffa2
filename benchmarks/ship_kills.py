"""Pulls the plug on install, update, rollback and gc at every write, sync, rename, link and removal
that they make in the store, one at a time, by `strace --inject`: the process is killed there, or
the disk says that it is full or broken. After each the store must be sound, and the same command
again must end well.

    python benchmarks/ship_kills.py WORK --json ship_kills.json
    python benchmarks/ship_kills.py WORK --every 10 --only update --only rollback

WORK: a folder that `prepare` of tests/support/plugs.py fills with a toy bundle's sticks and
devices, if it is empty. What was tried is noted in WORK/journal.jsonl, under a hash of the code
that was tried: cut off, the same command goes on where it stopped. Besides, each command's trace is
read for what a power cut could undo: every file that is renamed was synced, every folder that got a
name is synced before state.json points to it."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
from measuring import machine, machine_line, table, write_json

sys.path.append(str(Path(__file__).parent.parent / "tests" / "support"))

import fieldpack
import fieldpack_app
import plugs

JOURNAL = "journal.jsonl"


@click.command()
@click.argument("work", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--every", type=click.IntRange(min=1), default=1, show_default=True, help="Only each N-th."
)
@click.option(
    "--only", type=click.Choice(list(plugs.SCENES)), multiple=True, help="Only these commands."
)
@click.option("--json", "output", type=click.Path(path_type=Path), help="Write the figures there.")
def main(work: Path, every: int, only: tuple[str, ...], output: Path | None) -> None:
    if not (work / plugs.PREPARED).is_file():
        plugs.prepare(work)
    code = _code()
    done = _read_journal(work, code)
    rows, failures = [], []
    for scene in only or tuple(plugs.SCENES):
        points, unsafe = plugs.trace(work, scene)
        failures += [f"{scene}: {one}" for one in unsafe]
        ends: Counter[str] = Counter()
        kinds: Counter[str] = Counter()
        broken, seconds = 0, 0.0
        chosen = [(point, fault) for point in points[::every] for fault in plugs.FAULTS]
        for number, (point, fault) in enumerate(chosen):
            # Not by the file it is about: some names are drawn anew each time.
            key = f"{scene} {point.call} {point.number} {fault}"
            if key not in done:
                started = time.monotonic()
                said = plugs.pull(work, scene, point, fault)
                row = {"code": code, "key": key, "seconds": time.monotonic() - started}
                done[key] = {**row, **asdict(said)}
                with (work / JOURNAL).open("a", encoding="utf-8") as journal:
                    journal.write(json.dumps(done[key]) + "\n")
            ends[done[key]["state"]] += 1
            kinds[point.call] += 1
            seconds += done[key]["seconds"]
            if done[key]["wrong"]:
                broken += 1
                failures.append(f"{scene} {point} {fault}: {done[key]['wrong']}")
            if number % 20 == 0:
                print(f"{scene}: {number} of {len(chosen)}", file=sys.stderr, flush=True)
        rows.append(
            [
                scene,
                len(points),
                sum(ends.values()),
                ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())),
                ends["old"],
                ends["new"],
                ends["none"],
                len(unsafe),
                broken,
                round(seconds),
            ]
        )
    head = [
        "command",
        "places",
        "faults tried",
        "of them at",
        "old release after",
        "new release after",
        "nothing installed after",
        "unsafe in trace",
        "broken",
        "seconds",
    ]
    facts = machine(())
    print(machine_line(facts))
    print(table(head, rows))
    for one in failures:
        print(one)
    if output:
        write_json(
            output,
            {
                "machine": facts,
                "rows": [dict(zip(head, row, strict=True)) for row in rows],
                "failures": failures,
            },
        )
    sys.exit(bool(failures))


def _code() -> str:
    """Return a hash of the sources that are tried, and of what tries them."""
    digest = sha256()
    folders = (
        Path(fieldpack_app.__file__).parent / "install",
        Path(fieldpack.__file__).parent / "bundle",
    )
    paths = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    for path in (*paths, Path(plugs.__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _read_journal(work: Path, code: str) -> dict[str, Mapping[str, Any]]:
    """Return what was tried with this very code, by its key; a line that was cut off is nothing."""
    done: dict[str, Mapping[str, Any]] = {}
    path = work / JOURNAL
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row["code"] == code:
            done[row["key"]] = row
    return done


if __name__ == "__main__":
    main()
