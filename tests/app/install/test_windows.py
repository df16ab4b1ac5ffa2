"""Windows, as far as another system can say: every module of the app loads without what only POSIX
has, and the locks that stand in for flock keep two processes apart. A child takes POSIX's modules
away and puts `msvcrt` on top of the kernel's own byte-range locks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import shipping

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there it is the real thing")

_LIKE_WINDOWS = """
import asyncio, ctypes, fcntl, importlib, os, pkgutil, sys, types
import onnxruntime, tokenizers, numpy, usearch.index, anyio, click, starlette, uvicorn.main
import logging.handlers, multiprocessing, socketserver, tempfile, webbrowser, tuf.ngclient, urllib3

def locking(descriptor, mode, length):
    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, length, 0, os.SEEK_CUR)

sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
for name in ("O_CLOEXEC", "O_NONBLOCK", "pread"):
    delattr(os, name)
sys.platform = "win32"
"""


def run(program: str, *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-c", _LIKE_WINDOWS + program, *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_every_module_of_the_app_loads() -> None:
    program = """
import fieldpack_app
names = [one.name for one in pkgutil.walk_packages(fieldpack_app.__path__, "fieldpack_app.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""
    out, err = run(program).communicate(timeout=120)
    assert not err and int(out) > 50, err


_HOLD = """
from fieldpack_app import locks
descriptor = os.open(sys.argv[1], os.O_RDWR)
print(getattr(locks, sys.argv[2])(descriptor), flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ("try_exclusive", "try_exclusive", False),
        ("try_exclusive", "try_shared", False),
        ("try_shared", "try_exclusive", False),
        ("try_shared", "try_shared", True),
    ],
)
def test_locks_without_flock(tmp_path: Path, first: str, second: str, both: bool) -> None:
    file = tmp_path / "lock"
    file.touch()
    holder = run(_HOLD, file, first)
    assert holder.stdout is not None and holder.stdout.readline() == "True\n"
    out, err = run(_HOLD, file, second).communicate("\n", timeout=120)
    assert out == f"{both}\n", err
    holder.kill()
    holder.communicate()
    out, err = run(_HOLD, file, second).communicate("\n", timeout=120)
    assert out == "True\n", err  # a killed process has given it back


def test_a_store_and_a_log_without_posix(shipped: shipping.Yard, tmp_path: Path) -> None:
    """Installs, looks, collects and notes a line with those modules gone."""
    program = """
from pathlib import Path
from fieldpack_app.install.installer import InstallOptions, install
from fieldpack_app.install.store import Store
from fieldpack_app.state import append_line
store = Store(Path(sys.argv[1]))
(outcome,) = install(store, sys.argv[2], InstallOptions(fingerprint=sys.argv[3]))
with store.lock():
    assert store.collect()[0] == []
assert store.damages() == []
store.mark_read(store.state().bundles["toy"].current.digest)
for line in "ab":
    append_line(Path(sys.argv[4]), line)
print(outcome.action, Path(sys.argv[4]).read_text().split())
"""
    digits = shipping.Device(tmp_path).fingerprint(shipped.stick)
    arguments = (tmp_path / "store", shipped.stick, digits, tmp_path / "log" / "log")
    out, err = run(program, *arguments).communicate(timeout=120)
    assert out == "installed ['a', 'b']\n", err
