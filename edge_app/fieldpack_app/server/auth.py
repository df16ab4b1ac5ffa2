"""Lets only requests through that may speak to the server, before any route sees them. Pure ASGI,
so that streams pass as they are. Knows nothing of routes but the page's, where a browser gets its
cookie.

Against a foreign page in the same browser (cross-site requests, DNS rebinding): the Host must be
one of ours, an Origin must be that host's, and a browser that says where a request comes from
(Sec-Fetch-Site) must say from here. `same-site` is not here: another port of this machine is the
same site. Against other users and programs of the machine: the token.
"""

from __future__ import annotations

import logging
import re
import secrets
from hmac import compare_digest
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fieldpack import InputError

from ..lan.device_keys import DeviceKeys
from .errors import HttpError
from .http import HEAD
from .keyless_page import KeylessPage, Phrase
from .responses import error_reply
from .settings import Settings

CLIENT = "fieldpack.client"  # in the scope: the client that the queue is fair to
CLIENT_HEADER = "x-fieldpack-client"
_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_READS = ("GET", "HEAD")
_OPEN = "/health"
_log = logging.getLogger("fieldpack.server")
PAIR = "/pair"  # open where devices are paired
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


class AuthMiddleware:
    """Checks host, origin and token of every request, and adds the headers of every response."""

    def __init__(self, app: ASGIApp, settings: Settings, keys: DeviceKeys | None = None) -> None:
        """`keys`: of paired devices, which are as good as the token."""
        self._app = app
        self._settings = settings
        self._keys = keys
        self._open = {_OPEN, *([PAIR] if keys else [])}
        self._ticket = settings.ticket
        self._key_page = KeylessPage("key.html")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = _Exchange(scope, receive, send)
        headers = Headers(scope=scope)
        try:
            self._check_head(headers)
            self._check_origin(scope, headers)
            response = self._check_token(scope, headers)
        except HttpError as error:
            response = error_reply(error, scope["path"])
        await (response or self._app)(scope, exchange.receive, exchange.send)

    def _check_head(self, headers: Headers) -> None:
        """Refuse sizes and forms that the HTTP parser lets pass."""
        # More than HEAD if the head came in one piece.
        if sum(len(name) + len(value) + 4 for name, value in headers.raw) > HEAD:
            raise HttpError(
                431,
                "head_too_large",
                f"the request's head is larger than {HEAD:,} bytes; send less",
            )
        # A proxy in front may read it otherwise.
        if "transfer-encoding" in headers and "content-length" in headers:
            raise HttpError(
                400,
                "bad_request",
                "Content-Length and Transfer-Encoding exclude each other; send one of them",
            )

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """Refuse what a page from another address could make a browser send."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._settings.hosts:
            names = ", ".join(sorted(self._settings.hosts))
            raise HttpError(
                421, "wrong_host", f"this server answers to {names}; open the address it printed"
            )
        origins = [origin.lower() for origin in headers.getlist("origin")]
        # Without TLS of our own, https is a proxy's in front of us, which passes the Host on.
        schemes = ("https",) if self._settings.lan else ("http", "https")
        own = [f"{scheme}://{hosts[0].lower()}" for scheme in schemes]
        site = headers.get("sec-fetch-site", "same-origin")
        foreign = bool(origins) and (len(origins) > 1 or origins[0] not in own)
        if foreign or (
            site != "same-origin" and not (site == "none" and scope["method"] in _READS)
        ):
            raise HttpError(
                403, "wrong_origin", "a page from another address may not use this server"
            )

    def _check_token(self, scope: Scope, headers: Headers) -> Response | None:
        """Return None if the request may pass, with its client in the scope, and the response to it
        otherwise. Raises HttpError (401)."""
        if scope["path"] in self._open:
            return None
        tokens = None
        if scope["path"] == "/":
            tokens = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if tokens and scope["method"] in _READS:
            # Perhaps the whole address, put into the page's box.
            key = tokens[0].strip().rpartition("token=")[2]
            if not self._is_own(key) and not self._use_ticket(key):
                language = headers.get("accept-language", "")
                return self._key_page.response(language, 401, Phrase("key_wrong"))
            # A cookie that no script and no other site gets, with a name of this browser's own
            # behind the token.
            response = RedirectResponse("/", 303)
            value = f"{self._settings.token}.{secrets.token_urlsafe(9)}"
            response.set_cookie(
                self._settings.cookie,
                value,
                path="/",
                secure=self._settings.lan is not None,
                httponly=True,
                samesite="strict",
            )
            return response
        client = self._client(headers)
        if client is not None:
            address = scope["client"][0] if scope.get("client") else ""
            scope[CLIENT] = f"{address} {client}"
            return None
        if scope["method"] in _READS and scope["path"] in ("/", "/report"):
            if self._keys:
                return RedirectResponse(PAIR, 303)
            return self._key_page.response(headers.get("accept-language", ""), 401)
        message = (
            "the key is missing or wrong; send Authorization: Bearer <key>, as the terminal shows "
            "it after token="
        )
        raise HttpError(401, "no_token", message, headers={"WWW-Authenticate": "Bearer"})

    def _client(self, headers: Headers) -> str | None:
        """Return the name of the client that a request with the token is from; None without the
        token."""
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(bearer.strip()):
            name = headers.get(CLIENT_HEADER, "")
            return name if _CLIENT_ID.fullmatch(name) else ""
        # All ports of a host share their cookies. What other servers set may be written in any way,
        # and a parser of whole headers gives up at the first mistake.
        cookies = [pair for header in headers.getlist("cookie") for pair in header.split(";")]
        for name, _, value in (cookie.strip().partition("=") for cookie in cookies):
            if name == self._settings.cookie:
                token, _, browser = value.strip('"').rpartition(".")
                if self._is_token(token):
                    return browser
        return None

    def _use_ticket(self, text: str) -> bool:
        """Return whether `text` is the ticket, which is good for one use."""
        right = bool(self._ticket) and compare_digest(
            text.encode("utf-8", "replace"), self._ticket.encode()
        )
        if right:
            self._ticket = ""
        return right

    def _is_own(self, text: str) -> bool:
        """Return whether `text` is the server's token. A device's key is none: it would be turned
        into a cookie that its revocation leaves valid."""
        return compare_digest(text.encode("utf-8", "replace"), self._settings.token.encode())

    def _is_token(self, text: str) -> bool:
        """Return whether `text` is the token, or a paired device's key."""
        if self._is_own(text):
            return True
        try:
            return self._keys is not None and bool(text) and self._keys.find(text) is not None
        except InputError as error:  # a damaged file of keys lets nobody in
            _log.warning("%s", error)
            return False


class _Exchange:
    """One request and its response. Adds our headers, and closes a connection whose request was not
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
