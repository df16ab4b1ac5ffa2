"""Who may speak to the server, before any route looks: pure ASGI, so that streams pass as they are.
Knows nothing of routes but the page's, where a browser gets its cookie.

Against a foreign page in the same browser (cross-site requests, DNS rebinding): the Host must be
one of ours, an Origin must be that host's, and a browser that says where a request comes from
(Sec-Fetch-Site) must say from here. `same-site` is not here: another port of this machine is the
same site. Against other users and programs of the machine: the token.
"""

from __future__ import annotations

import re
import secrets
from hmac import compare_digest
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import HttpError
from .http import HEAD
from .responses import error_reply
from .settings import Settings

CLIENT = "fieldpack.client"  # in the scope: whom to be fair to
CLIENT_HEADER = "x-fieldpack-client"
_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_READS = ("GET", "HEAD")
_OPEN = "/health"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "font-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; frame-src 'self'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
_NO_TOKEN = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Fieldpack</title>
<h1>This page needs its key</h1>
<p>Open the whole address that <code>fieldpack serve</code> printed in the terminal, from http:// to its end.</p>
<p>If the server was started again since, it has a new key: take the new address.</p></html>
"""


class AuthMiddleware:
    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._ticket = settings.ticket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = _Exchange(scope, receive, send)
        headers = Headers(scope=scope)
        try:
            _check_head(headers)
            self._check_origin(scope, headers)
            response = self._check_token(scope, headers)
        except HttpError as error:
            response = error_reply(error, scope["path"])
        await (response or self._app)(scope, exchange.receive, exchange.send)

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._settings.hosts:
            names = ", ".join(sorted(self._settings.hosts))
            raise HttpError(
                421, "wrong_host", f"this server answers to {names}; open the address it printed"
            )
        origins = headers.getlist("origin")
        if origins and (len(origins) > 1 or origins[0].lower() not in _origins(hosts[0].lower())):
            raise HttpError(
                403, "wrong_origin", "a page from another address may not use this server"
            )
        came_from = headers.get("sec-fetch-site", "same-origin")
        if came_from != "same-origin" and not (came_from == "none" and scope["method"] in _READS):
            raise HttpError(
                403, "wrong_origin", "a page from another address may not use this server"
            )

    def _check_token(self, scope: Scope, headers: Headers) -> Response | None:
        """None if the request may pass, and the answer to it otherwise; notes whom it is from."""
        if scope["path"] == _OPEN:
            return None
        given = (
            parse_qs(scope["query_string"].decode("latin-1")).get("token")
            if scope["path"] == "/"
            else None
        )
        if given and scope["method"] in _READS:
            return (
                self._login()
                if self._is_token(given[0]) or self._is_ticket(given[0])
                else HTMLResponse(_NO_TOKEN, 401)
            )
        client = self._client(headers)
        if client is not None:
            address = scope["client"][0] if scope.get("client") else ""
            scope[CLIENT] = f"{address} {client}"
            return None
        if scope["method"] in _READS and scope["path"] in ("/", "/report"):
            return HTMLResponse(_NO_TOKEN, 401)
        message = (
            "the key is missing or wrong; send Authorization: Bearer <key>, as the terminal shows "
            "it after token="
        )
        raise HttpError(401, "no_token", message, headers={"WWW-Authenticate": "Bearer"})

    def _login(self) -> Response:
        """A cookie that no script and no other site gets, with a name of this browser's own behind
        the token."""
        response = RedirectResponse("/", 303)
        value = f"{self._settings.token}.{secrets.token_urlsafe(9)}"
        response.set_cookie(
            self._settings.cookie, value, path="/", httponly=True, samesite="strict"
        )
        return response

    def _client(self, headers: Headers) -> str | None:
        """Whom a request with the token is from; None without it."""
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(bearer.strip()):
            name = headers.get(CLIENT_HEADER, "")
            return name if _CLIENT_ID.fullmatch(name) else ""
        for value in self._cookies(headers):
            token, _, browser = value.rpartition(".")
            if self._is_token(token):
                return browser
        return None

    def _cookies(self, headers: Headers) -> list[str]:
        """The values of our cookie. All ports of a host share their cookies: what other servers set
        is no concern of ours, however it is written, so that no parser of whole headers is asked,
        which gives up at the first mistake."""
        pairs = (
            pair.strip().partition("=")
            for header in headers.getlist("cookie")
            for pair in header.split(";")
        )
        return [value.strip('"') for name, _, value in pairs if name == self._settings.cookie]

    def _is_ticket(self, given: str) -> bool:
        """True once."""
        right = bool(self._ticket) and compare_digest(
            given.encode("utf-8", "replace"), self._ticket.encode()
        )
        if right:
            self._ticket = ""
        return right

    def _is_token(self, given: str) -> bool:
        return compare_digest(given.encode("utf-8", "replace"), self._settings.token.encode())


class _Exchange:
    """A request and its response: adds our headers, and closes a connection whose request was not
    read to its end, so that nobody can make us read a gigabyte that we have refused."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        self._unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            named = {name.lower() for name, _ in message["headers"]}
            ours = [
                (name.encode(), value.encode())
                for name, value in _HEADERS.items()
                if name.encode() not in named
            ]
            closing = [(b"connection", b"close")] if self._unread else []
            message = {**message, "headers": [*message["headers"], *ours, *closing]}
        await self._send(message)


def _check_head(headers: Headers) -> None:
    """Bounds and forms that the HTTP parser lets pass."""
    if (
        sum(len(name) + len(value) + 4 for name, value in headers.raw) > HEAD
    ):  # one that came in one piece
        raise HttpError(
            431, "head_too_large", f"the request's head is larger than {HEAD:,} bytes; send less"
        )
    if (
        "transfer-encoding" in headers and "content-length" in headers
    ):  # a proxy in front may read it otherwise
        raise HttpError(
            400,
            "bad_request",
            "Content-Length and Transfer-Encoding exclude each other; send one of them",
        )


def _origins(host: str) -> tuple[str, str]:
    """https is a proxy's in front of us, which passes the Host on."""
    return f"http://{host}", f"https://{host}"
