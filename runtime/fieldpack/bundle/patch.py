"""A file as its difference to an earlier one: runs copied from that and bytes of its own,
compressed. For knowledge files, of which a night's new documents change some blocks in place. Knows
nothing of releases; whoever applies a patch checks the result's hash."""

from __future__ import annotations

import hashlib
import lzma
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

MAGIC = b"FPPATCH1"
# Blocks are compared where they begin at a multiple of this: SQLite's pages are 4,096 bytes, a vector
# of 384 values in f16 is 768. For 1% changed of 20,000 chunks the patches have 474 KB with 256, 531
# with 512, 650 with 1,024 and 863 with 4,096; halving it doubles the memory that making one takes.
BLOCK = 512
_COPY, _OWN = (
    struct.Struct("<BQQ"),
    struct.Struct("<BQ"),
)  # 0, offset, length; 1, length, then the bytes
_MOST_MEMORY = 64 << 20  # bytes that the decompression may take: preset 6 needs 9 MB
_PIECE = 1 << 18


class BadPatch(Exception):
    """The patch is no patch, or does not fit the file it is applied to, or would make another size
    than announced."""


def make_patch(old: Path, new: Path, out: Path) -> int:
    """Write the patch that makes `new` of `old`; return its size. Takes some 60 bytes of memory a
    block of `old`."""
    where: dict[bytes, int] = {}
    for number, block in enumerate(_blocks(old)):
        where.setdefault(_digest(block), number * BLOCK)
    with out.open("wb") as file, lzma.open(file, "wb", preset=6) as packed:
        packed.write(MAGIC)
        for kind, offset, data in _runs(new, where):
            if kind == "copy":
                packed.write(_COPY.pack(0, offset, len(data)))
            else:
                packed.write(_OWN.pack(1, len(data)))
                packed.write(data)
    return out.stat().st_size


def apply_patch(
    old: Path, patch: Iterable[bytes], size: int, write: Callable[[bytes], None]
) -> None:
    """Make the new file from `old` and the pieces of a patch, calling `write` with its bytes in
    order: `size` of them.

    Keeps a few hundred KB in memory, whatever the patch claims. Raises BadPatch."""
    stream = _Stream(patch)
    done, end = 0, old.stat().st_size
    with old.open("rb") as file:
        if stream.read(len(MAGIC)) != MAGIC:
            raise BadPatch("it does not begin as one")
        while done < size:
            (kind,) = stream.read(1)
            if kind == 0:
                offset, length = struct.unpack("<QQ", stream.read(16))
            elif kind == 1:
                offset, (length,) = 0, struct.unpack("<Q", stream.read(8))
            else:
                raise BadPatch(f"it has a run of kind {kind}")
            if not 0 < length <= size - done:
                raise BadPatch(f"it makes more than {size:,} bytes")
            if kind == 0 and offset + length > end:
                raise BadPatch("it copies from behind the old file's end")
            done += length
            pieces = _copied(file, offset, length) if kind == 0 else stream.pieces(length)
            for piece in pieces:
                write(piece)


def _runs(new: Path, where: dict[bytes, int]) -> Iterator[tuple[str, int, bytes]]:
    """Yield (copy, offset in the old file, the bytes) and (own, 0, the bytes), blocks that follow
    one another joined."""
    kind, begin, data = "", 0, bytearray()
    for block in _blocks(new):
        offset = where.get(_digest(block))
        if offset is None:
            joins = kind == "own" and len(data) < _PIECE
        else:
            joins = kind == "copy" and offset == begin + len(data) and len(data) < _PIECE
        if not joins:
            if data:
                yield kind, begin, bytes(data)
            kind, begin, data = (
                ("own", 0, bytearray()) if offset is None else ("copy", offset, bytearray())
            )
        data += block
    if data:
        yield kind, begin, bytes(data)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def _digest(block: bytes) -> bytes:
    return hashlib.blake2b(block, digest_size=16).digest()


def _copied(file: BinaryIO, offset: int, length: int) -> Iterator[bytes]:
    file.seek(offset)
    while length:
        piece = file.read(min(_PIECE, length))
        if not piece:
            raise BadPatch("the old file was cut off while it was read")
        length -= len(piece)
        yield piece


class _Stream:
    """The decompressed bytes of a patch, as many at a time as are asked for."""

    def __init__(self, packed: Iterable[bytes]) -> None:
        self._packed = iter(packed)
        self._inflate = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_MEMORY)
        self._ready = b""

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes, a few only."""
        return b"".join(self.pieces(count))

    def pieces(self, count: int) -> Iterator[bytes]:
        while count:
            if not self._ready:
                self._ready = self._more()
            piece, self._ready = self._ready[:count], self._ready[count:]
            count -= len(piece)
            yield piece

    def _more(self) -> bytes:
        try:
            while not self._inflate.eof:
                packed = next(self._packed, b"") if self._inflate.needs_input else b""
                if not packed and self._inflate.needs_input:
                    break
                if ready := self._inflate.decompress(packed, _PIECE):
                    return ready
        except (lzma.LZMAError, EOFError, MemoryError) as error:
            raise BadPatch(str(error)) from None
        raise BadPatch("it ends too early")
