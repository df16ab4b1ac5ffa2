"""The plug is pulled in the middle of a command: a few places here, all of them in
benchmarks/ship_kills.py."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import plugs

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="no strace here")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugs") / "work"
    plugs.prepare(folder)
    return folder


@pytest.mark.parametrize("scene", plugs.SCENES)
def test_a_fault_leaves_the_old_release_or_the_new(work: Path, scene: str) -> None:
    points, unsafe = plugs.trace(work, scene)
    assert not unsafe, unsafe
    renames = [point for point in points if point.call == "rename"]
    assert len(points) > 10 or scene == "rollback"
    # The pointer itself, the first thing written, and two between: each with a fault of its own
    # kind.
    pointer = next((point for point in renames if "state.json" in point.what), points[-1])
    chosen = [points[0], points[len(points) // 3], points[2 * len(points) // 3], pointer]
    for number, point in enumerate(chosen):
        said = plugs.pull(work, scene, point, plugs.FAULTS[number % len(plugs.FAULTS)])
        assert not said.wrong, f"{point}: {said.wrong}"


def test_the_pointer_is_what_counts(work: Path) -> None:
    """Killed when it is about to replace state.json, the old release is current; an instant later,
    the new one."""
    points, _ = plugs.trace(work, "update")
    (pointer,) = [
        point for point in points if point.call == "rename" and "state.json" in point.what
    ]
    assert plugs.pull(work, "update", pointer, "signal=KILL").state == "old"
    after = points[points.index(pointer) + 1]
    assert after.call == "fsync"
    assert plugs.pull(work, "update", after, "signal=KILL").state == "new"
