"""The `fieldpack` command: a thin cover over the runtime. Knows nothing of models, indexes or
prompts.

Imports nothing heavy: `fieldpack --help` loads neither numpy nor onnxruntime.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import click

import fieldpack
from fieldpack.figures import megabytes
from fieldpack.passages import MAX_PASSAGES
from fieldpack.untrusted import is_out_of_memory, out_of_memory

from ..install.environments import hand_over_to_current
from ..terminal import render
from ..terminal.to_json import to_dicts
from .device import bench, doctor, feedback
from .filter_options import filter_options, make_filter, why_none
from .install import COMMANDS as INSTALL_COMMANDS
from .install import verify_store
from .keys import keys
from .options import (
    BundlePath,
    bundle_argument,
    device_options,
    json_option,
    open_bundle,
    state_option,
)
from .programs import mcp, service


def _fail(message: str, code: int) -> click.exceptions.Exit:
    """Print one line on stderr, `fieldpack: <what, where, next step>`, and return the exit to
    raise."""
    click.echo("fieldpack: " + " ".join(render.printable(message).split()), err=True)
    return click.exceptions.Exit(code)


class _Group(click.Group):
    """A command group that turns the runtime's errors into one line and an exit code, and Ctrl-C
    into 130; click keeps a broken pipe quiet."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except fieldpack.FieldpackError as error:
            raise _fail(str(error), error.exit_code) from None
        except KeyboardInterrupt:
            click.echo(err=True)
            raise click.exceptions.Exit(130) from None
        except BrokenPipeError:
            raise
        except (MemoryError, ImportError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise _fail(str(out_of_memory(error, ctx.invoked_subcommand or "help")), 1) from None
        except OSError as error:
            raise _fail(
                f"{error.filename or 'input or output'}: {error.strerror or error}", 1
            ) from None


@click.group(
    cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(fieldpack.__version__, prog_name="fieldpack")
def cli() -> None:
    """Answer questions from a bundle, offline, with sources.

    A bundle is the folder that `build recipe` wrote, copied to this machine, or the name of one that
    `fieldpack install` brought. Nothing here speaks to the network, but install, update and repair
    where their source is an address.

    \b
    Example:
      fieldpack ask finance-1.0.0 "What does the A class of the Global Equity Fund cost a year?"

    \b
    Exit codes:
      0    answered or refused (a refusal is an answer)
      1    unexpected, or this machine: too little memory or room
      2    usage: an unknown option, a missing argument
      3    the bundle: not there, damaged, or not for this machine
      4    the question or an input file
      130  stopped with Ctrl-C
    """


@cli.command(short_help="Answer one question, or a file of them.")
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


@cli.command(short_help="Ask question after question.")
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


@cli.command(short_help="Show the passages that fit a question.")
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


@cli.command(short_help="Serve a page and an API on this machine.")
@click.argument("bundles", type=BundlePath(), nargs=-1, required=True, metavar="BUNDLE...")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8420,
    show_default=True,
    help="0: any free one.",
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="Folder for ratings [default: ~/.local/state/fieldpack].",
)
@click.option(
    "--max-waiting",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Longest queue.",
)
@click.option(
    "--max-seconds",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="For one answer.",
)
@click.option(
    "--host", help="Address to listen on [default: 127.0.0.1; with --lan this machine's]."
)
@click.option(
    "--lan", is_flag=True, help="Let phones of the local network in, by one-time codes and TLS."
)
@click.option(
    "--pair-minutes",
    type=click.IntRange(0, 60),
    default=5,
    show_default=True,
    help="With --lan: how long the first code is good; 0 makes none.",
)
@click.option(
    "--allow-remote", is_flag=True, help="Let --host be an address that others can reach."
)
@click.option(
    "--host-name",
    "names",
    multiple=True,
    metavar="NAME",
    help="What others call this machine; repeat.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="A file with the key [default: FIELDPACK_TOKEN, or new].",
)
@device_options
def serve(
    bundles: tuple[Path, ...],
    port: int,
    open_page: bool,
    state: Path | None,
    max_waiting: int,
    max_seconds: int,
    host: str | None,
    lan: bool,
    pair_minutes: int,
    allow_remote: bool,
    names: tuple[str, ...],
    token_file: Path | None,
    threads: int | None,
    provider: str,
    quick: bool,
) -> None:
    """Serve each BUNDLE, or the bundles in a folder, one at a time: a page for people, an API that OpenAI's clients speak.

    The address printed holds a key; without it nothing is answered. Only this machine can reach it, unless --host names
    another address, which takes --allow-remote and a key of your own, or --lan lets phones in: over TLS, each by a one-time
    code, with a key of its own that `fieldpack keys revoke` takes back.

    \b
    Examples:
      fieldpack serve finance-1.0.0 --open
      fieldpack serve /opt/bundles --port 0
      fieldpack serve finance-1.0.0 --lan
      FIELDPACK_TOKEN=$(cat key) fieldpack serve finance-1.0.0 --host 192.168.1.7 --allow-remote

    The API is under /v1 of the same address: base_url http://127.0.0.1:8420/v1, api_key the key.
    """
    from ..server.serve import Address, lan_address, read_token
    from ..server.serve import serve as run
    from ..server.settings import Limits
    from ..state import state_folder

    def opened(path: Path) -> fieldpack.Expert:
        return open_bundle(path, threads, provider, quick)

    def followed(path: Path, before: fieldpack.Expert) -> fieldpack.Expert:
        return open_bundle(path, threads, provider, quick, models_of=before)

    limits = Limits(waiting=max_waiting, answer_seconds=max_seconds)
    if lan:
        from ..lan.addresses import local_name

        names = (*names, local_name())
        address = Address(lan_address(host), port, names=names, pair_seconds=60 * pair_minutes)
    else:
        address = Address(host or "127.0.0.1", port, allow_remote, names)
    run(
        bundles,
        opened,
        followed,
        address,
        read_token(token_file),
        state=state_folder(state),
        limits=limits,
        open_page=open_page,
    )


@cli.command(short_help="Show what a bundle is and how good it was measured to be.")
@bundle_argument
@json_option
def info(bundle: Path, as_json: bool) -> None:
    """Show size, documents, origin and measured figures of BUNDLE; all it says of itself with --json. Hashes nothing.

    \b
    Example:
      fieldpack info finance-1.0.0
    """
    from ..info import describe, overview

    facts = describe(bundle)
    click.echo(render.dumps(facts, indent=2) if as_json else render.facts(overview(facts)))


@cli.command(short_help="Check every file of a bundle.")
@click.argument("bundle", type=BundlePath(), required=False)
@click.option("--deep", is_flag=True, help="Every file of every installed release instead.")
@json_option
def verify(bundle: Path | None, deep: bool, as_json: bool) -> None:
    """Hash every file of BUNDLE and compare with its manifest: 0 and "ok: ...", or 3 and the files that differ.

    \b
    Examples:
      fieldpack verify /media/usb/finance-1.0.0 && cp -r /media/usb/finance-1.0.0 /opt/bundles/
      fieldpack verify --deep
    """
    if (bundle is None) != deep:
        raise click.UsageError("give a BUNDLE, or --deep for all that is installed")
    if bundle is None:
        verify_store(as_json)
        return
    from fieldpack.bundle.manifest import read_manifest
    from fieldpack.bundle.manifest import verify as check

    try:
        manifest = read_manifest(bundle)
        check(bundle, manifest)
    except fieldpack.BundleError as error:
        if as_json:
            click.echo(render.dumps({"ok": False, "error": str(error)}, indent=2))
        raise
    if as_json:
        sizes = {"files": len(manifest.files), "bytes": manifest.size}
        click.echo(
            render.dumps(
                {"ok": True, "name": manifest.name, "version": manifest.version, **sizes}, indent=2
            )
        )
    else:
        click.echo(f"ok: {len(manifest.files)} files, {megabytes(manifest.size)}")


for _command in (doctor, bench, feedback, keys, mcp, service, *INSTALL_COMMANDS):
    cli.add_command(_command)


def main() -> None:
    """Run the `fieldpack` script."""
    for stream, errors in (
        (sys.stdin, "replace"),
        (sys.stdout, "backslashreplace"),
        (sys.stderr, "backslashreplace"),
    ):
        # No text of a document or a shell ends in a UnicodeError.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    hand_over_to_current()
    cli(prog_name="fieldpack")
