"""A night's changes over HTTP: a patch where there is one, the whole file whenever anything about
it is wrong."""

from __future__ import annotations

import lzma
import os
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fakes
import hostile_http
import shipping
from fieldpack.bundle.patch import BLOCK, MAGIC, BadPatch, apply_patch, make_patch
from fieldpack.bundle.release import Release, parse_manifest
from fieldpack_build.ship.repository import Repository, hashed_name


def patched(old: bytes, patch: bytes, size: int, tmp_path: Path) -> bytes:
    (tmp_path / "old").write_bytes(old)
    made: list[bytes] = []
    apply_patch(tmp_path / "old", [patch[:7], patch[7:]], size, made.append)
    return b"".join(made)


def patch_of(old: bytes, new: bytes, folder: Path) -> bytes:
    for name, data in (("a", old), ("b", new)):
        (folder / name).write_bytes(data)
    make_patch(folder / "a", folder / "b", folder / "patch")
    return (folder / "patch").read_bytes()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    blocks=st.integers(0, 40),
    tail=st.integers(0, BLOCK - 1),
    edits=st.lists(
        st.tuples(st.sampled_from(["set", "insert", "drop", "move"]), st.integers(0, 39)),
        max_size=6,
    ),
)
def test_old_and_patch_make_new(
    seed: int,
    blocks: int,
    tail: int,
    edits: list[tuple[str, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder, draw = tmp_path_factory.mktemp("patch"), random.Random(seed)
    old = [draw.randbytes(BLOCK) for _ in range(blocks)] + [draw.randbytes(tail)]
    new = list(old)
    for kind, place in edits:
        place %= max(len(new), 1)
        if kind == "insert" or not new:
            new.insert(place, draw.randbytes(draw.randrange(2 * BLOCK)))
        elif kind == "set":
            new[place] = draw.randbytes(BLOCK)
        elif kind == "drop":
            del new[place]
        else:
            new.insert(0, new.pop(place))
    a, b = b"".join(old), b"".join(new)
    assert patched(a, patch_of(a, b, folder), len(b), folder) == b


def test_a_few_changed_blocks_are_a_small_patch(tmp_path: Path) -> None:
    draw = random.Random(3)
    old = draw.randbytes(1 << 20)
    new = bytearray(old)
    for place in (5, 70_000, 900_000):
        new[place : place + 10] = b"0123456789"
    assert len(patch_of(old, bytes(new), tmp_path)) < 4 * BLOCK


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"FPPATCH9",
        MAGIC,
        MAGIC + b"\x07",
        MAGIC + struct.pack("<BQ", 1, 10**12) + b"x",
        MAGIC + struct.pack("<BQQ", 0, 10**15, 100),
        MAGIC + struct.pack("<BQQ", 0, 0, 0),
        MAGIC + struct.pack("<BQQ", 0, 950, 100),
    ],
    ids=["empty", "other", "ends", "kind", "1 TB", "behind the end", "nothing", "over the end"],
)
def test_a_patch_that_is_none(body: bytes, tmp_path: Path) -> None:
    with pytest.raises(BadPatch):
        patched(bytes(1000), lzma.compress(body), 100, tmp_path)


def test_a_bomb_is_read_no_further_than_the_file_is_long(tmp_path: Path) -> None:
    """256 MB of zeros in 40 KB: what is decompressed is what is asked for."""
    import resource

    body = MAGIC + struct.pack("<BQ", 1, 1000)
    bomb = lzma.compress(body + bytes(256 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert patched(b"old", bomb, 1000, tmp_path) == bytes(1000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10  # KB


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough documents that one of them is a small part of the files."""
    draw = random.Random(4)
    words = ["".join(draw.choices("abcdefghijklmnop", k=6)) for _ in range(3000)]
    chunks = [
        replace(
            fakes.CHUNKS[2],
            document=f"d{n:03}.md",
            title=f"Document {n}",
            text=" ".join(draw.choices(words, k=60)),
        )
        for n in range(200)
    ]
    return shipping.write_quoting_bundle(
        tmp_path_factory.mktemp("library") / "toy-1.0.0", chunks=(*fakes.CHUNKS, *chunks)
    )


def release_of(stick: Path) -> Release:
    offers = Repository(stick).offers()
    path = stick / "targets" / hashed_name("stable/toy.json", offers["stable/toy.json"]["sha256"])
    return parse_manifest(path.read_bytes(), str(path))


def edited(bundle: Path, folder: Path, version: str, text: str) -> Path:
    """Another version with one document changed in place, as a nightly build does it."""
    import shutil

    from fieldpack.passages import DocumentRecord
    from fieldpack.retrieval.embedder import Embedder
    from fieldpack_build.index.writer import IndexWriter

    shutil.copytree(bundle, folder)
    chunk = replace(fakes.CHUNKS[2], document="d007.md", title="Document 7", text=text)
    writer = IndexWriter(folder / "knowledge", dim=fakes.DIM)
    vectors = Embedder.open(folder / "embedder").embed_passages([text])
    writer.add(DocumentRecord("d007.md", "Document 7", f"{version:0>64}", 1), [chunk], vectors)
    assert writer.finish().in_place
    shipping.seal(folder, version=version)
    return folder


def test_an_update_over_http_takes_the_patch(
    library: Path, device: shipping.Device, tmp_path: Path
) -> None:
    yard = shipping.make_yard(tmp_path)
    yard.ship(library, patches=True)
    second = edited(library, tmp_path / "toy-1.1.0", "1.1.0", "The new lamp needs 77 volts.")
    with hostile_http.serving(yard.stick) as server:
        assert device.install(server.url).code == 0
        yard.ship(second, patches=True)
        server.asked.clear()
        done = device.run("update", "--json")
        assert done.code == 0, done.err
        whole = (second / "knowledge" / "chunks.sqlite").stat().st_size
        assert done.json[0]["copied"] < whole / 2
        assert "77 volts" in device.run("ask", "toy", "How many volts does the new lamp need?").out
        assert device.run("verify", "--deep").code == 0
        third = edited(second, tmp_path / "toy-1.2.0", "1.2.0", "The new lamp needs 99 volts.")
        yard.ship(third, patches=True)
        late = shipping.Device(
            tmp_path / "late"
        )  # has release 1, and takes the patch over two releases
        release = release_of(yard.stick)
        found = {file.path: len(file.patches) for file in release.files}
        assert found["knowledge/chunks.sqlite"] == 2
        assert late.install(server.url).code == 0  # a device that has nothing takes whole files
        assert device.run("update").code == 0
        assert "99 volts" in device.run("ask", "toy", "How many volts does the new lamp need?").out


def damage(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        damage(lambda data: data[:-9]),
        damage(lambda data: data + bytes(99)),
        damage(lambda data: os.urandom(len(data))),
        Path.unlink,
    ],
    ids=["cut", "longer", "other", "missing"],
)
def test_whatever_is_wrong_with_a_patch_the_whole_file_is_taken(
    library: Path, device: shipping.Device, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    yard = shipping.make_yard(tmp_path)
    yard.ship(library, patches=True)
    second = edited(library, tmp_path / "toy-1.1.0", "1.1.0", "The new lamp needs 77 volts.")
    with hostile_http.serving(yard.stick) as server:
        assert device.install(server.url).code == 0
        yard.ship(second, patches=True)
        release = release_of(yard.stick)
        for file in release.files:
            for patch in file.patches:
                spoil(yard.stick / "blobs" / "sha256" / patch.blob.sha256)
        done = device.run("update", "--json")
        assert done.code == 0, done.err
        assert done.json[0]["copied"] >= (second / "knowledge" / "chunks.sqlite").stat().st_size
        assert device.run("verify", "--deep").code == 0
        assert not list((device.store / "partial").iterdir())
