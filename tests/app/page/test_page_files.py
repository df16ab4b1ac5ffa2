"""What the page's files must and must not hold, without a browser: no way to HTML, no other origin,
all words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

import fieldpack_app
from fieldpack_app.lan.pairing import Reason

PAGE = Path(fieldpack_app.__file__).parent / "page"
LANGUAGES = sorted(path.stem for path in (PAGE / "locales").glob("*.json"))
PLURALS = {
    "pl": {"one", "few", "many", "other"},
    "uk": {"one", "few", "many", "other"},
    "sk": {"one", "few", "many", "other"},
    "ar": {"zero", "one", "two", "few", "many", "other"},
    "zh": {"other"},
}
QUOTES = dict.fromkeys(("ar", "es", "fr", "it", "uk"), "«»") | {
    "de": "„“",
    "sk": "„“",
    "pl": "„”",
}
TO_HTML = "innerHTML|outerHTML|insertAdjacentHTML|document.write|DOMParser|ContextualFragment|setHTML|eval\\(|new Function"


def words(language: str) -> dict[str, Any]:
    """A language's phrases. Of a key that stands there twice a browser would take the last."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        assert len(set(names)) == len(names), sorted(
            name for name in names if names.count(name) > 1
        )
        return dict(pairs)

    text = (PAGE / "locales" / f"{language}.json").read_text(encoding="utf-8")
    phrases: dict[str, Any] = json.loads(text, object_pairs_hook=once)
    return phrases


def scripts() -> str:
    return "\n".join(
        path.read_text(encoding="utf-8") for path in sorted((PAGE / "js").glob("*.js"))
    )


def test_nothing_becomes_html() -> None:
    assert re.findall(TO_HTML, scripts()) == []
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<style|\sstyle=|\son\w+=|<script>", html) == []


def test_nothing_comes_from_elsewhere() -> None:
    text = "".join(
        path.read_text(encoding="utf-8") for path in sorted(PAGE.rglob("*")) if path.is_file()
    )
    assert set(re.findall(r"https?://[^\s\"'`]+", text)) <= {
        "http://www.w3.org/2000/svg"
    }  # a name, not an address
    assert re.findall(r"@import|@font-face|url\(", text) == []


def test_the_menu_offers_the_languages_that_there_are() -> None:
    offered = re.search(
        r"LANGUAGES = \{(.*?)\}", (PAGE / "js" / "i18n.js").read_text(encoding="utf-8"), re.DOTALL
    )
    assert offered and sorted(re.findall(r"(\w\w): ", offered[1])) == LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_everything(language: str) -> None:
    english, these = words("en"), words(language)
    assert list(these) == list(english)
    for key, text in these.items():
        assert type(text) is type(english[key]), key
        forms = text if isinstance(text, dict) else {"other": text}
        if isinstance(text, dict):
            assert set(forms) == PLURALS.get(language, {"one", "other"}), key
        assert all(form.strip() for form in forms.values()), key
        assert blanks(forms["other"]) == blanks(
            english[key]["other"] if isinstance(text, dict) else english[key]
        ), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_quotes_as_it_is_printed(language: str) -> None:
    text = (PAGE / "locales" / f"{language}.json").read_text(encoding="utf-8")
    marks = re.findall(r"[«»„“”‹›‘‚]", text)
    opening, closing = QUOTES.get(language, "“”")
    assert marks == [opening, closing] * (len(marks) // 2) and marks
    assert re.findall(r"\w'\w", text) == [], "an apostrophe of a typewriter"


def test_every_word_is_used_and_every_used_word_is_there() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in PAGE.glob("*.html"))
    used = set(re.findall(r"data-t(?:-label|-title|-placeholder)?=\"(\w+)\"", pages))
    server = "".join(
        path.read_text(encoding="utf-8") for path in (PAGE.parent / "server").rglob("*.py")
    )
    used |= set(re.findall(r"Phrase\(\"(\w+)\"", server))
    used |= {f"pair_{reason}" for reason in get_args(Reason)}
    source = scripts()
    assert used <= set(words("en"))
    assert [
        key
        for key in words("en")
        if key not in used
        and not re.search(rf"[\"`]{key}[\"`]", source)
        and not key.startswith("m_")
    ] == []
    assert set(re.findall(r"\bt\(\"(\w+)\"", source)) <= set(words("en"))


def blanks(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))
