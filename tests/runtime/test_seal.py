"""The seal of an opened bundle, whose files are changed and linked while a thread hashes them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import fieldpack.bundle.seal
from fieldpack.bundle.manifest import read_manifest, verify
from fieldpack.bundle.seal import Seal
from fieldpack.errors import BundleCorrupt

LINKED, CHANGED = "knowledge/vectors.bin", "embedder/model.onnx"
MOST_LINES = 200  # of seal.py, that the hashing of one file can run


def _sealed(bundle: Path) -> Seal:
    manifest = read_manifest(bundle)
    return Seal(bundle, manifest, verify(bundle, manifest, contents=True))


def _link(path: Path, beside: Path) -> None:
    """Give a file one more name: only the time of its inode's last change is another then."""
    beside.unlink(missing_ok=True)
    os.link(path, beside)


def _change_unnoticed(path: Path) -> None:
    """Change a file's last byte, and set its times back: it looks like one that was linked. The
    kernel's clock for inodes turns every few milliseconds; the change waits for that."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _wait_for_hashing() -> None:
    """Wait until no thread hashes, one that is just being started among them."""
    while hashing := [thread for thread in threading.enumerate() if thread.name == "seal"]:
        if hashing[0].ident is None:
            time.sleep(0.001)
        else:
            hashing[0].join()


def _run_at_line(number: int, action: Any) -> Any:
    """Return a trace function that runs `action` in another thread before the `number`th line of
    seal.py that a thread runs. It waits until the action is done, or clearly waits for a lock that
    the traced thread holds."""
    lines = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        if frame.f_code.co_filename != fieldpack.bundle.seal.__file__:
            return None
        if event == "line" and threading.current_thread().name == "seal":
            lines += 1
            if lines == number:
                doing = threading.Thread(target=action)
                doing.start()
                doing.join(0.2)
                trace.doing = doing  # type: ignore[attr-defined]
        return trace

    trace.doing = None  # type: ignore[attr-defined]
    return trace


def test_a_file_that_changes_at_any_moment_of_another_s_hashing_is_noticed(bundle: Path) -> None:
    """All interleavings, by line: the change came after the thread had seen that nothing waits, and
    before it said that it ends."""
    good = (bundle / CHANGED).read_bytes()
    tried = 0
    for number in range(1, MOST_LINES):
        (bundle / CHANGED).write_bytes(good)
        seal = _sealed(bundle)

        def change(seal: Seal = seal) -> None:
            _change_unnoticed(bundle / CHANGED)
            seal.check()

        _link(bundle / LINKED, bundle.parent / "linked")
        trace = _run_at_line(number, change)
        threading.settrace(trace)
        try:
            seal.check()
            _wait_for_hashing()
            if (doing := trace.doing) is None:
                break  # the thread has fewer lines
            doing.join()
            _wait_for_hashing()
        finally:
            threading.settrace(None)  # type: ignore[arg-type]
        tried += 1
        with pytest.raises(BundleCorrupt, match=CHANGED):
            seal.check()
    assert 5 < tried < MOST_LINES - 1


def test_a_linked_file_is_accepted_once_it_was_hashed(bundle: Path) -> None:
    seal = _sealed(bundle)
    _link(bundle / LINKED, bundle.parent / "linked")
    seal.check()
    _wait_for_hashing()
    seal.check()
    assert not seal.broken and "seal" not in {one.name for one in threading.enumerate()}


def test_a_changed_file_that_looks_linked_is_found(bundle: Path) -> None:
    seal = _sealed(bundle)
    _change_unnoticed(bundle / CHANGED)
    seal.check()
    _wait_for_hashing()
    with pytest.raises(BundleCorrupt, match="has changed since the bundle was verified"):
        seal.check()
