"""An OpenAI-compatible chat address: a prompt in, a text out, with patience. Used at build time
only; the key comes from the environment and goes into one header, nowhere else. The standard
library's client: it takes proxies and certificates from the environment, and a build server needs
no more."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from ..errors import SourceError

TRIES = 7
_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_FIRST, _LONGEST = 1.0, 60.0  # seconds between tries; doubled each time: two minutes in all
_HINTS = {
    401: "is the key right?",
    403: "may the key use this model?",
    404: "is the address right, does it end with /v1?",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`url`: up to and with /v1. `sleep`: seconds, for tests."""

    url: str
    model: str
    key: str | None
    temperature: float
    seed: int
    workers: int
    timeout: float
    sleep: Callable[[float], None] = time.sleep

    @property
    def group(self) -> int:
        return self.workers

    def write(self, prompts: Sequence[str], most_tokens: int) -> list[str]:
        """A reply for each prompt, `workers` at a time. Raises SourceError."""
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(lambda prompt: self._ask(prompt, most_tokens), prompts))

    def _ask(self, prompt: str, most_tokens: int) -> str:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": self.temperature,
            "seed": self.seed,
            "max_tokens": most_tokens,
        }
        why = ""
        for number in range(TRIES):
            try:
                return self._text(self._post(body))
            except urllib.error.HTTPError as error:
                why = f"{error.code} {error.reason}"
                if error.code not in _AGAIN:
                    raise SourceError(
                        f"{self._place}: {why}: {_said(error)}{_hint(error.code)}"
                    ) from None
                wait = _asked_to_wait(error)
            except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
                why, wait = str(getattr(error, "reason", error) or type(error).__name__), None
            if number < TRIES - 1:
                self.sleep(min(_FIRST * 2**number if wait is None else wait, _LONGEST))
        raise SourceError(
            f"{self._place}: {why}, {TRIES} times; replies so far are kept: run the same command "
            "again later"
        )

    @property
    def _place(self) -> str:
        base = self.url.rstrip("/")
        return base if base.endswith("/chat/completions") else f"{base}/chat/completions"

    def _post(self, body: dict[str, Any]) -> bytes:
        headers = {"Content-Type": "application/json", "User-Agent": "fieldpack-build"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(
            self._place, json.dumps(body).encode(), headers, method="POST"
        )
        with urllib.request.urlopen(request, timeout=self.timeout) as answer:
            data: bytes = answer.read()
        return data

    def _text(self, data: bytes) -> str:
        try:
            text = json.loads(data)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            begins = data[:120].decode("utf-8", "replace")
            raise SourceError(
                f"{self._place}: answers, but not as an OpenAI-compatible address does: {begins!r}"
            ) from None
        return text if isinstance(text, str) else ""  # null: it called a tool, or was cut


def _asked_to_wait(error: urllib.error.HTTPError) -> float | None:
    """Retry-After in seconds; a date is not read."""
    value = error.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None


def _said(error: urllib.error.HTTPError) -> str:
    text = error.read(2000).decode("utf-8", "replace")
    with suppress(ValueError, LookupError, TypeError):
        text = str(json.loads(text)["error"]["message"])
    return " ".join(text.split())[:200] or "it says no more"


def _hint(code: int) -> str:
    return f"; {_HINTS[code]}" if code in _HINTS else ""
