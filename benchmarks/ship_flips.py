"""Single bits of installed files turned, one at a time: is each found, does opening end in a
sentence, does a repair mend it?

    python benchmarks/ship_flips.py WORK --count 1000 --json ship_flips.json

WORK: a folder that is filled with a toy bundle's stick and device. Files are drawn evenly, not by
their size: else the small ones, which hold the settings, would never be met."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from pathlib import Path

import click
from measuring import machine, machine_line, table, write_json

sys.path.append(str(Path(__file__).parent.parent / "tests" / "support"))

import fieldpack
import shipping
from fieldpack_app.install.opening import open_installed
from fieldpack_app.install.repair import repair
from fieldpack_app.install.store import Store


@click.command()
@click.argument("work", type=click.Path(path_type=Path, file_okay=False))
@click.option("--count", default=1000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "output", type=click.Path(path_type=Path), help="Write the figures there.")
def main(work: Path, count: int, seed: int, output: Path | None) -> None:
    yard = shipping.make_yard(work)
    yard.ship(shipping.write_quoting_bundle(work / "toy-1.0.0"))
    device = shipping.Device(work / "device")
    assert device.install(yard.stick).code == 0
    store, draw, started = Store(device.store), random.Random(seed), time.monotonic()
    (slot,) = store.slots.iterdir()
    files = sorted(path for path in (slot / "bundle").rglob("*") if path.is_file())
    ends: Counter[str] = Counter()
    for _ in range(count):
        victim = draw.choice(files)
        bit = draw.randrange(victim.stat().st_size * 8)
        shipping.flip(victim, bit)
        damages = store.damages()
        ends["found by verify --deep"] += [Path(one.path).name for one in damages] == [victim.name]
        try:
            open_installed(slot / "bundle", fieldpack.open).close()
        except fieldpack.BundleError:
            ends["opening ends in a sentence"] += 1
        mended, left = repair(store, None)
        ends["mended from the stick"] += bool(mended) and not left
    with fieldpack.open(slot / "bundle") as expert:
        ends["answers right at the end"] += "400 hours" in expert.ask(shipping.QUESTION).text
    facts = machine(())
    print(machine_line(facts))
    print(table(["of single-bit flips", f"{count:,}"], list(ends.items())))
    if output:
        write_json(
            output,
            {
                "machine": facts,
                "flips": count,
                "seconds": round(time.monotonic() - started),
                **ends,
            },
        )


if __name__ == "__main__":
    main()
