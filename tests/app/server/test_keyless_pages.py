"""The pages for a browser without a key, in every language that there are words for."""

from __future__ import annotations

import base64
import html
import json
import re
from hashlib import sha256
from typing import Any, get_args

import pytest
from starlette.responses import HTMLResponse

from fieldpack_app.lan.pairing import TRIES, Reason
from fieldpack_app.server.keyless_page import KeylessPage, Phrase
from fieldpack_app.server.routes.static import PAGE

WORDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((PAGE / "locales").glob("*.json"))
}
PAGES = {name: KeylessPage(name) for name in ("key.html", "pair.html")}
MESSAGES = [
    "key_wrong",
    "pair_too_many",
    "pair_full",
    "pair_failed",
    *(f"pair_{one}" for one in get_args(Reason)),
]


def text_of(response: HTMLResponse) -> str:
    return bytes(response.body).decode()


def alerts(response: HTMLResponse) -> list[str]:
    found = re.findall(r'<p class="wrong" role="alert">(.*?)</p>', text_of(response))
    return [html.unescape(one) for one in found]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("language", WORDS)
def test_a_page_is_whole_in_every_language(language: str, name: str) -> None:
    text = text_of(PAGES[name].response(f"{language}-XX", 200))
    direction = "rtl" if language == "ar" else "ltr"
    assert f'<html lang="{language}" dir="{direction}">' in text
    named = re.findall(r'data-t="(\w+)">([^<]*)</', text)
    assert len(named) == text.count("data-t=") >= 4
    assert [html.unescape(said) for _, said in named] == [WORDS[language][key] for key, _ in named]
    assert ("placeholder=" in text) is (name == "pair.html") and "data-t-placeholder" not in text
    box = re.search(r'<input id="(?:token|code)"[^>]*>', text)
    assert box and 'dir="ltr"' in box[0], "keys and codes are written from left to right"


@pytest.mark.parametrize("language", WORDS)
def test_each_message_is_in_every_language(language: str) -> None:
    for name in MESSAGES:
        words = WORDS[language][name]
        if isinstance(words, str):
            assert alerts(PAGES["pair.html"].response(language, 403, Phrase(name))) == [words]
            continue
        for n in range(1, TRIES):
            (said,) = alerts(PAGES["pair.html"].response(language, 403, Phrase(name, n)))
            assert said in {form.replace("{n}", str(n)) for form in words.values()}
    assert alerts(PAGES["pair.html"].response(language, 200)) == []


def test_the_plurals_are_those_of_a_browser() -> None:
    import browsing

    counts = list(range(1, TRIES))
    with browsing.chromium() as browser:
        forms = browser.new_page().evaluate(
            "([names, counts]) => names.map((name) => {"
            "  const rules = new Intl.PluralRules(name);"
            "  return counts.map((n) => rules.select(n));"
            "})",
            [list(WORDS), counts],
        )
    for language, names in zip(WORDS, forms, strict=True):
        for n, form in zip(counts, names, strict=True):
            expected = WORDS[language]["pair_wrong"][form].replace("{n}", str(n))
            page = PAGES["pair.html"].response(language, 403, Phrase("pair_wrong", n))
            assert alerts(page) == [expected], (language, n, form)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_may_load_nothing_and_its_style_is_the_one_that_the_policy_names(name: str) -> None:
    response = PAGES[name].response("uk", 200, Phrase("key_wrong"), values={"code": "1"})
    (style,) = re.findall(r"<style>(.*?)</style>", text_of(response), re.DOTALL)
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    assert response.headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    assert (
        re.findall(r"src=|href=|url\(|@import|<script|\sstyle=|\son\w+=", text_of(response)) == []
    )


def test_what_a_box_holds_is_text_alone() -> None:
    evil = '"><script>alert(1)</script><p data-t="key_title"></p>'
    text = text_of(PAGES["pair.html"].response("en", 200, values={"code": evil, "name": evil}))
    assert "<script" not in text
    assert text.count('data-t="') == 5
    boxes = [html.unescape(box) for box in re.findall(r' value="([^"]*)"', text)]
    assert boxes == [evil, evil]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("xx, *;q=0.5", "en"),
        ("uk-UA,uk;q=0.9,en;q=0.8", "uk"),
        ("sk-SK", "sk"),
        ("xx, AR-EG;q=0.4, de", "ar"),
        ("../../en, en", "en"),
        (",;=," * 2000, "en"),
    ],
)
def test_the_first_language_that_there_are_words_for_is_taken(header: str, language: str) -> None:
    assert f'<html lang="{language}"' in text_of(PAGES["key.html"].response(header, 401))
