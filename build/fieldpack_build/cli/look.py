"""The commands that look before a build and run none of its training: `build check`, `build status`
and `build data`. Imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import EPILOG, cache_option, set_option

if TYPE_CHECKING:
    from ..pipeline.plan import Plan


@click.command(epilog=EPILOG)
@click.argument("name", metavar="RECIPE")
@set_option
@click.option(
    "--examples",
    default=3,
    show_default=True,
    type=click.IntRange(0, 20),
    help="Rows to show as they are read.",
)
@click.option(
    "--no-passages", is_flag=True, help="Prompts without passages: the index is not built."
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON on stdout.")
@cache_option
def data(
    name: str,
    overrides: tuple[str, ...],
    examples: int,
    no_passages: bool,
    as_json: bool,
    cache: Path | None,
) -> None:
    """Look at RECIPE's training rows before anything is trained: by file and format, rows that are broken, empty, there
    twice, too long or asked in the test, how long they are, how much of them is learned, and some of them exactly as the
    model will read them. Ends with 6 where a build would.

    \b
    build data finance.yaml
    build data finance.yaml --no-passages --examples 10
    """
    from ..api import inspect_data
    from ..data.show import show
    from ..errors import DataError

    rows = inspect_data(name, overrides=overrides, passages=not no_passages, cache=cache)
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        title = f"{rows['name']} {rows['version']}: {rows['rows']:,} training rows"
        show(rows, examples, title=title)
    if rows["problems"]:
        raise DataError(
            f"{name}: {len(rows['problems']):,} problems in its training rows, named above"
        )


@click.command(epilog=EPILOG)
@click.argument("name", metavar="RECIPE")
@set_option
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@cache_option
def check(name: str, overrides: tuple[str, ...], as_json: bool, cache: Path | None) -> None:
    """Validate RECIPE and its files without running anything; say what each stage would do and
    take."""
    from ..check import check_files, check_languages, check_recipe, judged_line
    from ..device_budget import fit_line
    from ..pipeline.store import Store, default_cache
    from ..recipe.load import find_recipe, load_recipe
    from .plan_view import plan_to_json, print_plan

    models = Store(cache or default_cache()).models
    recipe = load_recipe(find_recipe(name), overrides)
    warnings = check_recipe(recipe, name, models=models) + check_files(recipe)
    warnings += check_languages(recipe, models)
    plan = _plan(name, overrides, cache)
    if as_json:
        click.echo(json.dumps(plan_to_json(plan, warnings), indent=1))
        return
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    print_plan(plan, "run")
    for line in (fit_line(recipe, models), judged_line(recipe)):
        if line:
            click.echo(line)


@click.command(epilog=EPILOG)
@click.argument("name", metavar="RECIPE")
@set_option
@click.option("--json", "as_json", is_flag=True)
@cache_option
def status(name: str, overrides: tuple[str, ...], as_json: bool, cache: Path | None) -> None:
    """Which stages of RECIPE are done, which a build would run, and why."""
    from .plan_view import plan_to_json, print_plan

    plan = _plan(name, overrides, cache)
    if as_json:
        click.echo(json.dumps(plan_to_json(plan, []), indent=1))
    else:
        print_plan(plan, "to do")


def _plan(name: str, overrides: tuple[str, ...], cache: Path | None) -> Plan:
    from ..pipeline.store import Store, default_cache
    from ..recipe.load import find_recipe, load_recipe
    from ..stages.table import make_plan

    return make_plan(load_recipe(find_recipe(name), overrides), Store(cache or default_cache()))
