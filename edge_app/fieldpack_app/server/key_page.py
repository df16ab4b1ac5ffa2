"""The page for a browser without the key: a box for it, in the browser's language. All of it is in
one response, as nothing else is given without the key. Knows nothing of keys."""

from __future__ import annotations

import base64
import json
import re
from hashlib import sha256
from html import escape
from pathlib import Path

from starlette.responses import HTMLResponse

_PAGE = Path(__file__).parents[1] / "page"
_RIGHT_TO_LEFT = frozenset(("ar",))
_WRONG = re.compile(r'\s*<p class="wrong".*?</p>', re.DOTALL)
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_WORDS = re.compile(r'(<(\w+)[^>]* data-t="(\w+)"[^>]*>)</\2>')


class KeyPage:
    """Writes the page from `key.html` and the words of the page's languages."""

    def __init__(self, folder: Path = _PAGE) -> None:
        self._html = (folder / "key.html").read_text(encoding="utf-8")
        self._words: dict[str, dict[str, str]] = {
            path.stem: json.loads(path.read_text(encoding="utf-8"))
            for path in sorted((folder / "locales").glob("*.json"))
        }
        style = _STYLE.search(self._html)
        assert style
        digest = base64.b64encode(sha256(style[1].encode()).digest()).decode()
        self._policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
            "base-uri 'none'; frame-ancestors 'none'"
        )

    def response(self, accept_language: str, *, wrong: bool) -> HTMLResponse:
        """Return the page with status 401. `wrong`: a key was given, and is not the server's."""
        language = self._language(accept_language)
        direction = "rtl" if language in _RIGHT_TO_LEFT else "ltr"
        words = self._words[language]
        html = self._html if wrong else _WRONG.sub("", self._html)
        html = html.replace('lang="en" dir="ltr"', f'lang="{language}" dir="{direction}"', 1)
        html = _WORDS.sub(lambda tag: f"{tag[1]}{escape(words[tag[3]])}</{tag[2]}>", html)
        return HTMLResponse(html, 401, headers={"content-security-policy": self._policy})

    def _language(self, accept_language: str) -> str:
        """Return the first language of the browser's that there are words for."""
        for tag in accept_language.split(","):
            name = tag.partition(";")[0].strip().lower().partition("-")[0]
            if name in self._words:
                return name
        return "en"
