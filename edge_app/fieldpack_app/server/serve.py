"""Runs `fieldpack serve`: takes a port, prints where the page is, and serves until Ctrl-C. Knows
nothing of routes."""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
import webbrowser
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import click

from fieldpack import InputError

from ..lan.addresses import own_addresses
from ..lan.announce import LanServer, invitation, remember_server
from ..lan.certificate import own_certificate
from ..lan.pairing import open_pairing
from ..state import LAN
from ..terminal.render import printable
from .app import Application
from .bundles import find_bundles
from .follow import FollowReleases
from .http import Server
from .loaded_bundle import Follower, Opener
from .settings import Limits, Settings

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,512}")
_TOKEN_VARIABLE = "FIELDPACK_TOKEN"


@dataclass(frozen=True, slots=True)
class Token:
    """The server's key. `from_user`: whether the user chose it; a key that we made is printed,
    theirs is not."""

    value: str
    from_user: bool


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. `names`: other hosts than the address itself that browsers call this machine
    by. `pair_seconds`: for a server of the local network, how long its first code is good; 0 makes
    none."""

    host: str
    port: int
    allow_remote: bool = False
    names: tuple[str, ...] = ()
    pair_seconds: int | None = None

    @property
    def lan(self) -> bool:
        """Whether devices of the local network are let in, by TLS and keys of their own."""
        return self.pair_seconds is not None

    @property
    def scheme(self) -> str:
        """The scheme of the server's address."""
        return "https" if self.lan else "http"

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the address."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:  # a name
            return False

    @property
    def written(self) -> str:
        """The host as it stands in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def called(self) -> str:
        """The host in the address that people open."""
        return self.written if self.local else self.remote_names[0]

    @property
    def remote_names(self) -> tuple[str, ...]:
        """The hosts that browsers on other machines may name."""
        own = () if self.local or self.host in ("0.0.0.0", "::") else (self.written,)
        return tuple(name.lower() for name in (*own, *self.names))


def serve(
    paths: Sequence[Path],
    open_bundle: Opener,
    follow_bundle: Follower,
    address: Address,
    token: Token,
    *,
    state: Path,
    limits: Limits,
    open_page: bool,
) -> None:
    """Serve until stopped. Raises click.UsageError, InputError (the port), BundleError,
    KeyboardInterrupt."""
    check(address, token)
    bundles = find_bundles(paths)
    lan = state / LAN if address.lan else None
    tls = own_certificate(lan, _certified(address)) if lan else None
    with closing(listen(address.host, address.port)) as listening:
        port = listening.getsockname()[1]
        ticket = secrets.token_urlsafe(24) if open_page else ""
        settings = Settings(
            token.value,
            port,
            state,
            remote=address.remote_names,
            ticket=ticket,
            lan=lan,
            limits=limits,
        )
        with closing(Application(bundles, open_bundle, settings, follow_bundle)) as application:
            if lan and tls:
                server = LanServer(f"https://{address.called}:{port}", tls.fingerprint)
                _announce_lan(application, server, lan, address.pair_seconds or 0)
            else:
                _announce(application, address, token, port)
            if open_page:
                url = f"{address.scheme}://{address.called}:{port}/?token={ticket}"
                # In a thread: some browsers keep their caller waiting. The socket listens already.
                threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
            following = FollowReleases(application.asgi, application.loaded)
            Server(following, application.service.stop_all, tls=tls).run([listening])


def check(address: Address, token: Token) -> None:
    """Raise click.UsageError where others could reach the server and that was not allowed, or not
    prepared."""
    if not _TOKEN.fullmatch(token.value):
        raise click.UsageError(
            "the key must be 16 to 512 letters, digits and ._~-; `openssl rand -hex 32` makes one"
        )
    if address.local or address.lan:
        return
    if not address.allow_remote or not token.from_user:
        raise click.UsageError(
            f"--host {address.host}: others on the network could reach this server. That takes "
            f"--allow-remote and a key of your own, in {_TOKEN_VARIABLE} or --token-file"
        )
    if not address.remote_names:
        raise click.UsageError(
            f"--host {address.host}: name this machine as browsers will call it, with --host-name "
            "NAME"
        )


def read_token(file: Path | None) -> Token:
    """Return the key from `file`, else from FIELDPACK_TOKEN, else a new one. Raises InputError."""
    if file is None:
        value = os.environ.get(_TOKEN_VARIABLE, "")
        return Token(value, True) if value else Token(secrets.token_urlsafe(32), False)
    try:
        return Token(file.read_text(encoding="utf-8").strip(), True)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: {getattr(error, 'strerror', None) or error}; want a file with the key"
        ) from None


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 is any free one. Raises InputError where there is none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        what = f"{host}:{port}: {error.strerror or error}"
        raise InputError(f"{what}; name another port with --port (0: any free one)") from None
    return listening


def lan_address(host: str | None) -> str:
    """Return the address to listen on for the local network: `host`, or else this machine's own.
    Raises InputError where it has none, or `host` means all."""
    if host in ("0.0.0.0", "::"):
        raise InputError(f"--lan --host {host}: name the one address that phones shall open")
    if host is not None:
        return host
    addresses = own_addresses()
    if not addresses:
        raise InputError(
            "this machine is in no network; connect it, or name an address with --host"
        )
    return str(addresses[0])


def _certified(address: Address) -> list[str]:
    """Return the names and addresses that the certificate is for."""
    return sorted({name.strip("[]") for name in address.remote_names} | {address.host})


def _announce_lan(
    application: Application, server: LanServer, lan: Path, pair_seconds: int
) -> None:
    names = printable(", ".join(bundle.id for bundle in application.loaded.bundles))
    remember_server(lan, server)
    click.echo(f"{names}: {server.url}, for devices of this network that are paired")
    if pair_seconds:
        click.echo(invitation(server, open_pairing(lan, seconds=pair_seconds), pair_seconds))
    click.echo("`fieldpack keys pair` lets a device in, `fieldpack keys revoke` shuts it out.")
    click.echo("Ctrl-C ends.")


def _announce(application: Application, address: Address, token: Token, port: int) -> None:
    names = printable(", ".join(bundle.id for bundle in application.loaded.bundles))
    key = "<your key>" if token.from_user else token.value
    click.echo(f"{names}: open http://{address.called}:{port}/?token={key}")
    if not address.local:
        click.echo(
            "This is plain HTTP, and the key travels in it: put a proxy with TLS in front on a "
            "network you share."
        )
    click.echo("Ctrl-C ends.")
