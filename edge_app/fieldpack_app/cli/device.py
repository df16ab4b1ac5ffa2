"""The commands that look after a device: doctor, bench, feedback. Thin covers; imports nothing
heavy."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import click

from ..state import FEEDBACK, state_folder, written_whole
from ..terminal import render
from .options import (
    bundle_argument,
    json_option,
    open_bundle,
    provider_option,
    state_option,
    threads_option,
)


@click.command(short_help="Check a bundle and this machine, and say what to do.")
@bundle_argument
@json_option
@state_option
@threads_option
@provider_option
def doctor(
    bundle: Path, as_json: bool, state: Path | None, threads: int | None, provider: str
) -> None:
    """Verify BUNDLE, open all of it, ask the questions it brings and compare with what it answered where it was built; look at
    versions, processor, memory, disk and speeds. For everything that is wrong it says what to do. Changes nothing.

    \b
    Example:
      fieldpack doctor finance-1.0.0

    Ends with 0 (healthy, notes and warnings aside), 1 (something hinders) or 3 (the bundle is damaged). --json prints
    {healthy, checks: [{name, level, says, advice, facts}]}; level is ok, note, warning, wrong or damaged.
    """
    from ..diagnostics.doctor import Doctor
    from ..diagnostics.findings import exit_code

    findings = []
    doctor = Doctor(bundle, state_folder(state), provider=provider, threads=threads)
    for finding in doctor.examine():
        findings.append(finding)
        if not as_json:
            click.echo(finding.lines())
    code = exit_code(findings)
    if as_json:
        rows = [finding.to_dict() for finding in findings]
        click.echo(render.dumps({"healthy": code == 0, "checks": rows}, indent=2))
    elif code == 0:
        click.echo("\nhealthy")
    else:
        count = sum(finding.level in ("wrong", "damaged") for finding in findings)
        click.echo(f"\n{count} thing{'s' if count != 1 else ''} to put right")
    if code:
        raise click.exceptions.Exit(code)


@click.command(short_help="Measure how fast a bundle answers here.")
@bundle_argument
@json_option
@click.option(
    "--questions",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help=(
        'Ask these: {"question": ...} or a string a line. Else the bundle\'s own, or its '
        "documents' titles."
    ),
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Of each; medians are shown.",
)
@click.option("--markdown", is_flag=True, help="A Markdown table, as in a pipe, on a terminal too.")
@threads_option
@provider_option
def bench(
    bundle: Path,
    as_json: bool,
    questions: Path | None,
    rounds: int,
    markdown: bool,
    threads: int | None,
    provider: str,
) -> None:
    """Print a table of BUNDLE's speeds on this machine, with a line that says what machine it is, to paste into a report.

    \b
    Examples:
      fieldpack bench finance-1.0.0
      fieldpack bench finance-1.0.0 --questions questions.jsonl --rounds 5 --json > here.json

    A cold start is a process of its own that opens the bundle and answers. A warm question follows another one; a follow-up
    follows its own first answer. Progress goes to stderr.
    """
    from ..diagnostics.bench import Bench, table

    result = Bench(bundle, questions, rounds=rounds, threads=threads, provider=provider).run()
    if as_json:
        click.echo(render.dumps(result, indent=2))
    else:
        click.echo(table(result, markdown=markdown or not render.on_terminal()))


@click.group(short_help="Turn what readers thought of answers into test questions.")
def feedback() -> None:
    """What the page's readers rated, and what was asked and not answered: kept in
    STATE/feedback.jsonl by `fieldpack serve`."""


_since = click.option(
    "--since", metavar="DATE", help="Only from then on: YYYY-MM-DD, or a time as 2026-01-31T12:00."
)
_rating = click.option(
    "--rating", type=click.Choice(["up", "down", "unanswered"]), help="Only these."
)


@feedback.command("list", short_help="Show the ratings and the unanswered questions.")
@state_option
@_since
@_rating
@json_option
def list_(state: Path | None, since: str | None, rating: str | None, as_json: bool) -> None:
    """Show them, the newest last.

    \b
    Example:
      fieldpack feedback list --rating down
    """
    from ..feedback import BadLines, NoteFilter, read_notes, shown

    bad_lines = BadLines()
    notes = read_notes(
        state_folder(state) / FEEDBACK, NoteFilter.parse(since, rating), on_bad_line=bad_lines
    )
    if as_json:
        click.echo(render.dumps([note.raw for note in notes], indent=2))
    else:
        click.echo(
            "\n".join(map(shown, notes)) if notes else "nothing rated, and nothing unanswered"
        )
    bad_lines.raise_any()


@feedback.command(short_help="Write them as test questions for a build.")
@state_option
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write there, not to stdout.",
)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="The bundle that was asked: names each answer's document.",
)
@_since
@_rating
@json_option
def export(
    state: Path | None,
    output: Path | None,
    bundle: Path | None,
    since: str | None,
    rating: str | None,
    as_json: bool,
) -> None:
    """Write a row of test questions (`evaluate.questions`) for each question, once, however often it was asked.

    An answer that was rated up is the expected one. Where one was rated down, or there was none, a person has to say what is
    right: the row says so under `fill_in`, and a build refuses it until that key is gone. --json prints a list, not lines.

    \b
    Example:
      fieldpack feedback export --since 2026-01-01 --bundle finance-1.0.0 -o questions.jsonl
    """
    from ..feedback import FILL_IN, BadLines, NoteFilter, read_notes, to_rows

    bad_lines = BadLines()
    notes = read_notes(
        state_folder(state) / FEEDBACK, NoteFilter.parse(since, rating), on_bad_line=bad_lines
    )
    with open_bundle(bundle, None, "cpu", True) if bundle else nullcontext() as expert:
        rows = to_rows(notes, expert)
    text = render.dumps(rows, indent=2) if as_json else "\n".join(map(render.dumps, rows))
    if output:
        with written_whole(output) as file:
            file.write(text + "\n" if text else "")
    elif text:
        click.echo(text)
    unanswered = sum(FILL_IN in row for row in rows)
    click.echo(
        f"{len(rows)} questions, {unanswered} of them for a person to answer ({FILL_IN})", err=True
    )
    bad_lines.raise_any()
