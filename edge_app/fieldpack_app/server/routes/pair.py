"""GET and POST /pair: a device of the local network turns a one-time code into a key of its own.

The one page and the one form that need no key, but for the box that takes it. Nothing else of the
page's is sent to who has no key."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fieldpack import InputError

from ...lan.device_keys import DeviceKeys, TooManyKeys
from ...lan.pairing import PairingRefused, redeem
from ...terminal.render import printable
from ..errors import HttpError
from ..keyless_page import KeylessPage, Phrase
from ..settings import Settings

_MAX_BODY = 1000  # bytes
_MAX_TRIES, _SECONDS = 10, 60.0  # of all devices together
COOKIE_SECONDS = 180 * 24 * 3600
_log = logging.getLogger("fieldpack.server")
# Under no-referrer a browser says of a form that it is from nowhere (Origin: null).
_HEADERS = {"referrer-policy": "same-origin"}


class PairRoute:
    """Shows the form and takes the code."""

    def __init__(self, settings: Settings, keys: DeviceKeys) -> None:
        self._settings = settings
        self._keys = keys
        self._tries: deque[float] = deque()
        self._keyless = KeylessPage("pair.html")

    async def form(self, request: Request) -> Response:
        """Return the form, with the code of a QR code in it; it is used when the form is sent, so
        that a program that only looks at addresses uses nothing up."""
        return self._page(request, 200, code=request.query_params.get("code", "")[:20])

    async def pair(self, request: Request) -> Response:
        """Take a code, and give the device its key as a cookie; where the code lets nobody in,
        return the form again, which says why, as it does where the file of keys is damaged. Raises
        HttpError (408, 413, 415)."""
        fields = await self._fields(request)
        address = request.client.host if request.client else "?"
        lan, name = self._settings.lan, fields.get("name", "")
        assert lan
        if wait := self._count_try():
            headers = {"retry-after": str(wait)}
            message = Phrase("pair_too_many")
            return self._page(request, 429, message, name=name, headers=headers)
        try:
            self._keys.all()  # first: where they cannot be read, the code stays good
            redeem(lan, fields.get("code", ""))
            key, secret = self._keys.add(printable(name))
        except (PairingRefused, TooManyKeys) as refused:
            _log.warning("pairing refused to %s: %s", address, refused)
            message = Phrase("pair_full")
            if isinstance(refused, PairingRefused):
                message = Phrase(f"pair_{refused.reason}", refused.left)
            return self._page(request, 403, message, name=name)
        except (InputError, OSError) as error:
            _log.error("pairing failed: %s", error)
            code = fields.get("code", "")[:20]
            return self._page(request, 500, Phrase("pair_failed"), code=code, name=name)
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

    def _count_try(self) -> int:
        """Count a try and return 0; beyond `_MAX_TRIES` in `_SECONDS` return how many seconds from
        now the next one is let through."""
        now = time.monotonic()
        while self._tries and now - self._tries[0] > _SECONDS:
            self._tries.popleft()
        if len(self._tries) >= _MAX_TRIES:
            return max(round(_SECONDS - (now - self._tries[0])), 1)
        self._tries.append(now)
        return 0

    async def _fields(self, request: Request) -> dict[str, str]:
        """Return the fields of the form. Raises HttpError (408, 413, 415)."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise HttpError(415, "not_a_form", "send the form of this page")
        body, seconds = bytearray(), self._settings.limits.body_seconds
        try:
            async with asyncio.timeout(seconds):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > _MAX_BODY:
                        raise HttpError(413, "too_large", f"send at most {_MAX_BODY:,} bytes")
        except TimeoutError:
            message = f"the form took more than {seconds:g} s; send it again"
            raise HttpError(408, "too_slow", message) from None
        parsed = parse_qs(body.decode("utf-8", "replace"), max_num_fields=8)
        return {name: values[0] for name, values in parsed.items()}

    def _page(
        self,
        request: Request,
        status: int,
        message: Phrase | None = None,
        *,
        code: str = "",
        name: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        return self._keyless.response(
            request.headers.get("accept-language", ""),
            status,
            message,
            values={"code": printable(code), "name": name},
            headers={**_HEADERS, **(headers or {})},
        )
