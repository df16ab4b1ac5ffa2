"""A damaged bundle is refused with a sentence, whatever the damage."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fakes
import fieldpack
from fieldpack.bundle.manifest import (
    FileEntry,
    Manifest,
    describe_files,
    read_manifest,
    verify,
    write_manifest,
)

same_folder = settings(max_examples=100)
# What JSON can hold: no lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
names = st.from_regex(r"[a-z0-9 _-]{1,8}([/.][a-z0-9 _-]{1,8}){0,2}", fullmatch=True)
manifests = st.builds(
    Manifest,
    name=texts,
    version=texts,
    description=texts,
    files=st.lists(
        st.builds(FileEntry, names, texts, st.integers(0, 2**60), texts), max_size=4
    ).map(tuple),
    limits=st.dictionaries(texts, st.integers(0, 2**60), max_size=3),
    compat=st.dictionaries(texts, plain, max_size=3),
    provenance=st.dictionaries(texts, plain, max_size=3),
)


def small_bundle(folder: Path) -> Path:
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "weights").write_bytes(b"0123456789" * 100)
    (folder / "prompt.json").write_text("{}")
    write_manifest(folder, Manifest("n", "1", files=describe_files(folder)))
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return small_bundle(tmp_path / "b")


def edit(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@same_folder
@given(manifest=manifests)
def test_a_written_manifest_reads_back_equal(tmp_path: Path, manifest: Manifest) -> None:
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest


def test_an_untouched_bundle_verifies(sealed: Path) -> None:
    manifest = read_manifest(sealed)
    verify(sealed, manifest)
    assert manifest.has("model") and manifest.has("knowledge") and not manifest.has("wings")
    files = (p for p in sealed.rglob("*") if p.is_file() and p.name != "manifest.json")
    assert manifest.size == sum(p.stat().st_size for p in files)


def change(folder: Path) -> None:
    data = bytearray((folder / "model/weights").read_bytes())
    data[500] ^= 1
    (folder / "model/weights").write_bytes(data)


def truncate(folder: Path) -> None:
    (folder / "model/weights").write_bytes(b"0123")


def swap_for_folder(folder: Path) -> None:
    (folder / "prompt.json").unlink()
    (folder / "prompt.json").mkdir()


def link(folder: Path) -> None:
    shutil.copy(folder / "prompt.json", folder.parent / "elsewhere")
    (folder / "prompt.json").unlink()
    (folder / "prompt.json").symlink_to(folder.parent / "elsewhere")


def pipe(folder: Path) -> None:
    (folder / "prompt.json").unlink()
    os.mkfifo(folder / "prompt.json")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (change, "model/weights: sha256 differs"),
        (truncate, "model/weights: 4 bytes, the manifest says 1000"),
        (lambda f: (f / "prompt.json").unlink(), "prompt.json: missing"),
        (lambda f: (f / "model/run.py").write_text("x"), "model/run.py: not in the manifest"),
        (swap_for_folder, "prompt.json: missing"),
        (link, "a link or a device"),
        (lambda f: (f / "more").symlink_to(f.parent), "a link or a device"),
        (pipe, "a link or a device"),
    ],
)
def test_each_damage_is_named(small: Path, damage: Callable[[Path], object], words: str) -> None:
    damage(small)
    with pytest.raises(fieldpack.BundleCorrupt, match=words):
        verify(small, read_manifest(small))


def test_quick_verification_sees_sizes_and_not_contents(small: Path) -> None:
    change(small)
    verify(small, read_manifest(small), contents=False)
    truncate(small)
    with pytest.raises(fieldpack.BundleCorrupt, match="4 bytes"):
        verify(small, read_manifest(small), contents=False)


def test_many_problems_are_one_short_sentence(small: Path) -> None:
    for i in range(50):
        (small / f"extra{i:02}").write_text("")
    with pytest.raises(fieldpack.BundleCorrupt, match=r"extra00.*extra02.*\(and 47 more\)"):
        verify(small, read_manifest(small))


@pytest.mark.parametrize(
    ("schema", "error"),
    [
        ("2.0", fieldpack.BundleUnsupported),
        ("0.9", fieldpack.BundleUnsupported),
        ("1", fieldpack.BundleCorrupt),
        ("one.two", fieldpack.BundleCorrupt),
        (None, fieldpack.BundleCorrupt),
        ("9" * 5000 + ".0", fieldpack.BundleCorrupt),
    ],
)
def test_another_schema_is_refused(small: Path, schema: object, error: type[Exception]) -> None:
    edit(small, schema=schema)
    with pytest.raises(error):
        read_manifest(small)


def test_a_later_minor_schema_is_read_and_what_it_adds_ignored(small: Path) -> None:
    edit(small, schema="1.7", colour="green")
    assert read_manifest(small).schema == (1, 7)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../x", "a\\..\\x", "C:x", "", "a\0b", ".."]
)
def test_a_path_that_leaves_the_bundle_is_refused(small: Path, name: str) -> None:
    edit(small, files=[{"path": name, "role": "model", "size": 1, "sha256": "0"}])
    with pytest.raises(fieldpack.BundleCorrupt, match="leaves the bundle"):
        read_manifest(small)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{",
        b'{"kind": "other"}',
        b"[" * 100_000,
        b"1" * 5000,
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_manifest_is_corrupt(small: Path, content: bytes) -> None:
    (small / "manifest.json").write_bytes(content)
    with pytest.raises(fieldpack.BundleCorrupt):
        read_manifest(small)


@pytest.mark.parametrize(
    "entry",
    [
        {"path": "x"},
        "x",
        None,
        5,
        {"path": "x", "role": "r", "size": float("inf"), "sha256": ""},
        {"path": "x", "role": "r", "size": "many", "sha256": ""},
    ],
)
def test_a_mistyped_file_entry_is_corrupt(small: Path, entry: object) -> None:
    edit(small, files=[entry])
    with pytest.raises(fieldpack.BundleCorrupt):
        read_manifest(small)


@pytest.mark.parametrize(
    "name", ["x" * 5000, "a/" * 3000 + "b", "\ud800", "model", "model//weights", "./prompt.json"]
)
def test_an_odd_name_is_missing_and_no_crash(small: Path, name: str) -> None:
    edit(small, files=[{"path": name, "role": "model", "size": 1, "sha256": "0"}])
    with pytest.raises(fieldpack.BundleCorrupt, match="missing"):
        verify(small, read_manifest(small))


@same_folder
@given(data=st.data())
def test_random_damage_of_the_manifest_raises_bundle_errors_only(
    tmp_path: Path, data: st.DataObject
) -> None:
    folder = tmp_path / "b"
    if not folder.exists():
        small_bundle(folder)
        shutil.copy(folder / "manifest.json", tmp_path / "good.json")
    content = bytearray((tmp_path / "good.json").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
        if not content:
            break
    (folder / "manifest.json").write_bytes(content)
    with contextlib.suppress(fieldpack.BundleError):
        verify(folder, read_manifest(folder))


def test_open_names_what_is_wrong(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(fieldpack.BundleNotFound, match="no bundle here"):
        fieldpack.open(tmp_path / "nothing")
    with pytest.raises(fieldpack.BundleNotFound):
        fieldpack.open("a\0b")
    shutil.rmtree(bundle / "model")
    fakes.reseal(bundle)
    with pytest.raises(fieldpack.BundleCorrupt, match="no model"):
        fieldpack.open(bundle)
