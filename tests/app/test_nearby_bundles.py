"""A command that is given no bundle names those that may have been meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from fieldpack_app.cli import cli


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with bundles, as far as their names are read, in it and in dist."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in ("ward", "dist/ward-0.2.0", "dist/ward-0.10.0", "dist/finance-1.0.0"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    (tmp_path / "letters").mkdir()
    return tmp_path


def said(*arguments: str) -> str:
    result = CliRunner().invoke(cli, list(arguments))
    assert result.exit_code == 3, result.output
    return result.stderr


@pytest.mark.parametrize("command", [("ask", "wrad", "Who?"), ("info", "wrad")])
def test_a_slip_in_the_name(here: Path, command: tuple[str, ...]) -> None:
    assert "wrad: no bundle here; did you mean ward, dist/ward-0.10.0, dist/ward-0.2.0?" in said(
        *command
    )


def test_the_name_without_its_version(here: Path) -> None:
    assert "did you mean dist/finance-1.0.0?" in said("ask", "finance", "Who?")
    assert "did you mean dist/finance-1.0.0?" in said("ask", "dist/finance-1.0.1", "Who?")


def test_a_folder_of_bundles_lists_them(here: Path) -> None:
    names = "dist/finance-1.0.0, dist/ward-0.10.0, dist/ward-0.2.0"
    assert f"but a folder of bundles; name one: {names}" in said("ask", "dist", "Who?")


def test_where_nothing_is_like_it_the_old_sentence_stays(here: Path) -> None:
    assert "name what `build recipe` wrote" in said("ask", "zoology", "Who?")
    assert "name what `build recipe` wrote" in said("ask", "letters", "Who?")
