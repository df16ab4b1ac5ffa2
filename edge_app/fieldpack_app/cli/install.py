"""The commands that bring releases to a device and look after them: install, update, rollback,
list, gc, repair, status. Thin covers; imports nothing of weight."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fieldpack.figures import megabytes

from ..terminal import render
from .options import json_option

if TYPE_CHECKING:
    from ..install.outcome import Outcome
    from ..install.store import Store

_Command = TypeVar("_Command", bound=Callable[..., Any])

_store = click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where releases are kept; $FIELDPACK_STORE, or fieldpack in $XDG_DATA_HOME, if not given.",
)
_max_age = click.option(
    "--max-age",
    type=click.IntRange(min=0),
    metavar="DAYS",
    help="Refuse signatures that are older than this.",
)
_downgrade = click.option(
    "--allow-downgrade", is_flag=True, help="Take an older release, too, if it is rightly signed."
)
_fingerprint = click.option(
    "--fingerprint",
    metavar="DIGITS",
    help="Of the keys to trust, on a device that trusts none yet; 32 digits or more.",
)


@click.command(short_help="Install a bundle from a stick or a server.")
@click.argument("source", metavar="SOURCE")
@click.option("--name", metavar="BUNDLE", help="Which bundle, where SOURCE offers several.")
@click.option("--channel", default="stable", show_default=True, help="Which channel of SOURCE.")
@_fingerprint
@_downgrade
@_max_age
@_store
@json_option
def install(
    source: str,
    name: str | None,
    channel: str,
    fingerprint: str | None,
    allow_downgrade: bool,
    max_age: int | None,
    store: Path | None,
    as_json: bool,
) -> None:
    """Install a bundle from SOURCE: a folder that `build ship` wrote (a stick, say), or its address
    on a server.

    Everything is checked by signature. The first time, you compare the fingerprint of SOURCE's keys
    with the one that you were given on paper; from then on this device takes nothing from others. A
    release is copied, opened and asked its own questions before it is used; if anything fails the
    release before stays. Cut off, the same command goes on where it stopped.

    \b
    Examples:
      fieldpack install /media/stick
      fieldpack install /media/stick --fingerprint "3f2a 9c01 77de 10b4 6a5e 0c9d 1182 f0ab"
      fieldpack install https://bundles.example.org/field --name clinic --channel canary
      fieldpack ask clinic "..."
    """
    from ..install.installer import InstallOptions
    from ..install.installer import install as run

    options = InstallOptions(
        name,
        channel,
        fingerprint or "",
        _confirm_fingerprint if sys.stdin.isatty() else None,
        allow_downgrade,
        max_age,
        _note,
    )
    with _in_newer_runtime():
        outcomes = run(_store_at(store), source, options)
    _show(outcomes, as_json)


@click.command(short_help="Bring installed bundles up to date.")
@click.argument("source", metavar="[SOURCE]", required=False)
@click.option("--name", metavar="BUNDLE", help="Only this bundle.")
@_downgrade
@_max_age
@_store
@json_option
def update(
    source: str | None,
    name: str | None,
    allow_downgrade: bool,
    max_age: int | None,
    store: Path | None,
    as_json: bool,
) -> None:
    """Update what is installed from SOURCE, or from where each bundle came. Only files that changed
    are copied.

    A source with nothing newer is no error. A server that is running goes over to the new release
    between two questions. Where a release needs a newer Fieldpack and SOURCE carries it, that is
    installed beside this one and used from then on.

    \b
    Examples:
      fieldpack update
      fieldpack update /media/stick
    """
    from ..install.installer import InstallOptions
    from ..install.installer import update as run

    options = InstallOptions(name, allow_downgrade=allow_downgrade, max_age=max_age, say=_note)
    with _in_newer_runtime():
        outcomes = run(_store_at(store), source, options)
    _show(outcomes, as_json)


@click.command(short_help="Go back to the release before.")
@click.argument("name", metavar="[BUNDLE]", required=False)
@_store
@json_option
def rollback(name: str | None, store: Path | None, as_json: bool) -> None:
    """Make the release before the current one of BUNDLE current again. Nothing is copied; again,
    and you are back.

    \b
    Example:
      fieldpack rollback clinic
    """
    from ..install.rollback import rollback as run

    _show([run(_store_at(store), name)], as_json)


@click.command("list", short_help="Show what is installed.")
@_store
@json_option
def list_(store: Path | None, as_json: bool) -> None:
    """Show the installed bundles: current release, release before, where it came from, what is
    withdrawn.

    \b
    Example:
      fieldpack list
    """
    from ..install.status import lines, status_of

    facts = status_of(_store_at(store))
    if as_json:
        click.echo(render.dumps(facts["bundles"], indent=2))
    else:
        for line in lines(facts):
            click.echo(render.printable(line))


@click.command(short_help="Show this device, its versions and bundles, to carry back.")
@_store
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it there: on the stick, say.",
)
@json_option
def status(store: Path | None, output: Path | None, as_json: bool) -> None:
    """Show this device's id and version of Fieldpack, what is installed and how many documents the
    last update changed. It names no documents, no questions and no people.

    With --json and -o onto the stick it can be carried back: `build fleet STATUS...` shows which
    device runs what.

    \b
    Example:
      fieldpack status --json -o /media/stick/status-$(hostname).json
    """
    from ..install.status import lines, status_of

    facts = status_of(_store_at(store), with_changes=True)
    text = (
        render.dumps(facts, indent=2)
        if as_json
        else "\n".join(map(render.printable, lines(facts, device=True)))
    )
    if output:
        output.write_text(text + "\n", encoding="utf-8")
    else:
        click.echo(text)


@click.command(short_help="Remove releases that nothing points to.")
@_store
@json_option
def gc(store: Path | None, as_json: bool) -> None:
    """Remove releases older than the one before the current, half-copied files and what nothing
    uses. One that a running command reads stays.

    \b
    Example:
      fieldpack gc
    """
    here = _store_at(store)
    with here.lock():
        removed, freed = here.collect()
    if as_json:
        click.echo(render.dumps({"removed": removed, "freed": freed}, indent=2))
    else:
        click.echo(f"removed {len(removed)} old releases, freed {megabytes(freed)}")


@click.command(short_help="Copy damaged files of installed bundles anew.")
@click.argument("source", metavar="[SOURCE]", required=False)
@_store
@json_option
def repair(source: str | None, store: Path | None, as_json: bool) -> None:
    """Hash every file of every installed release; copy those that are damaged from SOURCE, or from
    where they came.

    \b
    Example:
      fieldpack repair /media/stick
    """
    from ..install.errors import StoreFailed
    from ..install.repair import repair as run

    mended, left = run(_store_at(store), source)
    if as_json:
        click.echo(
            render.dumps(
                {"mended": [one.path for one in mended], "left": [one.path for one in left]},
                indent=2,
            )
        )
    else:
        for one in mended:
            click.echo(render.printable(f"mended: {one.name} {one.path}"))
        click.echo(
            "all files are as signed" if not left else f"{len(left)} files are still damaged"
        )
    if left:
        raise StoreFailed(
            f"{left[0].path}: damaged again right after it was copied; the disk may be failing:"
            " replace it"
        )


def verify_store(as_json: bool) -> None:
    """Hash every file of every installed release. Raises BundleCorrupt, which names the first few
    that differ."""
    from fieldpack import BundleCorrupt

    here = _store_at(None)
    damages = here.damages()
    if as_json:
        rows = [{"bundle": one.name, "path": one.path, "what": one.what} for one in damages]
        click.echo(render.dumps({"ok": not damages, "damaged": rows}, indent=2))
    if damages:
        shown = "; ".join(f"{one.name} {one.path}: {one.what}" for one in damages[:3])
        more = f" (and {len(damages) - 3} more)" if len(damages) > 3 else ""
        raise BundleCorrupt(
            f"{here.root}: {shown}{more}; `fieldpack repair` with the stick plugged in mends this"
        )
    if not as_json:
        click.echo(f"ok: all files of {len(here.state().slots())} installed releases are as signed")


def _store_at(folder: Path | None) -> Store:
    from ..install.store import Store, default_store

    return Store((folder or default_store()).absolute())


@contextmanager
def _in_newer_runtime() -> Iterator[None]:
    """Run this very command again in the environment that the next release needs, once it is
    whole."""
    from ..install.environments import RuntimeReady, run_in, version_of

    try:
        yield
    except RuntimeReady as ready:
        _note(f"Fieldpack {version_of(ready.environment.name)} is here, and goes on from here")
        run_in(ready.environment, sys.argv[1:])


def _confirm_fingerprint(fingerprint: str) -> bool:
    click.echo(f"The keys of this source have the fingerprint\n\n    {fingerprint}\n", err=True)
    return click.confirm("Is it the one that you were given on paper?", err=True)


def _note(text: str) -> None:
    click.echo(f"note: {render.printable(text)}", err=True)


def _show(outcomes: Sequence[Outcome], as_json: bool) -> None:
    if as_json:
        click.echo(render.dumps([outcome.to_dict() for outcome in outcomes], indent=2))
        return
    for outcome in outcomes:
        for line in _lines(outcome):
            click.echo(render.printable(line))


def _lines(outcome: Outcome) -> list[str]:
    named = f"{outcome.name} {outcome.version} (release {outcome.number})"
    if outcome.action in ("unchanged", "waiting"):
        if outcome.notes:  # why it stays, which need not be that there is nothing newer
            return [f"{named} stays:", *(f"  {note}" for note in outcome.notes)]
        return [f"{named}: nothing newer to install"]
    if outcome.action == "rolled back":
        return [f"{named} is current again, in {outcome.seconds:.2f} s"]
    texts = [
        (
            f"{named} {outcome.action}: {megabytes(outcome.copied)} of"
            f" {megabytes(outcome.size)} copied, {outcome.seconds:.1f} s"
        )
    ]
    if outcome.health and outcome.health.questions:
        same = outcome.health.questions - len(outcome.health.differ)
        texts.append(
            f"  {same} of its {outcome.health.questions} own questions answered as where it was"
            " built"
        )
    if outcome.changes:
        texts += [f"  {line}" for line in outcome.changes.lines()]
    return [*texts, f'  fieldpack ask {outcome.name} "..."']


COMMANDS = (install, update, rollback, list_, status, gc, repair)
