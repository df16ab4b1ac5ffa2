"""Attacks on Fieldpack's device half, and what became of each: foreign pages and programs, oversized
and slow requests, documents and answers that bring code, passages that give the model orders; and
those that the tests hold, on hostile bundles, pairing, MCP and damaged files.

    python benchmarks/attacks.py dist/finance-1.0.0 --json attacks.json

It runs every line of the tables in docs/serve.md but the mutations (attacks_mutations.py).

BUNDLE lends its models; its documents are replaced by a few hostile ones (attacks_bundle.py). The
page is tried in a browser where playwright and a chromium are installed. "held" says that the
attack did not reach its aim; whether a model obeys a passage is the model's to answer for, and
shown as it is.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click
from attacks_bundle import write_hostile
from attacks_http import ATTACKS
from attacks_model import chat_tokens, obeyed
from attacks_page import in_a_browser
from attacks_tests import in_the_tests
from measuring import machine, machine_line, table, write_json
from serve_process import serving


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--threads", type=int, default=1, show_default=True)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(bundle: Path, threads: int, json_path: Path | None) -> None:
    """Attack a server of BUNDLE's models."""
    facts = machine(("fieldpack", "starlette", "uvicorn", "h11", "playwright"))
    with tempfile.TemporaryDirectory(prefix="fieldpack-attacks-") as name:
        hostile = write_hostile(bundle, Path(name) / "hostile-1.0.0")
        rows = [*_at_server(hostile, threads), *in_a_browser(hostile), chat_tokens(hostile)]
        rows += in_the_tests()
    data = {
        "benchmark": "attacks",
        "machine": facts,
        "bundle": bundle.name,
        "attacks": rows,
        "held": sum(row["held"] is True for row in rows),
        "fell": sum(row["held"] is False for row in rows),
    }
    print(machine_line(facts), "\n")
    print(table(["attack", "held"], [[row["attack"], row["held"]] for row in rows]), "\n")
    for row in rows:
        print(f"{row['attack']}: {row['happened']}")
    write_json(json_path, data)


def _at_server(hostile: Path, threads: int) -> list[dict[str, Any]]:
    with serving(hostile, ["--threads", str(threads)]) as target:
        rows = [attack(target) for attack in ATTACKS]
        rows += obeyed(target)
        status, _ = target.get("/health")
        peak = target.peak_mb()
    return [
        *rows,
        {
            "attack": "the server after all this",
            "happened": f"/health {status}; it never had more than {peak:.0f} MB",
            "held": status == 200,
        },
    ]


if __name__ == "__main__":
    main()
