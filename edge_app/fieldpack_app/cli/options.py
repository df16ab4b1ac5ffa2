"""Arguments and options that several commands share, and how they open a bundle. Imports nothing of weight."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import click

import fieldpack

from ..state import state_folder

_Command = TypeVar("_Command", bound=Callable[..., Any])

bundle_argument = click.argument("bundle", type=click.Path(path_type=Path))
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
state_option = click.option(
    "--state", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="The folder to write to; $XDG_STATE_HOME/fieldpack or ~/.local/state/fieldpack if not given.",
)  # fmt: skip
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="Threads; all cores if not given."
)
provider_option = click.option(
    "--target", "--provider", "provider", default="auto", show_default=True, metavar="NAME",
    help="What the language model runs on: cpu, one of the bundle's targets, an execution provider, or auto: the first "
    "target of the bundle that works here, else the CPU.",
)  # fmt: skip
_quick = click.option("--quick", is_flag=True, help="Check names and sizes of the bundle's files, not their contents.")


def device_options(command: _Command) -> _Command:
    for option in (_quick, provider_option, threads_option):
        command = option(command)
    return command


def open_bundle(bundle: Path, threads: int | None, provider: str, quick: bool) -> fieldpack.Expert:
    """`provider`: the target's name. Under `auto` the state folder remembers which targets work here; without a home there is
    none, and they are tried each time."""
    state = None
    with suppress(fieldpack.InputError):
        state = state_folder()
    return fieldpack.open(bundle, target=provider, threads=threads, verify_contents=not quick, state=state)
