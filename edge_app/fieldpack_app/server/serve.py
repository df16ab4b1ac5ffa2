"""`fieldpack serve`: takes a port, says where the page is, and runs until Ctrl-C. Knows nothing of
routes."""

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

from ..terminal.render import printable
from .app import Application
from .bundles import find_bundles
from .follow import FollowReleases
from .http import Server
from .loaded_bundle import Opener
from .settings import Limits, Settings

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,512}")
_TOKEN_VARIABLE = "FIELDPACK_TOKEN"


@dataclass(frozen=True, slots=True)
class Token:
    value: str
    given: bool  # by the user; what we made is printed, what they gave is not


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. `names`: by what else than the address itself others call this machine."""

    host: str
    port: int
    allow_remote: bool = False
    names: tuple[str, ...] = ()

    @property
    def local(self) -> bool:
        return self.host == "localhost" or (_is_ip(self.host) and ip_address(self.host).is_loopback)

    @property
    def written(self) -> str:
        """As it stands in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def called(self) -> str:
        """The host in the address that people open."""
        return self.written if self.local else self.remote_names[0]

    @property
    def remote_names(self) -> tuple[str, ...]:
        own = () if self.local or self.host in ("0.0.0.0", "::") else (self.written,)
        return tuple(name.lower() for name in (*own, *self.names))


def serve(
    paths: Sequence[Path],
    open_bundle: Opener,
    address: Address,
    token: Token,
    *,
    state: Path,
    limits: Limits,
    open_page: bool,
) -> None:
    """Runs until stopped. Raises click.UsageError, InputError (the port), BundleError,
    KeyboardInterrupt."""
    check(address, token)
    bundles = find_bundles(paths)
    with closing(listen(address.host, address.port)) as listening:
        port = listening.getsockname()[1]
        ticket = secrets.token_urlsafe(24) if open_page else ""
        settings = Settings(
            token.value, port, state, remote=address.remote_names, ticket=ticket, limits=limits
        )
        with closing(Application(bundles, open_bundle, settings)) as application:
            _announce(application, address, token, port)
            if open_page:
                _open_browser(f"http://{address.called}:{port}/?token={ticket}")
            following = FollowReleases(application.asgi, application.desk)
            Server(following, application.answering.stop_all).run([listening])


def check(address: Address, token: Token) -> None:
    """Raises click.UsageError where others could reach the server and that was not said, or not
    prepared."""
    if not _TOKEN.fullmatch(token.value):
        raise click.UsageError(
            "the key must be 16 to 512 letters, digits and ._~-; `openssl rand -hex 32` makes one"
        )
    if address.local:
        return
    if not address.allow_remote or not token.given:
        raise click.UsageError(
            f"--host {address.host}: others on the network could reach this server. That takes "
            "--allow-remote and a key "
            f"of your own, in {_TOKEN_VARIABLE} or --token-file"
        )
    if not address.remote_names:
        raise click.UsageError(
            f"--host {address.host}: name this machine as browsers will call it, with --host-name "
            "NAME"
        )


def read_token(file: Path | None) -> Token:
    """From `file`, else from FIELDPACK_TOKEN, else a new one. Raises InputError."""
    if file is None:
        given = os.environ.get(_TOKEN_VARIABLE, "")
        return Token(given, True) if given else Token(secrets.token_urlsafe(32), False)
    try:
        return Token(file.read_text(encoding="utf-8").strip(), True)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: {getattr(error, 'strerror', None) or error}; want a file with the key"
        ) from None


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any free one. Raises InputError when it cannot be had."""
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(128)
    except OSError as error:
        found.close()
        what = f"{host}:{port}: {error.strerror or error}"
        raise InputError(f"{what}; name another port with --port (0: any free one)") from None
    return found


def _announce(application: Application, address: Address, token: Token, port: int) -> None:
    names = printable(", ".join(bundle.id for bundle in application.desk.bundles))
    key = "<your key>" if token.given else token.value
    click.echo(f"{names}: open http://{address.called}:{port}/?token={key}")
    if not address.local:
        click.echo(
            "This is plain HTTP, and the key travels in it: put a proxy with TLS in front on a "
            "network you share."
        )
    click.echo("Ctrl-C ends.")


def _open_browser(url: str) -> None:
    """In a thread: some browsers keep their caller waiting. The socket listens already."""
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
