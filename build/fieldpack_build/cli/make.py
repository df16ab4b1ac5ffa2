"""The commands that build: `build recipe` and `build knowledge`. Imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .options import EPILOG, cache_option, set_option


@click.command(epilog=EPILOG)
@click.argument("name", metavar="RECIPE")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Bundle folder [default: dist/NAME-VERSION].",
)
@set_option
@click.option("--from", "first", metavar="STAGE", help="Run this stage and all after it again.")
@click.option("--only", metavar="STAGE", help="Run this stage alone (its inputs must be there).")
@click.option("--force", is_flag=True, help="Run every stage again.")
@click.option(
    "--rehearse",
    is_flag=True,
    help="All stages on slices and a tiny random model: finds mistakes in minutes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was built as JSON on stdout.")
@cache_option
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
    from ..api import build

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


@click.command(epilog=EPILOG)
@click.argument("name", metavar="RECIPE")
@set_option
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
@cache_option
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
    from ..api import build_knowledge, show_document
    from ..console import show_library
    from ..evaluation import library_questions
    from ..ingest import showing

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
