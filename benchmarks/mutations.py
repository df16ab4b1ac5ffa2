"""Mutations of a bundle's files, and what becomes of a command on each: bit flips, swapped and cut
blocks, JSON values of wrong types, SQL of other schemas, vectors of another shape. The bundle is
sealed anew after each, so that only what is *in* the files can be wrong. Knows nothing of servers.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldpack.bundle.manifest import FILENAME
from fieldpack.child import python

QUESTION = "What does the A class cost a year?"
SECONDS = 10.0
_POLL_SECONDS = 0.05
_WRONG: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    3.5,
    1e400,
    10**30,
    "",
    "x" * 5000,
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    "\udce9",
)
_ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS {} FROM n"
_CELLS: tuple[Any, ...] = (None, -1, 1 << 62, 0.5, "text", "[1]", "{", b"\xff\xfe", b"", "\x00")


@dataclass(frozen=True)
class Outcome:
    """`kind`: "refused" (exit code 3 and a sentence; of `doctor` also 1 and a finding), "answered"
    (0); or what must not be: "signal", "hang", "traceback", "other". `file`: the one that was
    mutated, below the bundle. `seconds`: by the clock. `peak_mb`: the largest resident memory of the command's process."""

    mutation: str
    command: str
    kind: str
    says: str
    seconds: float
    peak_mb: float

    @property
    def file(self) -> str:
        return self.mutation.partition(": ")[0]

    @property
    def held(self) -> bool:
        return self.kind in ("refused", "answered")


def mutated(bundle: Path, folder: Path, seed: int) -> str:
    """Write a mutated copy of `bundle` to `folder`, and say what was done. The same seed does the
    same; seeds that follow one another take the files in turn, the manifest among them."""
    chance = random.Random(seed)
    shutil.copytree(bundle, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = files[seed % len(files)]
    ways: list[Callable[[Path, random.Random], str]] = [_flip, _swap, _cut, _fill]
    if path.suffix == ".json":
        ways = [_wrong_type] * 4 + [_flip, _cut]
    if path.suffix == ".sqlite":
        ways = [_wrong_cell] * 4 + [_view, _flip, _swap, _cut, _fill]
    done = chance.choice(ways)(path, chance)
    if path != folder / FILENAME:
        seal(folder)
    return f"{path.relative_to(folder)}: {done}"


def seal(folder: Path) -> None:
    """Set sizes and SHA-256s in the manifest to those of the files."""
    manifest = json.loads((folder / FILENAME).read_text(encoding="utf-8"))
    for entry in manifest["files"]:
        data = (folder / entry["path"]).read_bytes()
        entry |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / FILENAME).write_text(json.dumps(manifest), encoding="utf-8")


def outcome(folder: Path, mutation: str, command: str, *, seconds: float = SECONDS) -> Outcome:
    """Run one command on the bundle in `folder`, in a process of its own that is ended after
    `seconds`, as `_wait` counts them."""
    arguments = [command, str(folder), *([QUESTION] if command in ("ask", "search") else [])]
    threads = ["--threads", "1"] if command != "info" else []
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            python("-m", "fieldpack_app.cli", *arguments, *threads),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        hung, status, usage = _wait(process.pid, seconds)
        code = process.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    took, peak_mb = time.monotonic() - started, usage.ru_maxrss / 1024
    if hung:
        return Outcome(mutation, command, "hang", f"more than {seconds:g} s", took, peak_mb)
    kind = {0: "answered", 3: "refused"}.get(code, "signal" if code < 0 else "other")
    if command == "doctor" and code == 1 and "to put right" in text:
        kind = "refused"
    if "Traceback" in text or "Exception ignored" in text:
        kind = "traceback"
    says = text.strip().splitlines()[-1] if text.strip() else ""
    return Outcome(mutation, command, kind, f"{code}: {says}", took, peak_mb)


def _wait(pid: int, seconds: float) -> tuple[bool, int, resource.struct_rusage]:
    """Wait for a child, and end it after `seconds` in which it ran or slept; while it waits for a
    processor or a disk, which others may have, no time is counted. Returns whether it was ended so,
    its status and what it used."""
    slept = 0.0
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return False, status, usage
        ran, sleeps = _activity(pid)
        slept += _POLL_SECONDS * sleeps
        if ran + slept > seconds:
            os.kill(pid, signal.SIGKILL)
            return True, *os.wait4(pid, 0)[1:]
        time.sleep(_POLL_SECONDS)


