"""The commands for devices of the local network: let one in, see which there are, shut one out. Thin
covers; imports nothing heavy."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ..state import LAN, state_folder
from ..terminal import render
from .options import json_option, state_option


@click.group(short_help="Let phones in, see which there are, shut one out.")
def keys() -> None:
    """The keys of devices that use a server of the local network (`fieldpack serve --lan`): each has one of its own, kept
    here as a digest. What is changed here counts for a running server at the next request."""


@keys.command(short_help="Make a one-time code that lets one device in.")
@click.option(
    "--minutes", type=click.IntRange(1, 60), default=5, show_default=True, help="It is good for."
)
@state_option
@json_option
def pair(minutes: int, state: Path | None, as_json: bool) -> None:
    """Make a code that lets one device in; one that was made before is void. Five wrong tries use it up.

    \b
    Examples:
      fieldpack keys pair
      sudo fieldpack keys pair --state /var/lib/fieldpack-service/fieldpack
    """
    from ..lan.announce import invitation, known_server
    from ..lan.pairing import open_pairing

    folder = state_folder(state) / LAN
    server = known_server(folder)
    code = open_pairing(folder, seconds=60 * minutes)
    if as_json:
        facts = {"code": code, "seconds": 60 * minutes, **(asdict(server) if server else {})}
        click.echo(render.dumps(facts, indent=2))
    elif server is None:
        click.echo(f"{code}, for a server that `fieldpack serve --lan` starts from now on")
    else:
        click.echo(invitation(server, code, 60 * minutes))


@keys.command("list", short_help="Show the devices that have keys.")
@state_option
@json_option
def list_keys(state: Path | None, as_json: bool) -> None:
    """Show the devices that have keys, the oldest first; the keys themselves are nowhere.

    \b
    Example:
      fieldpack keys list
    """
    from ..lan.device_keys import DeviceKeys

    rows = DeviceKeys(state_folder(state) / LAN).all()
    if as_json:
        shown = [{"id": row.id, "name": row.name, "added": row.added} for row in rows]
        click.echo(render.dumps(shown, indent=2))
        return
    for row in rows:
        click.echo(render.printable(f"{row.id}  {row.added[:16].replace('T', ' ')}  {row.name}"))
    if not rows:
        click.echo("no device is paired")


@keys.command(short_help="Make a key for a program on another machine.")
@click.argument("name")
@state_option
@json_option
def add(name: str, state: Path | None, as_json: bool) -> None:
    """Make a key for a program called NAME, which sends it as `Authorization: Bearer KEY`. It is shown this once.

    \b
    Example:
      fieldpack keys add "the workshop's script"
    """
    from ..lan.device_keys import DeviceKeys

    key, secret = DeviceKeys(state_folder(state) / LAN).add(render.printable(name))
    if as_json:
        click.echo(render.dumps({"id": key.id, "name": key.name, "key": secret}, indent=2))
    else:
        click.echo(secret)


@keys.command(short_help="Shut a device out.")
@click.argument("which", metavar="ID_OR_NAME")
@state_option
@json_option
def revoke(which: str, state: Path | None, as_json: bool) -> None:
    """Revoke the key of an id, or all keys of a name. A running server refuses them from the next request on.

    \b
    Example:
      fieldpack keys revoke 3fa9c1d2
    """
    from ..lan.device_keys import DeviceKeys

    gone = DeviceKeys(state_folder(state) / LAN).revoke(which)
    if as_json:
        click.echo(render.dumps([{"id": row.id, "name": row.name} for row in gone], indent=2))
    else:
        for row in gone:
            click.echo(render.printable(f"revoked {row.id}  {row.name}"))
