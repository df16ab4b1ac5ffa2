"""Arguments and options that several commands share, and how they open a bundle. Imports nothing
heavy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import click

import fieldpack

from ..state import state_folder
from .nearby_bundles import require_bundle

_Command = TypeVar("_Command", bound=Callable[..., Any])


class BundlePath(click.Path):
    """A folder, or else the name of an installed bundle, which stands for its current release's folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path of a bundle: a folder, or where the release of that name is installed."""
        path = Path(str(super().convert(value, param, ctx)))
        if path.exists():
            return path
        from ..install.opening import installed_path

        return installed_path(str(value)) or path


bundle_argument = click.argument("bundle", type=BundlePath(), callback=require_bundle)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
state_option = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help=(
        "The folder to write to; $XDG_STATE_HOME/fieldpack or ~/.local/state/fieldpack if not "
        "given."
    ),
)
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="Threads; all cores if not given."
)
provider_option = click.option(
    "--target",
    "--provider",
    "provider",
    default="auto",
    show_default=True,
    metavar="NAME",
    help=(
        "What the language model runs on: cpu, one of the bundle's targets, an execution provider, "
        "or auto: the first target of the bundle that works here, else the CPU."
    ),
)
_quick = click.option(
    "--quick", is_flag=True, help="Check names and sizes of the bundle's files, not their contents."
)


def device_options(command: _Command) -> _Command:
    """Add the options that say how a bundle is opened: threads, provider, quick."""
    for option in (_quick, provider_option, threads_option):
        command = option(command)
    return command


def open_bundle(
    bundle: Path,
    threads: int | None,
    provider: str,
    quick: bool,
    *,
    models_of: fieldpack.Expert | None = None,
) -> fieldpack.Expert:
    """Open a bundle as the device options say, an installed one with its starts counted.
    `provider`: the target's name. Under `auto` the state folder remembers which targets work here;
    without a home there is none, and they are tried each time. `models_of`: an expert that is open,
    whose models are used where they are of the same files. Raises BundleError."""
    from ..install.opening import open_installed

    state: Path | None = None
    with suppress(fieldpack.InputError):
        state = state_folder()

    def opened(path: Path) -> fieldpack.Expert:
        expert = fieldpack.open(
            path, target=provider, threads=threads, verify_contents=not quick, state=state
        )
        if models_of is not None:
            expert.borrow_models(models_of)
        return expert

    return open_installed(bundle, opened)
