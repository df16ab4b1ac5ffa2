"""An OpenAI-compatible chat address: a prompt in, a text out, with patience. Used at build time
only; the key comes from the environment and goes into one header, nowhere else. The standard
library's client: it takes proxies and certificates from the environment, and a build server needs
no more."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException

from ..errors import SourceError

TRIES = 7
_RETRIED = {408, 409, 425, 429, 500, 502, 503, 504, 529}
# seconds between tries; doubled each time: two minutes in all
_FIRST_WAIT, _MAX_WAIT = 1.0, 60.0
_HINTS = {
    401: "is the key right?",
    403: "may the key use this model?",
    404: "is the address right, does it end with /v1?",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a served model is reached, and how it is asked. `url`: up to and with /v1. `sleep`:
    waits so many seconds, another one for tests."""

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
        """Prompts that it takes at a time."""
        return self.workers

    def write(self, prompts: Sequence[str], max_tokens: int) -> list[str]:
        """Return a reply for each prompt, `workers` at a time. Raises SourceError."""
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(lambda prompt: self._ask(prompt, max_tokens), prompts))

    def _ask(self, prompt: str, max_tokens: int) -> str:
        """Return the reply to one prompt, after some tries if need be. Raises SourceError."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": self.temperature,
            "seed": self.seed,
            "max_tokens": max_tokens,
        }
        reason = ""
        for number in range(TRIES):
            try:
                return self._post(body)
            except urllib.error.HTTPError as error:
                reason = f"{error.code} {error.reason}"
                if error.code not in _RETRIED:
                    hint = f"; {_HINTS[error.code]}" if error.code in _HINTS else ""
                    raise SourceError(
                        f"{self._place}: {reason}: {_error_text(error)}{hint}"
                    ) from None
                retry_after = error.headers.get("Retry-After", "")
                wait = float(retry_after) if retry_after.isdigit() else None  # a date is not read
            except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
                reason, wait = str(getattr(error, "reason", error) or type(error).__name__), None
            if number < TRIES - 1:
                self.sleep(min(_FIRST_WAIT * 2**number if wait is None else wait, _MAX_WAIT))
        raise SourceError(
            f"{self._place}: {reason}, {TRIES} times; replies so far are kept: run the same command "
            "again later"
        )

    @property
    def _place(self) -> str:
        base = self.url.rstrip("/")
        return base if base.endswith("/chat/completions") else f"{base}/chat/completions"

    def _post(self, body: Mapping[str, object]) -> str:
        """Post a body and return the text of the reply. Raises what urllib raises, and SourceError
        for a reply in another form."""
        headers = {"Content-Type": "application/json", "User-Agent": "fieldpack-build"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(
            self._place, json.dumps(body).encode(), headers, method="POST"
        )
        with urllib.request.urlopen(request, timeout=self.timeout) as answer:
            data: bytes = answer.read()
        try:
            text = json.loads(data)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            begins = data[:120].decode("utf-8", "replace")
            raise SourceError(
                f"{self._place}: answers, but not as an OpenAI-compatible address does: {begins!r}"
            ) from None
        return text if isinstance(text, str) else ""  # null: it called a tool, or was cut


def _error_text(error: urllib.error.HTTPError) -> str:
    """Return the first words of what came with an error."""
    text = error.read(2000).decode("utf-8", "replace")
    with suppress(ValueError, LookupError, TypeError):
        text = str(json.loads(text)["error"]["message"])
    return " ".join(text.split())[:200] or "it says no more"
