"""The commands that write a new recipe and free the cache: `build init` and `build clean`. Imports
nothing heavy."""

from __future__ import annotations

from pathlib import Path

import click

from .options import EPILOG, cache_option


@click.command(epilog=EPILOG)
@click.argument("name", metavar="NAME")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("recipes"), show_default=True
)
@click.option(
    "--quotes", is_flag=True, help="Answers are quotes of the documents; no language model."
)
def init(name: str, folder: Path, quotes: bool) -> None:
    """Write a new commented recipe FOLDER/NAME.yaml, and a folder FOLDER/NAME/ to put documents and
    examples in."""
    from ..recipe.scaffold import write_scaffold

    path = write_scaffold(name, folder, quotes=quotes)
    click.echo(
        f"wrote {path}\nput documents into {folder / name / 'documents'}, and test questions in the "
        f"place of those in {folder / name / 'questions.jsonl'}, then: build check {path}"
    )


@click.command(epilog=EPILOG)
@click.argument("name", metavar="[RECIPE]", required=False)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also models, toolchains, rehearsals, reports of missed gates, and stages that are in use.",
)
@click.option("--dry-run", is_flag=True, help="Say what would go.")
@cache_option
def clean(name: str | None, everything: bool, dry_run: bool, cache: Path | None) -> None:
    """Free the cache: half-done work and, with RECIPE, what it made before and no longer uses."""
    from ..api import clean_cache

    for line in clean_cache(name, everything=everything, dry_run=dry_run, cache=cache):
        click.echo(line)