def _activity(pid: int) -> tuple[float, bool]:
    """Return the processor's time that a process has used, in seconds, and whether all its threads
    sleep just now (proc(5))."""
    ticks, states = 0, set()
    for path in (Path(f"/proc/{pid}/stat"), *Path(f"/proc/{pid}/task").glob("*/stat")):
        with suppress(OSError):  # a thread that has ended meanwhile
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            states.add(fields[0])
            ticks = max(ticks, int(fields[11]) + int(fields[12]))  # the process's are the most
    return ticks / os.sysconf("SC_CLK_TCK"), states == {"S"}


def walk(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of each value in a JSON document, the document's own among them."""
    yield path
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, value in items:
        yield from walk(value, (*path, key))


def _wrong_type(path: Path, chance: random.Random) -> str:
    data = json.loads(path.read_text(encoding="utf-8"))
    place = chance.choice(list(walk(data)))
    wrong = chance.choice(_WRONG)
    if place:
        at = data
        for key in place[:-1]:
            at = at[key]
        at[place[-1]] = wrong
    path.write_text(json.dumps(data if place else wrong), encoding="utf-8")
    return f"{path.name}: {'.'.join(map(str, place)) or 'all of it'} is {wrong!r:.40}"


def _wrong_cell(path: Path, chance: random.Random) -> str:
    with closing(sqlite3.connect(path)) as database:
        table = chance.choice(_tables(database))
        column = chance.choice([row[1] for row in database.execute(f"PRAGMA table_info({table})")])
        value = chance.choice(_CELLS)
        some = (
            ""
            if chance.random() < 0.5
            else f"WHERE {column} = (SELECT {column} FROM {table} ORDER BY random() LIMIT 1)"
        )
        with suppress(sqlite3.Error), database:  # a column may hold no NULL, or be a key
            database.execute(f"UPDATE OR IGNORE {table} SET {column} = ? {some}", (value,))
    return f"{table}.{column} is {value!r:.40} {some[:5]}"


def _tables(database: sqlite3.Connection) -> list[str]:
    names = (
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%' "
        "ORDER BY name"
    )
    return [row[0] for row in database.execute(names)]


def _view(path: Path, chance: random.Random) -> str:
    with closing(sqlite3.connect(path)) as database:
        table = chance.choice([name for name in _tables(database) if not name.startswith("words")])
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        database.execute(f"DROP TABLE {table}")
        database.execute(f"CREATE VIEW {table} AS {_ENDLESS.format(', i AS '.join(columns))}")
        database.commit()
    return f"{table} is an endless view"


def _flip(path: Path, chance: random.Random) -> str:
    data = bytearray(path.read_bytes())
    count = min(chance.choice((1, 3, 64)), 8 * len(data))
    for _ in range(count):
        at = chance.randrange(len(data))
        data[at] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    return f"{count} bits flipped"


def _swap(path: Path, chance: random.Random) -> str:
    data = bytearray(path.read_bytes())
    size = max(len(data) // chance.choice((4, 20, 100)), 1)
    one, other = (chance.randrange(max(len(data) - size, 1)) for _ in range(2))
    data[one : one + size], data[other : other + size] = (
        data[other : other + size],
        data[one : one + size],
    )
    path.write_bytes(data)
    return f"{size} bytes at {one} and {other} swapped"


def _cut(path: Path, chance: random.Random) -> str:
    data = path.read_bytes()
    kept = chance.choice(
        (0, 1, len(data) // 2, max(len(data) - 1, 0), chance.randrange(len(data) + 1))
    )
    path.write_bytes(data[:kept])
    return f"cut off after {kept} of {len(data)} bytes"


def _fill(path: Path, chance: random.Random) -> str:
    data = bytearray(path.read_bytes())
    start = chance.randrange(len(data) + 1)
    size = min(chance.choice((4, 64, 4096)), len(data) - start)
    data[start : start + size] = chance.choice((b"\0", b"\xff")) * size
    path.write_bytes(data)
    return f"{size} bytes at {start} set to one value"
