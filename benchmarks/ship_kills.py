"""Pulls the plug on install, update, rollback and gc at every write, sync, rename, link and removal
that they make in the store, one at a time, by `strace --inject`: the process is killed there, or
the disk says that it is full or broken. After each the store must be sound, and the same command
again must end well.

    python benchmarks/ship_kills.py WORK --json ship_kills.json
    python benchmarks/ship_kills.py WORK --every 10 --only update --only rollback

WORK: a folder that `prepare` of tests/support/plugs.py fills with a toy bundle's sticks and
devices, if it is empty. Besides, each command's trace is read for what a power cut could undo:
every file that is renamed was synced, every folder that got a name is synced before state.json
points to it."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import click
from measuring import machine, machine_line, table, write_json

sys.path.append(str(Path(__file__).parent.parent / "tests" / "support"))

import plugs


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
    if not (work / "install").is_dir():
        plugs.prepare(work)
    rows, failures = [], []
    for scene in only or tuple(plugs.SCENES):
        started = time.monotonic()
        points, unsafe = plugs.trace(work, scene)
        failures += [f"{scene}: {one}" for one in unsafe]
        ends: Counter[str] = Counter()
        for number, (point, fault) in enumerate(
            (point, fault) for point in points[::every] for fault in plugs.FAULTS
        ):
            said = plugs.pull(work, scene, point, fault)
            ends[said.state] += 1
            if said.wrong:
                failures.append(f"{scene} {point} {fault}: {said.wrong}")
            if number % 20 == 0:
                print(
                    f"{scene}: {number} of {len(points[::every]) * len(plugs.FAULTS)}",
                    file=sys.stderr,
                )
        rows.append(
            [
                scene,
                len(points),
                sum(ends.values()),
                ends["old"],
                ends["new"],
                len(unsafe),
                sum(one.startswith(f"{scene} ") for one in failures),
                round(time.monotonic() - started),
            ]
        )
    head = [
        "command",
        "places",
        "faults tried",
        "old release after",
        "new release after",
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


if __name__ == "__main__":
    main()
