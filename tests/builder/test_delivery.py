"""A bundle comes whole to where it is wanted, and nothing of somebody else's goes."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fieldpack.bundle.manifest import (
    Manifest,
    describe_files,
    read_manifest,
    verify,
    write_manifest,
)
from fieldpack.errors import BundleCorrupt
from fieldpack_build.bundle.deliver import check_target, deliver, is_delivered, replaced_contents
from fieldpack_build.errors import MachineError, OutputExists


def seal(folder: Path, *, name: str = "tiny", version: str = "1.0.0", text: str = "one") -> Path:
    """A bundle as far as delivery knows it: files and their manifest."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "model.onnx").write_text(text)
    (folder / "prompt.json").write_text("{}")
    write_manifest(folder, Manifest(name, version, files=describe_files(folder)))
    return folder


def test_a_fresh_target(tmp_path: Path) -> None:
    bundle, target = seal(tmp_path / "bundle"), tmp_path / "dist" / "deep" / "tiny-1.0.0"
    check_target(target, "tiny")
    assert not is_delivered(bundle, target)
    deliver(bundle, target)
    verify(target, read_manifest(target))
    assert is_delivered(bundle, target)
    assert list(target.parent.iterdir()) == [target]  # nothing left beside


def test_an_earlier_one_of_the_name_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "dist"
    deliver(seal(tmp_path / "old", text="a longer one"), target)
    fresh = seal(tmp_path / "new", version="1.1.0")
    assert not is_delivered(fresh, target)
    check_target(target, "tiny")
    deliver(fresh, target)
    assert (
        read_manifest(target).version == "1.1.0"
        and (target / "model" / "model.onnx").read_text() == "one"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dist", "new", "old"]


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    check_target(tmp_path / "dist", "tiny")
    deliver(seal(tmp_path / "bundle"), tmp_path / "dist")
    assert is_delivered(tmp_path / "bundle", tmp_path / "dist")


def test_what_is_not_ours_is_refused(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.txt").write_text("years of work")
    file = thesis / "chapter.txt"
    other = seal(tmp_path / "other", name="clinic", version="2.0.0")
    for target, what in (
        (thesis, "something that is no bundle"),
        (file, "something that is no bundle"),
        (other, "the bundle clinic 2.0.0"),
    ):
        with pytest.raises(OutputExists) as caught:
            check_target(target, "tiny")
        assert (
            str(caught.value) == f"{target}: holds {what}; remove it or name another folder with -o"
        )
    assert caught.value.exit_code == 11


def test_a_damaged_delivery_is_seen_and_made_again(tmp_path: Path) -> None:
    bundle, target = seal(tmp_path / "bundle"), tmp_path / "dist"
    for damage in ("truncate", "extra", "missing", "manifest"):
        deliver(bundle, target)
        assert is_delivered(bundle, target)
        match damage:
            case "truncate":
                (target / "model" / "model.onnx").write_text("")
            case "extra":
                (target / "model" / "note.txt").write_text("")
            case "missing":
                (target / "prompt.json").unlink()
            case "manifest":
                (target / "manifest.json").write_text("{}")
        assert not is_delivered(bundle, target), damage
        shutil.rmtree(target)


def test_a_copy_that_does_not_verify_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "dist"
    deliver(seal(tmp_path / "old"), target)
    bad = seal(tmp_path / "bad", version="1.1.0")
    (bad / "model" / "model.onnx").write_text("two")  # the disk lied: the same size, other bytes
    with pytest.raises(BundleCorrupt, match=r"model/model\.onnx: sha256 differs"):
        deliver(bad, target)
    assert is_delivered(tmp_path / "old", target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad", "dist", "old"]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may grow past `size` bytes, as with `ulimit -f`; Python ignores the
    signal, so that a write fails with an errno."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """It said "None": copytree's error has no number and no words of its own."""
    bundle, target = seal(tmp_path / "bundle", text="x" * 500_000), tmp_path / "dist"
    with largest_file(100_000), pytest.raises(MachineError) as caught:
        deliver(bundle, target)
    said = str(caught.value)
    assert "model.onnx: no space left on the disk" in said and "None" not in said
    assert f"the bundle is safe in {bundle}, -o brings it to another folder" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    bundle, target = seal(tmp_path / "bundle"), tmp_path / "dist"
    (bundle / "prompt.json").unlink()
    (bundle / "prompt.json").symlink_to(tmp_path / "nowhere")
    with pytest.raises(MachineError, match=r"dist: .*No such file or directory.*(nowhere|prompt)"):
        deliver(bundle, target)


def killed_process() -> int:
    """Return the number of a process that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


@pytest.mark.parametrize("number", [killed_process, os.getpid])
def test_an_old_bundle_that_a_killed_delivery_had_moved_away_comes_back(
    number: Callable[[], int], tmp_path: Path
) -> None:
    """Killed between its two renames; then the next one fails, too."""
    target = tmp_path / "dist"
    old = seal(tmp_path / f".dist.old-{number()}")
    seal(tmp_path / f".dist.new-{number()}", version="1.1.0")
    bad = seal(tmp_path / "bad", version="1.1.0")
    (bad / "model" / "model.onnx").write_text("two")
    with pytest.raises(BundleCorrupt):
        deliver(bad, target)
    assert read_manifest(target).version == "1.0.0" and not old.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad", "dist"]


def test_half_of_an_old_bundle_does_not_come_back(tmp_path: Path) -> None:
    """Killed while it removed the old one; later somebody removed the new one."""
    old = seal(tmp_path / f".dist.old-{killed_process()}")
    (old / "model" / "model.onnx").unlink()
    deliver(seal(tmp_path / "new", version="1.1.0"), tmp_path / "dist")
    assert read_manifest(tmp_path / "dist").version == "1.1.0"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dist", "new"]


@pytest.mark.parametrize("made", ["", "dist/deep"])
def test_a_place_where_nothing_can_be_written_is_refused_before_a_build(
    tmp_path: Path, made: str
) -> None:
    (tmp_path / "file").write_text("a file is no folder")
    for target in (Path("/proc/nope/x"), Path("/sys/x"), tmp_path / "file" / made / "x"):
        with pytest.raises(MachineError, match="no bundle can be written there") as caught:
            check_target(target, "tiny")
        assert str(caught.value).startswith(f"{target}: ")
    check_target(tmp_path / made / "tiny-1.0.0", "tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["file"], "looking leaves nothing behind"


def test_a_place_that_refuses_at_the_end_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("came while it was built")
    with pytest.raises(MachineError, match="the bundle is safe in"):
        deliver(seal(tmp_path / "bundle"), tmp_path / "file" / "dist" / "x")


def test_what_the_same_version_held_before_is_told(tmp_path: Path) -> None:
    """It may have been shipped: two bundles of one version cannot be told apart by people."""

    def bundle(name: str, version: str = "1.0.0", **sources: str) -> Path:
        folder = seal(tmp_path / name, text=name)
        stages = {"knowledge": {"key": name, "sources": sources}}
        files = read_manifest(folder).files
        write_manifest(
            folder, Manifest("tiny", version, files=files, provenance={"stages": stages})
        )
        return folder

    old = bundle("old", a="1", b="2")
    fresh = bundle("fresh", a="9", c="3")
    assert replaced_contents(fresh, old) == "other documents: 1 added, 1 removed, 1 changed"
    assert replaced_contents(bundle("again", a="1", b="2"), old) == (
        "the same documents, built otherwise"
    )
    assert replaced_contents(bundle("next", "1.1.0", a="9"), old) == ""
    assert replaced_contents(old, old) == "" == replaced_contents(old, tmp_path / "nothing")
