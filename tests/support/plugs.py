"""Faults in the middle of a command, by `strace --inject`: where they can be put, putting one, and
whether the store is sound after it. Used by tests/app/install/test_plugs.py (a few) and
benchmarks/ship_kills.py (all)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fieldpack
import shipping
from fieldpack_app.install.store import Store

PREPARED = "prepared"  # the file that a whole work folder has
FAULTS = ("signal=KILL", "error=ENOSPC", "error=EIO")
_CALLS = (
    "write",
    "fsync",
    "rename",
    "link",
    "unlink",
    "mkdir",
    "rmdir",
    "sendfile",
    "copy_file_range",
    "chmod",
    "symlink",
)
_TRACED = ",".join((*_CALLS, "fdatasync", "renameat", "renameat2", "linkat", "unlinkat", "openat"))
# What each command is tried on: the device as it is before, and the command. {0} is the work
# folder.
SCENES: dict[str, tuple[str, ...]] = {
    "install": ("install", "{0}/stick-1", "--fingerprint", "{1}"),
    "update": ("update", "{0}/stick-2"),
    "rollback": ("rollback", "toy"),
    "gc": ("gc",),
    "runtime": ("update", "{0}/stick-3"),
}
_NEWER = "9.9.0"  # the Fieldpack that the release of stick-3 needs
# The version that is current when the command has ended well, and the one before it.
_AFTER = {
    "install": "1.0.0",
    "update": "1.1.0",
    "rollback": "1.0.0",
    "gc": "1.1.0",
    "runtime": "1.2.0",
}
_BEFORE = {
    "install": None,
    "update": "1.0.0",
    "rollback": "1.1.0",
    "gc": "1.1.0",
    "runtime": "1.0.0",
}
_WORDS = {"1.0.0": "400 hours", "1.1.0": "900 hours", "1.2.0": "1200 hours"}
_SECONDS = 3600.0  # of one command: it may share its machine with a dozen others
_LINE = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)")
_FD = re.compile(r"^\d+<([^>]*)>")
_PATH = re.compile(r'(?:AT_FDCWD(?:<[^>]*>)?, )?"([^"]*)"')


@dataclass(frozen=True)
class Point:
    """The `number`-th call of this kind in the process; `what`: the file it is about."""

    call: str
    number: int
    what: str

    def __str__(self) -> str:
        return f"{self.call} {self.number} ({self.what})"


@dataclass(frozen=True)
class Pulled:
    """`state`: old, new, or none where nothing is installed yet. `wrong`: "" where all is as it
    should be."""

    state: str
    wrong: str


def prepare(work: Path) -> None:
    """Write sticks of two releases, and for each command a device as it is before."""
    work.mkdir(parents=True, exist_ok=True)
    first = shipping.write_quoting_bundle(work / "toy-1.0.0")
    second = shipping.next_version(
        first, work / "toy-1.1.0", "1.1.0", said="Change the filter after 900 hours of use."
    )
    yard = shipping.make_yard(work)
    yard.ship(first, to=work / "stick-1")
    yard.ship(second, to=work / "stick-2")
    (work / "install").mkdir()
    device = shipping.Device(work / "update")
    assert device.install(work / "stick-1").code == 0
    shipping.copy_with_links(work / "update", work / "rollback")
    device = shipping.Device(work / "rollback")
    assert device.run("update", work / "stick-2").code == 0
    assert device.run("ask", "toy", shipping.QUESTION).code == 0
    shipping.copy_with_links(work / "rollback", work / "gc")
    store = work / "gc" / "store"
    (store / "partial" / ("1" * 64)).write_bytes(b"half a file")
    (store / "blobs" / "sha256" / ("2" * 64)).write_bytes(b"a blob of nobody")
    shipping.copy_with_links(
        store / "slots" / shipping.Device(work / "gc").entry()["current"]["digest"],
        store / "slots" / ("3" * 64),
    )
    third = shipping.next_version(
        first, work / "toy-1.2.0", "1.2.0", said="Change the filter after 1200 hours of use."
    )
    yard.ship_with_runtime(third, _NEWER, to=work / "stick-3")
    # Made where it is tried, as the paths of an environment are absolute.
    managed = shipping.Managed(work / "device")
    shipping.copy_with_links(work / "stick-1", work / "stick-0")
    shipping.write_toy_runtime(work / "stick-0")
    managed.make_environment(work / "stick-0")
    assert managed.install(work / "stick-1").code == 0
    shipping.copy_with_links(work / "device", work / "runtime")
    (work / PREPARED).write_text("")


def trace(work: Path, scene: str) -> tuple[list[Point], list[str]]:
    """Run the command once and return every place where a fault can hit the store, and what a power
    cut could undo."""
    device = _fresh(work, scene)
    log = work / f"{scene}.strace"
    done = _strace(
        work, scene, device, "-y", "-s", "4096", "-e", f"trace={_TRACED}", "-o", str(log)
    )
    assert done.returncode == 0, done.stderr
    counts: Counter[str] = Counter()
    points, store = [], str(device.store)
    calls = list(_calls(log))
    for call, arguments, result in calls:
        counts[call] += 1
        if call in _CALLS and store in arguments and result >= 0:
            points.append(Point(call, counts[call], arguments.rpartition(store)[2][:80]))
    return points, list(_unsafe(calls, device.store))


def pull(work: Path, scene: str, point: Point, fault: str) -> Pulled:
    """Run the command with one fault; look at the store; run it again; look again."""
    device = _fresh(work, scene)
    inject = f"inject={point.call}:{fault}:when={point.number}"
    done = _strace(
        work, scene, device, "-e", f"trace={point.call}", "-e", inject, "-o", "/dev/null"
    )
    if "Traceback" in done.stderr:
        return Pulled("", f"a traceback: {done.stderr[-600:]}")
    if done.returncode not in (0, 1, 3, 4, -9, 137):
        return Pulled("", f"exit code {done.returncode}: {done.stderr[-300:]}")
    try:
        version = _sound(device)
    except (AssertionError, fieldpack.FieldpackError) as error:
        return Pulled("", f"broken after the fault: {error}")
    if version not in (_BEFORE[scene], _AFTER[scene]):
        return Pulled("", f"{version} is current")
    state = (
        "none"
        if version is None
        else "new"
        if version == _AFTER[scene] != _BEFORE[scene]
        else "old"
    )
    if scene == "rollback" and version == _AFTER[scene]:
        return Pulled(state, "")  # again would be there and back
    again = device.run(*_words(work, scene), timeout=_SECONDS)
    if again.code:
        return Pulled(state, f"the retry failed: {again.err[-300:]}")
    try:
        version = _sound(device)
    except (AssertionError, fieldpack.FieldpackError) as error:
        return Pulled(state, f"broken after the retry: {error}")
    if version != _AFTER[scene]:
        return Pulled(state, f"{version} is current after the retry")
    left = [
        path.name
        for folder in ("partial", "trust", "slots")
        for path in (device.store / folder).iterdir()
    ]
    if scene == "gc" and len(left) != 3:  # one trust, two slots
        return Pulled(state, f"the retry has left {left}")
    return Pulled(state, "")


def _sound(device: shipping.Device) -> str | None:
    """Return the current version once every file that state.json points to is as signed and it
    answers."""
    store = Store(device.store)
    if not (device.store / "state.json").exists():
        return None
    entry = store.state().bundles["toy"]
    damages = store.damages()
    assert not damages, damages
    with fieldpack.open(store.slot(entry.current.digest)) as expert:
        text = expert.ask(shipping.QUESTION).text
    assert _WORDS[entry.current.version] in text, text
    if isinstance(device, shipping.Managed):
        wanted = _NEWER if entry.current.version == "1.2.0" else fieldpack.__version__
        assert device.version == wanted, f"{entry.current.version} with {device.version}"
    return entry.current.version


def _fresh(work: Path, scene: str) -> shipping.Device:
    """Return a device as it is before the command of a scene."""
    folder = work / "device"
    shutil.rmtree(folder, ignore_errors=True)
    shipping.copy_with_links(work / scene, folder)
    return shipping.Managed(folder) if scene == "runtime" else shipping.Device(folder)


def _words(work: Path, scene: str) -> list[str]:
    digits = shipping.Device(work).fingerprint(work / "stick-1") if scene == "install" else ""
    return [word.format(work, digits) for word in SCENES[scene]]


def _strace(
    work: Path, scene: str, device: shipping.Device, *options: str
) -> subprocess.CompletedProcess[str]:
    """The command's own process is traced, not the child that checks the bundle's health."""
    program = [sys.executable, "-P", "-m", "fieldpack_app.cli"]
    if isinstance(device, shipping.Managed):
        program = [str(device.store / "env" / "current" / "bin" / "fieldpack")]
    return subprocess.run(
        ["strace", *options, *program, *_words(work, scene)],
        env=device.environment(),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )


def _calls(log: Path) -> Iterator[tuple[str, str, int]]:
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if match := _LINE.match(line):
            yield match[1], match[2], int(match[3])


def _unsafe(calls: list[tuple[str, str, int]], store: Path) -> Iterator[str]:
    """Yield what a power cut could undo: a file renamed before it was synced, a folder that got a
    name and was not synced before state.json was replaced or the command ended."""
    inside, trusted = str(store), json.loads((store / "state.json").read_text("utf-8"))["trust"]
    written: set[str] = set()
    renamed_into: dict[str, str] = {}
    for call, arguments, result in calls:
        if result < 0 or inside not in arguments:
            continue
        paths = _PATH.findall(arguments)
        if call in ("write", "sendfile", "copy_file_range") and (found := _FD.match(arguments)):
            written.add(found[1])
        elif call == "openat" and "O_CREAT" in arguments and paths:
            renamed_into.setdefault(str(Path(paths[0]).parent), paths[0])
        elif call == "fsync" and (found := _FD.match(arguments)):
            written.discard(found[1])
            renamed_into.pop(found[1], None)
        elif call in ("link", "linkat", "mkdir") and paths:
            renamed_into[str(Path(paths[-1]).parent)] = paths[-1]
        elif call.startswith("rename") and len(paths) == 2:
            source, target = paths
            if target.endswith("/state.json"):
                for folder, name in renamed_into.items():
                    if _counts(Path(folder), store, trusted):
                        yield (
                            f"state.json was replaced before {folder} was synced, which got {name}"
                        )
            unsynced = {path for path in written if path == source or path.startswith(source + "/")}
            if unsynced and "/.old-" not in target and "/trust/" not in target:
                yield f"{source} was renamed before {sorted(unsynced)[0]} was synced"
            renamed_into.pop(source, None)
            renamed_into[str(Path(target).parent)] = target
    for folder, name in renamed_into.items():
        if _counts(Path(folder), store, trusted) or Path(folder) == store:
            yield f"{folder} was not synced after it got {name}"


def _counts(folder: Path, store: Path, trusted: str) -> bool:
    """Whether a name in this folder must outlive a power cut: not of half-copied files, which are
    copied again, nor of metadata that was read and is not what state.json names (`trusted`), as
    where a newer Fieldpack takes over and reads it for itself."""
    relative = folder.relative_to(store).parts if folder.is_relative_to(store) else ()
    if len(relative) > 1 and relative[0] == "trust":
        return relative[1] == trusted
    return bool(relative) and relative[0] in ("blobs", "slots", "trust")
