"""The pages for a browser without a key, in its language: the box for the key, the form that pairs a
device. Each is one response, as nothing else is given without a key. Knows nothing of keys."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from pathlib import Path

from starlette.responses import HTMLResponse

_PAGE = Path(__file__).parents[1] / "page"
_RIGHT_TO_LEFT = frozenset(("ar",))
_MESSAGE = re.compile(r'(\s*<p class="wrong" role="alert">)(</p>)')
_WORDS = re.compile(r'(<(\w+)[^>]* data-t="(\w+)"[^>]*>)</\2>')
_PLACEHOLDER = re.compile(r'data-t-placeholder="(\w+)"')
_BOX = re.compile(r'( name="(\w+)" value=)""')
# The names that CLDR gives to the plurals of 1 to 4, the first one that a language has forms for.
_PLURALS = {1: ("one",), 2: ("two", "few"), 3: ("few",), 4: ("few",)}

_Words = Mapping[str, str | Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Phrase:
    """A text of the page's languages, by its name in their files. `n`: the number in it, 0 to 4."""

    name: str
    n: int = 0


class KeylessPage:
    """Writes a page from its HTML, the style of all of them and the words of the languages."""

    def __init__(self, name: str, folder: Path = _PAGE) -> None:
        """`name`: of the HTML's file in `folder`."""
        style = (folder / "css" / "keyless.css").read_text(encoding="utf-8")
        html = (folder / name).read_text(encoding="utf-8")
        self._html = html.replace("<style></style>", f"<style>{style}</style>", 1)
        self._words: dict[str, _Words] = {
            path.stem: json.loads(path.read_text(encoding="utf-8"))
            for path in sorted((folder / "locales").glob("*.json"))
        }
        digest = base64.b64encode(sha256(style.encode()).digest()).decode()
        self._policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
            "base-uri 'none'; frame-ancestors 'none'"
        )

    def response(
        self,
        accept_language: str,
        status: int,
        message: Phrase | None = None,
        *,
        values: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HTMLResponse:
        """Return the page. `message`: why it is shown again. `values`: what its boxes hold, by
        their names."""
        language = self._language(accept_language)
        direction = "rtl" if language in _RIGHT_TO_LEFT else "ltr"
        words, boxes = self._words[language], values or {}
        alert = escape(_text(words, message)) if message else ""
        html = self._html.replace('lang="en" dir="ltr"', f'lang="{language}" dir="{direction}"', 1)
        html = _MESSAGE.sub(lambda tag: f"{tag[1]}{alert}{tag[2]}" if alert else "", html)
        html = _WORDS.sub(
            lambda tag: f"{tag[1]}{escape(_text(words, Phrase(tag[3])))}</{tag[2]}>", html
        )
        html = _PLACEHOLDER.sub(
            lambda tag: f'placeholder="{escape(_text(words, Phrase(tag[1])))}"', html
        )
        html = _BOX.sub(lambda box: f'{box[1]}"{escape(boxes.get(box[2], ""))}"', html)
        return HTMLResponse(
            html, status, {"content-security-policy": self._policy, **(headers or {})}
        )

    def _language(self, accept_language: str) -> str:
        """Return the first language of the browser's that there are words for."""
        for tag in accept_language.split(","):
            name = tag.partition(";")[0].strip().lower().partition("-")[0]
            if name in self._words:
                return name
        return "en"


def _text(words: _Words, phrase: Phrase) -> str:
    """Return a phrase in the language of `words`, with its number."""
    entry = words[phrase.name]
    if not isinstance(entry, str):
        names = (name for name in _PLURALS.get(phrase.n, ()) if name in entry)
        entry = entry[next(names, "other")]
    return entry.replace("{n}", str(phrase.n))
