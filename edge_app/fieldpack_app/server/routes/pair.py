"""GET and POST /pair: a device of the local network turns a one-time code into a key of its own.

The one page and the one form that need no key. They are plain HTML: nothing of the page's is sent
to who has no key."""

from __future__ import annotations

import html
import logging
import secrets
import time
from collections import deque
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ...lan.device_keys import DeviceKeys
from ...lan.pairing import PairingRefused, redeem
from ...terminal.render import printable
from ..errors import HttpError
from ..settings import Settings

_MAX_BODY = 1000  # bytes
_MAX_TRIES, _SECONDS = 10, 60.0  # of all devices together
COOKIE_SECONDS = 180 * 24 * 3600
_log = logging.getLogger("fieldpack.server")
_POLICY = (
    "default-src 'none'; style-src 'nonce-{}'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Fieldpack: pair this device</title>
<style nonce="{nonce}">
body {{ font: 17px/1.5 system-ui, sans-serif; max-width: 24rem; margin: 3rem auto; padding: 0 1rem;
  color-scheme: light dark; }}
label {{ display: block; margin: 1rem 0; }}
input, button {{ font: inherit; width: 100%; box-sizing: border-box; padding: .5rem; }}
</style>
<h1>Pair this device</h1>
<p role="alert">{message}</p>
<form method="post" action="/pair">
<label>The code that the server's terminal shows
<input name="code" value="{code}" autocomplete="one-time-code" inputmode="numeric" required
  maxlength="20"></label>
<label>A name for this device, so that its key can be revoked
<input name="name" maxlength="40" placeholder="Ana's phone" autocomplete="off"></label>
<button>Pair</button>
</form></html>
"""


class PairRoute:
    """Shows the form and takes the code."""

    def __init__(self, settings: Settings, keys: DeviceKeys) -> None:
        self._settings = settings
        self._keys = keys
        self._tries: deque[float] = deque()

    async def form(self, request: Request) -> Response:
        """Return the form, with the code of a QR code in it; it is used when the form is sent, so
        that a program that only looks at addresses uses nothing up."""
        return self._page(request.query_params.get("code", "")[:20], "")

    async def pair(self, request: Request) -> Response:
        """Take a code, and give the device its key as a cookie. Raises HttpError (413, 415, 429)."""
        fields = await self._fields(request)
        self._count_try()
        address = request.client.host if request.client else "?"
        lan = self._settings.lan
        assert lan
        try:
            redeem(lan, fields.get("code", ""))
        except PairingRefused as refused:
            _log.warning("pairing refused to %s: %s", address, refused)
            return self._page("", f"{str(refused)[:1].upper()}{str(refused)[1:]}.", 403)
        key, secret = self._keys.add(printable(fields.get("name", "")))
        _log.warning("paired %s at %s, key %s", key.name, address, key.id)
        response = RedirectResponse("/", 303)
        response.set_cookie(
            self._settings.cookie,
            f"{secret}.{key.id}",
            path="/",
            max_age=COOKIE_SECONDS,
            secure=True,
            httponly=True,
            samesite="strict",
        )
        return response

    def _count_try(self) -> None:
        """Let at most `_MAX_TRIES` through in `_SECONDS`. Raises HttpError (429)."""
        now = time.monotonic()
        while self._tries and now - self._tries[0] > _SECONDS:
            self._tries.popleft()
        if len(self._tries) >= _MAX_TRIES:
            wait = max(round(_SECONDS - (now - self._tries[0])), 1)
            raise HttpError(
                429,
                "too_many_tries",
                f"too many codes were tried; wait {wait} s",
                headers={"Retry-After": str(wait)},
            )
        self._tries.append(now)

    async def _fields(self, request: Request) -> dict[str, str]:
        """Return the fields of the form. Raises HttpError (413, 415)."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise HttpError(415, "not_a_form", "send the form of this page")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_BODY:
                raise HttpError(413, "too_large", f"send at most {_MAX_BODY:,} bytes")
        parsed = parse_qs(body.decode("utf-8", "replace"), max_num_fields=8)
        return {name: values[0] for name, values in parsed.items()}

    def _page(self, code: str, message: str, status: int = 200) -> Response:
        nonce = secrets.token_urlsafe(12)
        text = _PAGE.format(
            nonce=nonce, code=html.escape(printable(code)), message=html.escape(message)
        )
        headers = {
            "Content-Security-Policy": _POLICY.format(nonce),
            # Under no-referrer a browser says of a form that it is from nowhere (Origin: null).
            "Referrer-Policy": "same-origin",
        }
        return HTMLResponse(text, status, headers)
