"""The command `fieldpack serve`. A thin cover; imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

import click

import fieldpack

from .options import BundlePath, device_options, open_bundle


@click.command(short_help="Serve a page and an API on this machine.")
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
