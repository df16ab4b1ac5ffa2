"""The commands for other programs: MCP over stdin and stdout, and a server as a service of systemd.
Thin covers; imports nothing heavy."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fieldpack import InputError

from ..terminal import render
from .options import bundle_argument, device_options, json_option, open_bundle

_Command = TypeVar("_Command", bound=Callable[..., Any])
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}")


@click.command(short_help="Let a program ask, search and read, by MCP over stdin and stdout.")
@bundle_argument
@device_options
def mcp(bundle: Path, threads: int | None, provider: str, quick: bool) -> None:
    """Speak the Model Context Protocol over stdin and stdout, for a program that starts this command: an editor, a desktop
    assistant, an agent. It has three tools: ask (an answer with sources, or a refusal), search (passages) and passage (one with
    the text around it). No socket is opened; what a library or an error has to say goes to stderr.

    \b
    Example, in a client's settings:
      {"mcpServers": {"finance": {"command": "fieldpack", "args": ["mcp", "/opt/bundles/finance-1.0.0"]}}}

    Versions 2024-11-05, 2025-06-18, 2025-11-25 and 2026-07-28 of the protocol are spoken. The command ends with 0 when its
    stdin ends, and with 3 where the bundle is damaged.
    """
    from ..mcp.server import serve

    with open_bundle(bundle, threads, provider, quick) as expert:
        if sys.stdin is not None and sys.stdin.isatty():
            click.echo(
                "fieldpack: waiting for a program's JSON-RPC on stdin; for questions by hand there "
                "are `fieldpack chat` and `fieldpack ask`. Ctrl-D ends.",
                err=True,
            )
        serve(expert)


@click.group(short_help="Keep a server running, as a service of systemd.")
def service() -> None:
    """Keep `fieldpack serve` running as a service of systemd: started with the machine, started again after a crash or when the
    kernel ended it for want of memory, its output in the journal, and hardened: a user of its own, a file system that it cannot
    write to, no privileges, no packet that leaves this machine."""


def _service_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if not _NAME.fullmatch(value):
        raise click.BadParameter("want up to 61 letters, digits, - and _")
    return value


def _service_options(command: _Command) -> _Command:
    options = (
        click.option(
            "--name",
            default="fieldpack",
            show_default=True,
            callback=_service_name,
            help="The service's name, where there are several.",
        ),
        click.option(
            "--user",
            "for_user",
            is_flag=True,
            help="A service of this user alone: no root is needed, less is locked up.",
        ),
        click.option(
            "--root",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            help="The / of another system, such as an image that is being prepared; starts nothing.",
        ),
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@service.command("install", short_help="Write the unit and start the service.")
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE...")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8420, show_default=True, help="To listen on."
)
@click.option("--lan", is_flag=True, help="For phones of the local network too; see serve --help.")
@click.option(
    "--target",
    "provider",
    default="cpu",
    show_default=True,
    metavar="NAME",
    help="What the language model runs on; another than cpu opens /dev to the service.",
)
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="As for serve.")
@click.option("--no-start", is_flag=True, help="Write the files alone.")
@click.option("--print", "print_only", is_flag=True, help="Print the unit, and change nothing.")
@_service_options
def install_service(
    bundles: tuple[str, ...],
    port: int,
    lan: bool,
    provider: str,
    threads: int | None,
    no_start: bool,
    print_only: bool,
    name: str,
    for_user: bool,
    root: Path | None,
    as_json: bool,
) -> None:
    """Install a service that serves each BUNDLE: a folder, or the name of an installed bundle, whose newer releases it then
    follows. The same command again changes the service; its key stays.

    \b
    Examples:
      sudo fieldpack service install /opt/bundles/finance-1.0.0
      fieldpack service install finance --user
      fieldpack service install /opt/bundles --print
      journalctl -u fieldpack -f

    The key lies in a file that only root (with --user: you) can read, and systemd hands it to the service. The system's service
    runs as a user that exists while it runs; where an installed bundle is served, as the owner of the store.
    """
    from ..service import systemd
    from ..service.unit import Service, unit_text

    if for_user and root:
        raise click.UsageError("--root is for the system's services; leave --user out")
    manager = systemd.Manager(for_user, root)
    paths, store, owner = _served(bundles, manager.root)
    options = (*(["--target", provider]), *(["--threads", str(threads)] if threads else []))
    wanted = Service(
        name,
        systemd.own_command(),
        paths,
        port,
        systemd.key_path(manager, name),
        options=options,
        store=store,
        owner="" if for_user else owner,
        for_user=for_user,
        lan=lan,
        devices=provider != "cpu",
        groups=systemd.device_groups(manager) if provider != "cpu" and not for_user else (),
    )
    if print_only:
        click.echo(unit_text(wanted), nl=False)
        return
    key = systemd.install(manager, wanted, start=not no_start)
    unit = str(manager.units / wanted.unit_name)
    started = root is None and not no_start
    address = f"http://127.0.0.1:{port}/?token={key}"
    if as_json:
        facts = {"unit": unit, "key_file": str(wanted.key_file), "started": started}
        click.echo(render.dumps({**facts, **({} if lan else {"address": address})}, indent=2))
        return
    click.echo(render.printable(f"{unit}: {'installed and started' if started else 'written'}"))
    if lan:
        click.echo(f"`fieldpack keys pair --state {_state_of(name, for_user)}` lets a phone in.")
    else:
        click.echo(f"open {address}")
    scope = "--user " if for_user else ""
    click.echo(f"journalctl {scope}-u {name} shows what it says.")


@service.command("remove", short_help="Stop the service and remove its unit and key.")
@_service_options
def remove_service(name: str, for_user: bool, root: Path | None, as_json: bool) -> None:
    """Stop the service, and remove its unit and its key. Ratings and paired phones stay in its state folder.

    \b
    Example:
      sudo fieldpack service remove
    """
    from ..service import systemd

    removed = [str(path) for path in systemd.remove(systemd.Manager(for_user, root), name)]
    if as_json:
        click.echo(render.dumps({"removed": removed}, indent=2))
    else:
        click.echo(render.printable("removed " + ", ".join(removed)))
        click.echo(f"{_state_of(name, for_user)} stays: ratings, and the keys of paired phones.")


@service.command("status", short_help="Say whether the service runs and answers.")
@_service_options
def service_status(name: str, for_user: bool, root: Path | None, as_json: bool) -> None:
    """Say whether the service is installed, runs, and answers on its port. Ends with 0 if it does, else with 1.

    \b
    Example:
      fieldpack service status --json | jq .NRestarts
    """
    from ..service import systemd

    facts = systemd.status(systemd.Manager(for_user, root), name)
    well = facts["running"] and facts.get("health", "ok") in ("ok", "loading")
    if as_json:
        click.echo(render.dumps(facts, indent=2))
    elif not facts["installed"]:
        click.echo(f"{name}: not installed; `fieldpack service install BUNDLE` does it")
    else:
        click.echo(render.facts({key: value for key, value in facts.items() if key != "installed"}))
    if not well:
        raise click.exceptions.Exit(1)


def _served(
    bundles: tuple[str, ...], root: Path | None
) -> tuple[tuple[str, ...], Path | None, str]:
    """Return the bundles as the service names them, with the store of those that are installed and
    the name of the user whom it belongs to. Raises InputError."""
    from ..install.opening import installed_path
    from ..install.store import default_store

    named: list[str] = []
    store: Path | None = None
    for bundle in bundles:
        path = Path(bundle)
        if (root / path.relative_to("/") if root and path.is_absolute() else path).exists():
            named.append(str(path.absolute()))
        elif installed_path(bundle):
            named.append(bundle)
            store = default_store().absolute()
        else:
            raise InputError(f"{bundle}: neither a folder nor the name of an installed bundle")
    return tuple(named), store, store.owner() if store else ""


def _state_of(name: str, for_user: bool) -> str:
    """Return the state folder of a service."""
    from ..service.unit import STATE_FOLDER
    from ..state import state_folder

    return str(state_folder()) if for_user else f"{STATE_FOLDER}/{name}"
