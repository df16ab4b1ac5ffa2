"""The command `build`: a thin cover over the pipeline. Imports nothing heavy: `build --help`
answers at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .errors import GateMissed
from .ship.commands import COMMANDS as SHIP_COMMANDS

if TYPE_CHECKING:
    from .evaluation.export_answers import Format
    from .pipeline.plan import Plan

_EPILOG = """\b
Exit codes: 0 done, 1 unexpected, 2 wrong command line, 5 recipe, 6 documents or data, 7 model source,
8 a stage failed, 9 gate missed, 10 this machine (no GPU, no disk, cache in use), 11 output exists,
12 keys and signatures, 130 interrupted. An interrupted or failed build goes on where it stopped: run the same command again.
"""

_cache = click.option(
    "--cache", type=click.Path(path_type=Path), help="Where stages are kept ($FIELDPACK_CACHE)."
)
_set = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override, e.g. train.epochs=2."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(package_name="fieldpack", prog_name="build")
def cli() -> None:
    """Turn a recipe (YAML) into a sealed bundle that answers offline.

    \b
    build init clinic             write a new, commented recipe with a folder to fill
    build check clinic.yaml       find what is wrong, see what it will take
    build data clinic.yaml        its training rows: what is wrong with them, what a model will read
    build recipe clinic.yaml      run every stage that is not done yet; the bundle comes to dist/
    build compare A B             two bundles: figures, questions that turned, what was built differently
    build answers BUNDLE          its test questions and answers as JSON Lines, for RAGAS, inspect and others
    build knowledge clinic.yaml   its documents alone: read, index, say what was skipped, measure retrieval
    build ship BUNDLE --to STICK  sign it and write what a bare machine installs from; `build keys init` first
    fieldpack ask dist/clinic-1.0.0 "..."
    """


@cli.command(epilog=_EPILOG)
@click.argument("name", metavar="RECIPE")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Bundle folder [default: dist/NAME-VERSION].",
)
@_set
@click.option("--from", "first", metavar="STAGE", help="Run this stage and all after it again.")
@click.option("--only", metavar="STAGE", help="Run this stage alone (its inputs must be there).")
@click.option("--force", is_flag=True, help="Run every stage again.")
@click.option(
    "--rehearse",
    is_flag=True,
    help="All stages on slices and a tiny random model: finds mistakes in minutes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was built as JSON on stdout.")
@_cache
def recipe(
    name: str,
    output: Path | None,
    overrides: tuple[str, ...],
    first: str | None,
    only: str | None,
    force: bool,
    rehearse: bool,
    as_json: bool,
    cache: Path | None,
) -> None:
    """Build RECIPE (a path, or a name in recipes/). Stages that are done are not run again.

    \b
    build recipe finance.yaml
    build recipe finance.yaml --set train.epochs=2 -o /tmp/two-epochs
    build recipe finance-gpu.yaml --rehearse
    """
    from .api import build

    outcome = build(
        name,
        output=output,
        overrides=overrides,
        first=first,
        only=only,
        force=force,
        rehearse=rehearse,
        cache=cache,
    )
    if as_json:
        click.echo(json.dumps(outcome, indent=1))


@cli.command(epilog=_EPILOG)
@click.argument("name", metavar="RECIPE")
@_set
@click.option(
    "--questions",
    type=click.Path(path_type=Path),
    metavar="FILE.jsonl",
    help="Measure retrieval with these.",
)
@click.option(
    "-k",
    "--misses",
    default=10,
    show_default=True,
    type=click.IntRange(min=0),
    help="Worst misses to show.",
)
@click.option(
    "--report",
    "page",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Write the library's picture.",
)
@click.option(
    "--show",
    metavar="FILE",
    help="Print what is read of one document, and what is left out; build nothing.",
)
@click.option("--force", is_flag=True, help="Read and embed everything again.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print every document and question as JSON on stdout."
)
@_cache
def knowledge(
    name: str,
    overrides: tuple[str, ...],
    questions: Path | None,
    misses: int,
    page: Path | None,
    show: str | None,
    force: bool,
    as_json: bool,
    cache: Path | None,
) -> None:
    """Build only the library of RECIPE: read, chunk, embed and index its documents. No language model is needed.

    Says what was read, what was skipped and why. Only documents that changed since the last build are read, only chunks
    that are new are embedded; Ctrl-C or a crash loses the last few seconds: run the same command again.

    \b
    build knowledge finance.yaml
    build knowledge finance.yaml --questions questions.jsonl
    build knowledge finance.yaml --questions questions.jsonl --set knowledge.chunk.tokens=220
    build knowledge finance.yaml --show manual.docx

    A question is one line {"question": "...", "document": "a/b.pdf", "pages": [3]}; with pages the figures are by page
    too. recall @k is the share of questions with the right document (page) among the first k passages, MRR the mean of
    1/rank. The worst misses come with what was found in their place. --report shows the documents, their chunks, a map of
    the vectors and the questions without a good passage, as one page.
    """
    from .api import build_knowledge, show_document
    from .console import show_library
    from .evaluation import library_questions
    from .ingest import showing

    if show is not None:
        document = show_document(name, show, overrides=overrides)
        if as_json:
            click.echo(json.dumps(showing.as_json(document), indent=1, ensure_ascii=False))
        else:
            for line in showing.lines(document):
                click.echo(line)
        return
    outcome = build_knowledge(
        name, overrides=overrides, force=force, cache=cache, questions=questions, page=page
    )
    report = outcome["report"]
    if "knowledge" not in outcome["ran"]:  # else the table came when the stage was done
        show_library(outcome["receipt"].result)
    if as_json:
        shown = {key: item for key, item in outcome.items() if key not in ("receipt", "report")}
        shown["retrieval"] = report.to_dict() if report else None
        click.echo(json.dumps(shown, indent=1, ensure_ascii=False))
    elif report:
        for line in library_questions.lines(report, worst=misses):
            click.echo(line)


@cli.command(epilog=_EPILOG)
@click.argument("name", metavar="RECIPE")
@_set
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
@_cache
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
    from .api import inspect_data
    from .data.show import show
    from .errors import DataError

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


@cli.command(epilog=_EPILOG)
@click.argument("name", metavar="RECIPE")
@_set
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@_cache
def check(name: str, overrides: tuple[str, ...], as_json: bool, cache: Path | None) -> None:
    """Validate RECIPE and its files without running anything; say what each stage would do and
    take."""
    from .check import check_languages, check_recipe, judged_line
    from .device_budget import fit_line
    from .pipeline.store import Store, default_cache
    from .recipe.load import find_recipe, load_recipe

    models = Store(cache or default_cache()).models
    recipe = load_recipe(find_recipe(name), overrides)
    warnings = check_recipe(recipe, name, models=models) + check_languages(recipe, models)
    plan = _plan(name, overrides, cache)
    if as_json:
        click.echo(json.dumps(_plan_json(plan, warnings), indent=1))
        return
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    _print_plan(plan, "run")
    for line in (fit_line(recipe, models), judged_line(recipe)):
        if line:
            click.echo(line)


@cli.command(epilog=_EPILOG)
@click.argument("name", metavar="RECIPE")
@_set
@click.option("--json", "as_json", is_flag=True)
@_cache
def status(name: str, overrides: tuple[str, ...], as_json: bool, cache: Path | None) -> None:
    """Which stages of RECIPE are done, which a build would run, and why."""
    plan = _plan(name, overrides, cache)
    if as_json:
        click.echo(json.dumps(_plan_json(plan, []), indent=1))
    else:
        _print_plan(plan, "to do")


@cli.command(epilog=_EPILOG)
@click.argument("one", metavar="A", type=click.Path(path_type=Path))
@click.argument("other", metavar="B", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
@click.option(
    "--page", type=click.Path(path_type=Path), metavar="FILE.html", help="Write it as a page."
)
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown: a comment in CI.")
@click.option("--fail-if-worse", is_flag=True, help="End with 9 if B is worse by more than noise.")
def compare(
    one: Path,
    other: Path,
    as_json: bool,
    page: Path | None,
    as_markdown: bool,
    fail_if_worse: bool,
) -> None:
    """Compare bundle B with bundle A: figures, questions that turned, what was built differently.

    Differences come with paired 95% intervals over the questions that both were asked (matched by their words). B is worse
    if its score, by the weights of its own recipe, is lower by more than noise.

    \b
    build compare dist/finance-1.0.0 dist/finance-1.1.0
    build compare dist/finance-1.0.0 /tmp/nightly --fail-if-worse
    """
    from .evaluation.compare import compare_bundles, is_worse
    from .report import render_comparison
    from .report.comparison import lines
    from .report.comparison_markdown import markdown

    compared = compare_bundles(one, other)
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(render_comparison(compared), encoding="utf-8")
    if as_markdown:
        click.echo(markdown(compared), nl=False)
    else:
        for line in [compared.to_json().rstrip()] if as_json else lines(compared):
            click.echo(line)
    if fail_if_worse and is_worse(compared):
        raise GateMissed("compare --fail-if-worse: B is worse than A by more than noise")


@cli.command(epilog=_EPILOG)
@click.argument("bundle", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "--as",
    "format",
    type=click.Choice(["ragas", "inspect", "rows"]),
    default="rows",
    show_default=True,
    help="RAGAS' samples, inspect's, or the questions alone, as a recipe has them.",
)
@click.option("--arm", help="Whose answers: quote, rag, tuned+rag, ... [default: what ships].")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE.jsonl")
def answers(bundle: Path, format: Format, arm: str | None, output: Path | None) -> None:
    """Print the test questions of BUNDLE's report with its answers, as JSON Lines.

    BUNDLE may be a report.json too. What is printed can be scored by other tools.

    \b
    build answers dist/finance-1.0.0 --as ragas -o finance.jsonl
        EvaluationDataset.from_jsonl("finance.jsonl")        # RAGAS
    build answers dist/finance-1.0.0 --as inspect -o finance.jsonl
        json_dataset("finance.jsonl")                        # inspect
    """
    from .evaluation.export_answers import answer_lines, read_report

    lines = answer_lines(read_report(bundle), format, arm)
    if output is None:
        for line in lines:
            click.echo(line)
        return
    text = "".join(line + "\n" for line in lines)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    click.echo(f"{output}: {text.count(chr(10))} questions", err=True)


@cli.command(epilog=_EPILOG)
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
    from .recipe.scaffold import write_scaffold

    path = write_scaffold(name, folder, quotes=quotes)
    click.echo(
        f"wrote {path}\nput documents into {folder / name / 'documents'}, and test questions in the "
        f"place of those in {folder / name / 'questions.jsonl'}, then: build check {path}"
    )


@cli.command(epilog=_EPILOG)
@click.argument("name", metavar="[RECIPE]", required=False)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also models, toolchains, rehearsals, reports of missed gates, and stages that are in use.",
)
@click.option("--dry-run", is_flag=True, help="Say what would go.")
@_cache
def clean(name: str | None, everything: bool, dry_run: bool, cache: Path | None) -> None:
    """Free the cache: half-done work and, with RECIPE, what it made before and no longer uses."""
    from .api import clean_cache

    for line in clean_cache(name, everything=everything, dry_run=dry_run, cache=cache):
        click.echo(line)


def _plan(name: str, overrides: tuple[str, ...], cache: Path | None) -> Plan:
    from .pipeline.store import Store, default_cache
    from .recipe.load import find_recipe, load_recipe
    from .stages.table import make_plan

    return make_plan(load_recipe(find_recipe(name), overrides), Store(cache or default_cache()))


def _plan_json(plan: Plan, warnings: list[str]) -> dict[str, Any]:
    from .estimate import forecast

    ahead = forecast(plan)
    by_name = {estimate.stage: estimate for estimate in ahead.stages}
    stages = [
        {
            "stage": step.name,
            "key": step.key,
            "done": step.receipt is not None,
            "does": step.stage.does,
            "seconds": round(by_name[step.name].seconds, 1),
            "memory_mb": round(by_name[step.name].memory_mb),
        }
        for step in plan.steps
    ]
    return {
        "name": plan.recipe.name,
        "version": plan.recipe.version,
        "stages": stages,
        "warnings": warnings,
        "parameters": ahead.parameters,
        "bundle_mb": ahead.bundle_mb,
        "disk_mb": ahead.disk_mb,
        **({"originals_mb": ahead.originals_mb} if plan.recipe.bundle.originals else {}),
    }


def _print_plan(plan: Plan, word: str) -> None:
    from .console import duration
    from .estimate import forecast

    ahead = forecast(plan)
    base = (
        f"base of about {ahead.parameters / 1e6:,.0f}M parameters"
        if ahead.parameters
        else "no language model is built"
    )
    click.echo(f"{plan.recipe.name} {plan.recipe.version}: {base}")
    left = 0.0
    for step, estimate in zip(plan.steps, ahead.stages, strict=True):
        took = "took" if estimate.known else "about"
        state = "done" if step.receipt is not None else word
        left += 0 if step.receipt is not None else estimate.seconds
        line = (
            f"  {step.name:<10} {state:<6} {took:>5} {duration(estimate.seconds):>12}, "
            f"{estimate.memory_mb:>7,.0f} MB"
        )
        click.echo(f"{line}  {step.stage.does}")
    if plan.recipe.bundle.originals:
        click.echo(
            f"bundle.originals: {ahead.originals:,} PDFs go into the bundle, "
            f"{ahead.originals_mb:,.1f} MB"
        )
    to_go = f"disk about {ahead.disk_mb:,.0f} MB and {duration(left)} to go"
    click.echo(
        f"bundle about {ahead.bundle_mb:,.0f} MB; {to_go if ahead.disk_mb else 'nothing to do'}"
    )


for _command in SHIP_COMMANDS:
    cli.add_command(_command)


def main() -> None:
    """Entry point: errors of ours become one line each on stderr and their exit code."""
    from fieldpack.errors import FieldpackError

    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("build: interrupted; run the same command to go on", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("build: interrupted; run the same command to go on", err=True)
        sys.exit(130)
    except FieldpackError as error:
        for line in str(error).splitlines():
            click.echo(f"build: {line}", err=True)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("fieldpack_build", "fieldpack"):
            raise
        click.echo(
            f"build: {error.name} is not installed; the build server needs `pip install "
            "fieldpack[build]`",
            err=True,
        )
        sys.exit(10)
    except OSError as error:
        from .uncaught import NO_SPACE, no_space

        if error.errno not in NO_SPACE:
            raise
        click.echo(f"build: {no_space(error.filename or 'output')}", err=True)
        sys.exit(10)
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
