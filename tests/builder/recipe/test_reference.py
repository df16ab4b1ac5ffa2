"""docs/recipe.md is written from the recipe's types, and says something of every key."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "docs" / "recipe_reference.py"


def test_the_page_is_what_the_command_writes() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_page_of_other_words_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / SCRIPT.name
    copy.write_text(SCRIPT.read_text(encoding="utf-8"), encoding="utf-8")
    page = SCRIPT.with_name("recipe.md").read_text(encoding="utf-8")
    (tmp_path / "recipe.md").write_text(page.replace("`16`", "`8`"), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", [str(copy), "--check"])
    with pytest.raises(SystemExit, match="is not what"):
        runpy.run_path(str(copy), run_name="__main__")
    monkeypatch.setattr(sys, "argv", [str(copy)])
    runpy.run_path(str(copy), run_name="__main__")
    assert (tmp_path / "recipe.md").read_text(encoding="utf-8") == page


def test_every_key_has_a_type_and_a_sentence() -> None:
    sections, rows_of = (runpy.run_path(str(SCRIPT))[name] for name in ("sections", "rows_of"))
    keys = 0
    for path, section in sections():
        for key, kind, _default, _bounds, sentence in rows_of(section):
            where = f"{'.'.join(path)}.{key}"
            assert kind, where
            assert re.fullmatch(r"(?:[A-Z./`]|[a-z]+ ).*\.", sentence), f"{where}: {sentence!r}"
            keys += 1
    assert keys > 120
