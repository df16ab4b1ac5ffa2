"""Where the app writes: one folder, for its user alone."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from fieldpack import InputError
from fieldpack_app.state import append_line, state_folder


@pytest.mark.parametrize(("xdg", "wanted"), [("", "home/.local/state"), ("relative", "home/.local/state"), ("{t}/x", "x")])
def test_the_folder_is_where_others_keep_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, xdg: str, wanted: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", xdg.replace("{t}", str(tmp_path)))
    assert state_folder() == tmp_path / wanted / "fieldpack"
    assert state_folder(tmp_path / "given") == tmp_path / "given"
    assert list(tmp_path.iterdir()) == [], "asking for it makes nothing"


def test_lines_are_added_and_nobody_else_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "state" / "fieldpack" / "lines"
    append_line(path, "one")
    append_line(path, "zwei \ud800")
    assert path.read_text("utf-8") == "one\nzwei \\ud800\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_without_a_home_a_sentence_says_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number: no HOME, and no entry in passwd for its user."""

    def unknown(uid: int) -> NoReturn:
        raise KeyError(uid)

    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(InputError, match="no home folder to keep anything in; name one with --state DIR"):
        state_folder()
    assert state_folder(Path("/srv/state")) == Path("/srv/state")
