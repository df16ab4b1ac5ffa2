"""The commands that read finished bundles: `build compare` and `build answers`. Imports nothing
heavy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import GateMissed
from .options import EPILOG

if TYPE_CHECKING:
    from ..evaluation.export_answers import Format


@click.command(epilog=EPILOG)
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
    from ..evaluation.compare import compare_bundles, is_worse
    from ..report import render_comparison
    from ..report.comparison import lines
    from ..report.comparison_markdown import markdown

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


@click.command(epilog=EPILOG)
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
    from ..evaluation.export_answers import answer_lines, read_report

    lines = answer_lines(read_report(bundle), format, arm)
    if output is None:
        for line in lines:
            click.echo(line)
        return
    text = "".join(line + "\n" for line in lines)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    click.echo(f"{output}: {text.count(chr(10))} questions", err=True)
