"""A stage's folder is there whole or not at all, and a changed source is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpack_build.errors import MachineError
from fieldpack_build.pipeline.store import (
    RECEIPT,
    Receipt,
    Store,
    default_cache,
    files_of,
    fingerprint,
)

KEY = fingerprint("a key")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def finish(store: Store, key: str = KEY) -> Path:
    partial = store.begin("train", key, keep=False)
    (partial / "adapter").mkdir()
    (partial / "adapter" / "weights.bin").write_bytes(b"12345678")
    (partial / "log.txt").write_text("chatter")
    receipt = Receipt(
        "train", "tiny", key, {"code": 1}, {}, files_of(partial), 1.5, 200.0, {"steps": 3}, ("one",)
    )
    return store.commit(partial, receipt)


def test_a_fingerprint_never_moves() -> None:
    """Written down: a change here would make everybody's cache worthless."""
    assert fingerprint(
        {"stage": "train", "code": 1, "settings": {"lr": 1e-4, "on": True, "no": None, "ü": ["a"]}}
    ) == ("8029a8426d9a02348b7e54f36baed3b683fcd8a02b1578c786c90b154ca46196")


@given(st.dictionaries(st.text(), JSON, min_size=2, max_size=5))
def test_a_fingerprint_knows_no_order(value: dict[str, object]) -> None:
    assert fingerprint(value) == fingerprint(dict(reversed(value.items())))
    assert fingerprint(value) != fingerprint({**value, "one more": 1})


def test_commit_then_find(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.find("train", KEY) is None
    folder = finish(store)
    found = store.find("train", KEY)
    assert found and (found.recipe, found.result, found.warnings) == (
        "tiny",
        {"steps": 3},
        ("one",),
    )
    assert found.files == {"adapter/weights.bin": 8}
    assert folder == store.folder("train", KEY) and not store.partial("train", KEY).exists()


def test_commit_again_replaces(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (finish(store) / "stale").touch()
    assert not (finish(store) / "stale").exists()


def test_a_partial_is_never_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = finish(store)
    folder.rename(store.partial("train", KEY))
    assert store.find("train", KEY) is None


def test_what_an_interrupted_run_left_is_kept_only_where_it_helps(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (store.begin("train", KEY, keep=True) / "checkpoint").touch()
    assert (store.begin("train", KEY, keep=True) / "checkpoint").exists()
    assert not (store.begin("train", KEY, keep=False) / "checkpoint").exists()


def test_a_truncated_file_is_not_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (finish(store) / "adapter" / "weights.bin").write_bytes(b"1234")
    assert store.find("train", KEY) is None


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (finish(store) / "adapter" / "weights.bin").unlink()
    assert store.find("train", KEY) is None


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"\0" * 40, b"\xff\xfe", b"[]", b"{}", b'{"warnings": 3}', b'{"files": []}'],
)
def test_a_damaged_receipt_is_not_found(tmp_path: Path, damage: bytes) -> None:
    store = Store(tmp_path)
    (finish(store) / RECEIPT).write_bytes(damage)
    assert store.find("train", KEY) is None


def test_another_key_of_the_same_beginning_is_not_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    finish(store)
    assert store.find("train", KEY[:20] + "0" * 44) is None


def test_the_hash_of_a_changed_file_is_read_again(tmp_path: Path) -> None:
    store, file = Store(tmp_path / "cache"), tmp_path / "rows.jsonl"
    file.write_text("one")
    before = file.stat().st_mtime_ns
    first = store.hash_files([file])
    file.write_text("two")  # the same size
    os.utime(file, ns=(before, before + 1))
    second = store.hash_files([file])
    assert first != second
    file.write_text("one")
    os.utime(file, ns=(before, before + 2))
    assert store.hash_files([file]) == first


def test_the_hash_of_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    """Size and time are what is looked at; so a file changed behind both is what proves that
    nothing was read."""
    store, file = Store(tmp_path / "cache"), tmp_path / "model.safetensors"
    file.write_text("one")
    first, stat = store.hash_files([file]), file.stat()
    file.write_text("two")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert store.hash_files([file]) == first


def test_files_follow_links_and_leave_receipt_and_log_out(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "config.json").write_text("{}")
    stage = tmp_path / "stage"
    stage.mkdir()
    (stage / "model").symlink_to(tmp_path / "source")
    for name in (RECEIPT, "log.txt", "chat.json"):
        (stage / name).write_text("1234")
    assert files_of(stage) == {"chat.json": 4, "model/config.json": 2}


def test_a_second_build_is_told_that_the_cache_is_in_use(tmp_path: Path) -> None:
    script = "import sys, pathlib; from fieldpack_build.pipeline.store import Store\n"
    script += (
        "with Store(pathlib.Path(sys.argv[1])).lock(): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout and other.stdout.readline() == "held\n"
        with pytest.raises(MachineError) as caught, Store(tmp_path).lock():
            pass
        assert (
            str(caught.value)
            == f"{tmp_path}: another build is using this cache; wait for it or name --cache"
        )
        other.kill()  # however it ends, the lock goes with it
    with Store(tmp_path).lock():
        pass


def test_the_cache_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("FIELDPACK_CACHE", raising=False)
    assert default_cache() == tmp_path / "xdg" / "fieldpack"
    monkeypatch.setenv("FIELDPACK_CACHE", str(tmp_path / "mine"))
    assert default_cache() == tmp_path / "mine"


def test_discard_leaves_the_others(tmp_path: Path) -> None:
    store, other = Store(tmp_path), fingerprint("another key")
    finish(store)
    finish(store, other)
    store.discard("train", KEY)
    assert store.find("train", KEY) is None
    assert store.find("train", other)
