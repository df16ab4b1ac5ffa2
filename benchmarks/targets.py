"""Prints the targets of sealed bundles as a Markdown table: what ran, where, and how fast. All of
it is read from the manifests; nothing is measured here.

    python benchmarks/targets.py dist/finance-1.0.0 > table.md
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from fieldpack import Manifest, read_manifest
from fieldpack.bundle.targets import Target

_FIGURES = (
    ("questions", "questions", "{:.0f}"),
    ("f1", "F1", "{:.3f}"),
    ("first_token_ms", "first token, ms", "{:,.0f}"),
    ("tokens_per_s", "tokens/s", "{:.1f}"),
    ("peak_mb", "peak, MB", "{:,.0f}"),
    ("load_s", "load, s", "{:.2f}"),
)


def table(manifests: Sequence[Manifest]) -> str:
    """Return one row for each target of each bundle."""
    heads = ["bundle", "target", "route", "proof", *(head for _, head, _ in _FIGURES), "machine"]
    rows = [heads, ["---"] * len(heads)]
    for manifest in manifests:
        for target in manifest.targets:
            rows.append(_row(f"{manifest.name} {manifest.version}", target))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _row(bundle: str, target: Target) -> list[str]:
    packages = " ".join(f"{name} {version}" for name, version in target.packages.items())
    limits = f", prompts to {target.prompt_limit:,}" if target.prompt_limit else ""
    route = f"{target.folder} on {target.device}{limits}: {packages}"
    figures = [
        style.format(target.figures[key]) if key in target.figures else ""
        for key, _, style in _FIGURES
    ]
    return [bundle, target.name, route, target.proof, *figures, target.machine or target.note]


if __name__ == "__main__":
    print(table([read_manifest(Path(name)) for name in sys.argv[1:]]))
