"""The commands that ask: ask, chat, search. Thin covers; imports nothing heavy."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fieldpack.passages import MAX_PASSAGES

from ..terminal import render
from ..terminal.to_json import to_dicts
from .filter_options import filter_options, make_filter, why_none
from .options import bundle_argument, device_options, json_option, open_bundle, state_option


@click.command(short_help="Answer one question, or a file of them.")
@bundle_argument
@click.argument("question", required=False)
@json_option
@click.option(
    "--batch",
    metavar="FILE.jsonl",
    help='A question a line: {"question": ...} or a string; - is stdin.',
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="With --batch: write there, not to stdout.",
)
@device_options
def ask(
    bundle: Path,
    question: str | None,
    as_json: bool,
    batch: str | None,
    output: Path | None,
    threads: int | None,
    provider: str,
    quick: bool,
) -> None:
    """Answer QUESTION from BUNDLE and name the sources. With `-` the question is read from stdin.

    \b
    Examples:
      fieldpack ask finance-1.0.0 "What does the A class cost a year?"
      fieldpack ask finance-1.0.0 "What does the A class cost a year?" --json | jq .citations
      fieldpack ask finance-1.0.0 --batch questions.jsonl -o answers.jsonl

    --json prints {question, answer, refused, cut, guessed, kind, sureness, quote,
    citations: [{document, page, quote, passage}], passages, timings}; `cut` is true where a limit on tokens ended the
    answer, `guessed` where it names no passage and its citation is only related; `passage` is the number in the answer's
    [n]; `kind` is written (by a language model), quote (a passage's words), related (such words for a question that wants
    yes or no or a sum) or unsure (no answer, as it was not sure enough). --batch prints one such object a line, with the
    row's `id` if it has one; a question that cannot be asked gets an `error` there, and the exit code is 4 at the end.
    """
    if (question is None) == (batch is None):
        raise click.UsageError("give a QUESTION or --batch FILE.jsonl, one of the two")
    if output and not batch:
        raise click.UsageError("-o goes with --batch")
    if question == "-":
        question = sys.stdin.buffer.read().decode("utf-8", "replace")
    with open_bundle(bundle, threads, provider, quick) as expert:
        if batch is not None:
            from ..batch import answer_all

            answer_all(expert, batch, output)
        elif as_json:
            click.echo(render.dumps(expert.ask(question or "").to_dict(), indent=2))
        else:
            render.answer(expert.stream(question or ""))
        if because := expert.runs_on_because:
            click.echo("fieldpack: " + render.printable(because), err=True)


@click.command(short_help="Ask question after question.")
@bundle_argument
@state_option
@click.option("--no-history", is_flag=True, help="Keep no history of what was typed.")
@device_options
def chat(
    bundle: Path,
    state: Path | None,
    no_history: bool,
    threads: int | None,
    provider: str,
    quick: bool,
) -> None:
    """Ask BUNDLE question after question; each goes on from the answer before it, until /new.

    /sources shows what the last answer was written from, /search WORDS looks without an answer, /help names the rest.
    Ctrl-C stops an answer, Ctrl-D ends. What is typed on a terminal is kept in STATE/history, for this user alone. In a
    pipe nothing is kept, and each answer ends with an empty line.

    \b
    Examples:
      fieldpack chat finance-1.0.0
      fieldpack chat finance-1.0.0 < questions.txt
    """
    from ..state import HISTORY, state_folder
    from .chat import talk

    with open_bundle(bundle, threads, provider, quick) as expert:
        typed = sys.stdin is not None and sys.stdin.isatty()
        talk(expert, history=state_folder(state) / HISTORY if typed and not no_history else None)


@click.command(short_help="Show the passages that fit a question.")
@bundle_argument
@click.argument("question")
@click.option(
    "-k",
    "count",
    type=click.IntRange(1, MAX_PASSAGES),
    default=5,
    show_default=True,
    help="How many passages.",
)
@filter_options
@json_option
@device_options
def search(
    bundle: Path,
    question: str,
    count: int,
    documents: tuple[str, ...],
    folders: tuple[str, ...],
    after: str | None,
    before: str | None,
    tags: tuple[str, ...],
    as_json: bool,
    threads: int | None,
    provider: str,
    quick: bool,
) -> None:
    """Show the passages of BUNDLE that fit QUESTION best. No language model runs: this takes milliseconds.

    A long passage is shown around the question's words. The options say which documents may answer; a document has the
    date and tags that it states or that its recipe gives it, and one without a date is neither before nor after.

    \b
    Examples:
      fieldpack search finance-1.0.0 "entry charge A class" -k 3
      fieldpack search finance-1.0.0 "entry charge" --folder fees --after 2025-01-01
      fieldpack search finance-1.0.0 "entry charge" --document "*.pdf" --tag retail --json | jq '.[0].text'

    --json prints a list of {document, title, date, tags, page, heading, text, start, end, score, similarity,
    highlights}, best first; start and end count characters of the page, highlights are [start, end] of words in text.
    """
    where = make_filter(documents, folders, after, before, tags)
    with open_bundle(bundle, threads, provider, quick) as expert:
        passages = expert.search(question, count, where=where)
        if as_json:
            click.echo(render.dumps(to_dicts(passages, question, expert.documents()), indent=2))
        elif passages:
            click.echo(render.passages(passages, question, expert.languages))
        else:
            click.echo(render.printable(why_none(where, expert.documents)))
