"""Characters that nobody sees, or that change the order of others, are shown as escapes: on a
terminal, in JSON, on the page. What is stored and quoted keeps them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import fakes
import fieldpack
from fieldpack.bundle.manifest import read_manifest, write_manifest
from fieldpack.child import python
from fieldpack.passages import Chunk
from fieldpack_app.terminal import render
from serving import server_process

OVERRIDE, SPACE, TAG, C1 = "\u202e", "\u200b", "\U000e0041", "\x9b"
NAME = f"fees{OVERRIDE}fdp.exe"
TEXT = f"The zebra {OVERRIDE}costs{SPACE} 5 euros{TAG} a year{C1}31m."
DOM = (
    Path(fieldpack.__file__).parent.parent.parent
    / "edge_app"
    / "fieldpack_app"
    / "page"
    / "js"
    / "dom.js"
)
# Text as people write it, which must stay as it is.
PLAIN = (
    "می\u200cخواهم",
    "क्\u200dष",
    "👩\u200d🔧",
    "❤\ufe0f",
    "שלום\u200f 3",
    "e\u0301\u200d",
    "soft\u00adhyphen",
    "naïve\tß",
)
SHOWN = {
    NAME: r"fees\u202efdp.exe",
    f"a{SPACE}b": r"a\u200bb",
    TAG: r"\U000e0041",
    "a\u200db": r"a\u200db",
    "\ufeffa": r"\ufeffa",
    "\u2066a\u2069": r"\u2066a\u2069",
    "a\u200eb": r"a\u200eb",
    "a\u2028b": r"a\u2028b",
    "x\ufff9y": r"x\ufff9y",
}


@pytest.fixture(scope="module")
def hostile(exported_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    chunks = (
        *fakes.CHUNKS,
        Chunk(NAME, f"Zoo{OVERRIDE}", 3, (f"Zebras{SPACE}",), 0, len(TEXT), TEXT),
    )
    return fakes.write_bundle(
        tmp_path_factory.mktemp("hidden") / "tiny-1.0.0", model=exported_llama, chunks=chunks
    )


def lines(*arguments: object) -> str:
    done = subprocess.run(
        python("-m", "fieldpack_app.cli", *map(str, arguments)),
        capture_output=True,
        timeout=120,
        check=True,
    )
    return done.stdout.decode()


@pytest.mark.parametrize("text", SHOWN)
def test_hidden_characters_are_shown_as_escapes(text: str) -> None:
    assert render.printable(text) == SHOWN[text]
    assert len(render.plain(text)) == len(text)


@pytest.mark.parametrize("text", PLAIN)
def test_joiners_of_scripts_that_need_them_stay(text: str) -> None:
    assert render.printable(text) == text
    assert render.dumps(text) == json.dumps(text, ensure_ascii=False)


@pytest.mark.parametrize("text", [*SHOWN, *PLAIN, C1, "\x7f", "\ud800"])
def test_json_has_the_same_value_and_nothing_that_a_terminal_obeys(text: str) -> None:
    written = render.dumps({text: [text]})
    assert json.loads(written) == {text: [text]}
    assert not any("\x7f" <= c <= "\x9f" or c in "\u202e\u2066\U000e0041" for c in written)


def test_search_on_a_terminal_and_as_json(hostile: Path) -> None:
    shown = lines("search", hostile, "zebra", "-k", "1", "--threads", "1")
    assert not {OVERRIDE, SPACE, TAG, C1} & set(shown)
    assert (
        r"fees\u202efdp.exe" in shown
        and r"\u202ecosts\u200b 5 euros\U000e0041" in shown
        and r"Zebras\u200b" in shown
    )
    data = lines("search", hostile, "zebra", "-k", "1", "--threads", "1", "--json")
    assert not {OVERRIDE, SPACE, TAG, C1} & set(data)
    assert json.loads(data)[0]["text"] == TEXT and json.loads(data)[0]["document"] == NAME


def test_a_joiner_that_comes_as_a_piece_of_its_own_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], expert: fieldpack.Expert
) -> None:
    monkeypatch.setattr(render, "on_terminal", lambda: True)
    done = next(event for event in expert.stream("zebra") if isinstance(event, fieldpack.Done))

    def events() -> Iterator[fieldpack.Event]:
        yield from map(fieldpack.TextPiece, ("می", "\u200c", "خواهم", "a", "\u200c", "b"))
        yield done

    render.stream_text(events())
    assert capsys.readouterr().out == "می\u200cخواهمa\\u200cb\n"


def test_serve_prints_a_bundle_s_name_as_it_may_be_shown(sealed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sealed, tmp_path / "bundle"))
    manifest = read_manifest(folder)
    object.__setattr__(manifest, "name", f"tiny{OVERRIDE}\x1b[2J")
    write_manifest(folder, manifest)
    with server_process(folder, "--port", 0, "--threads", 1, home=tmp_path) as (_, line):
        assert line.startswith("tiny\\u202e\ufffd[2J-1.0.0: open http://")


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_the_page_shows_the_same_escapes() -> None:
    """Its own function, in a JavaScript engine: what a terminal leaves as it is the page does, too."""
    texts = [*SHOWN, *PLAIN]
    source = DOM.read_text(encoding="utf-8").replace("export ", "")
    code = f"{source}\nconsole.log(JSON.stringify({json.dumps(texts)}.map(visible)))"
    done = subprocess.run(
        ["node", "-e", code], capture_output=True, text=True, timeout=120, check=True
    )
    escape = re.compile(r"\\U000(\w{5})|\\u(\w{4})")
    shown = [
        escape.sub(lambda found: f"\\u{{{found[1] or found[2]}}}", render.printable(text))
        for text in texts
    ]
    assert json.loads(done.stdout) == shown
