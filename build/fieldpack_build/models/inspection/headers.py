"""Reads the headers of weight files: names, types and shapes of the tensors, and whether the file
is whole. Reads no weights but where two matrices are compared byte by byte. Knows nothing of what
the tensors are for."""

from __future__ import annotations

import json
import math
import mmap
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LFS = b"version https://git-lfs"
_SAFETENSORS_LIMIT = 100_000_000  # bytes of JSON: safetensors' own limit
# Bits of a value, from safetensors' `Dtype::bitsize` (safetensors/src/tensor.rs).
_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
_GGUF_MAGIC = b"GGUF"
_GGUF_VERSIONS = (2, 3)
_GGUF_ALIGNMENT = 32  # where the file names no `general.alignment`
_GGUF_STRING, _GGUF_ARRAY = 8, 9
# GGUF's value types: docs/gguf.md of ggml, `enum gguf_metadata_value_type`.
_GGUF_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_MAX_VALUES = 1024  # of an array of numbers; a vocabulary's scores are of no use here
_BLOCK = 1 << 22  # bytes compared at once


class BrokenFile(ValueError):
    """A weight file that is not what its name says, in a sentence with the file's path and a next
    step."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies: bytes `start` to `end` of `file`. `dtype` as the file writes it."""

    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Gguf:
    """What a GGUF's header says. `metadata`: key -> number, string or list of numbers. `lengths`:
    key -> length of every array."""

    metadata: Mapping[str, Any]
    lengths: Mapping[str, int]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


def is_lfs_pointer(path: Path) -> bool:
    """Say whether a file is the small text that Git LFS leaves where a large file was not
    downloaded."""
    with path.open("rb") as file:
        return file.read(len(_LFS)) == _LFS


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors that a safetensors file holds. Raises BrokenFile where the header is none,
    contradicts itself or names bytes that the file has not."""
    if is_lfs_pointer(path):
        raise BrokenFile(_lfs_sentence(path))
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(8)
        length = int.from_bytes(first, "little")
        if len(first) < 8 or length > _SAFETENSORS_LIMIT:
            raise BrokenFile(f"{path}: not a safetensors file ({size:,} bytes); download it again")
        if 8 + length > size:
            raise BrokenFile(
                f"{path}: cut off in its header after {size:,} bytes; download it again"
            )
        text = file.read(length)
    try:
        header = json.loads(text)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        tensors = {name: _tensor(path, entry, 8 + length) for name, entry in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BrokenFile(
            f"{path}: its safetensors header is damaged ({error}); download it again"
        ) from None
    needed = max([8 + length, *(tensor.end for tensor in tensors.values())])
    if needed != size:
        what = "cut off" if needed > size else "followed by bytes that are no part of it"
        raise BrokenFile(
            f"{path}: {what}: {size:,} bytes, its header speaks of {needed:,}; download it again"
        )
    return tensors


def _tensor(path: Path, entry: Mapping[str, Any], base: int) -> Tensor:
    """Read a header's entry of one tensor. Raises ValueError, TypeError, KeyError or AttributeError
    where the entry is not what it should be."""
    dtype, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if not all(isinstance(number, int) and number >= 0 for number in (*shape, start, end)):
        raise ValueError("a shape or an offset is not a whole number")
    if not isinstance(dtype, str) or math.prod(shape) * _BITS[dtype] != (end - start) * 8:
        raise ValueError(f"{end - start} bytes for {dtype} of {list(shape)}")
    return Tensor(dtype, shape, path, base + start, base + end)


def same_bytes(one: Tensor, other: Tensor) -> bool:
    """Compare two tensors in their files, up to the first difference."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    with one.file.open("rb") as left, other.file.open("rb") as right:
        left.seek(one.start)
        right.seek(other.start)
        remaining = one.end - one.start
        while remaining > 0:
            count = min(_BLOCK, remaining)
            if left.read(count) != right.read(count):
                return False
            remaining -= count
    return True


def read_gguf(path: Path) -> Gguf:
    """Return what a GGUF's header says. Raises BrokenFile where it is no GGUF, of a version that
    nobody here reads, or cut off in its header or its data."""
    if is_lfs_pointer(path):
        raise BrokenFile(_lfs_sentence(path))
    size = path.stat().st_size
    if size < 24:
        raise BrokenFile(f"{path}: not a GGUF file ({size:,} bytes); download it again")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] != _GGUF_MAGIC:
            raise BrokenFile(
                f"{path}: not a GGUF file (it does not begin with GGUF); download it again"
            )
        (version,) = struct.unpack_from("<I", data, 4)
        if version not in _GGUF_VERSIONS:
            raise BrokenFile(
                f"{path}: GGUF version {version}; versions 2 and 3 are read: convert the model "
                "again"
            )
        try:
            return _GgufReader(path, data).read()
        except (struct.error, IndexError, UnicodeDecodeError, OverflowError, ValueError) as error:
            raise BrokenFile(
                f"{path}: damaged or cut off after {size:,} bytes ({error}); download it again"
            ) from None


class _GgufReader:
    """Walks through the header of a GGUF file. Every read beyond its end raises one of
    struct.error, IndexError or ValueError."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path, self._data, self._at = path, data, 8

    def read(self) -> Gguf:
        """Read the whole header. The tensors' places must lie within the file."""
        tensor_count, pairs = self._scalar("<Q"), self._scalar("<Q")
        metadata: dict[str, object] = {}
        lengths: dict[str, int] = {}
        for _ in range(pairs):
            key, kind = self._string(), self._scalar("<I")
            if kind == _GGUF_ARRAY:
                lengths[key], values = self._array()
                if values is not None:
                    metadata[key] = values
            else:
                metadata[key] = self._value(kind)
        entries = []
        for _ in range(tensor_count):
            name, dimensions = self._string(), self._scalar("<I")
            if dimensions > 8:
                raise ValueError(f"a tensor of {dimensions} dimensions")
            shape = tuple(self._scalar("<Q") for _ in range(dimensions))
            entries.append((name, shape, self._scalar("<I"), self._scalar("<Q")))
        alignment = metadata.get("general.alignment", _GGUF_ALIGNMENT)
        return Gguf(metadata, lengths, self._place(entries, alignment))

    def _place(
        self, entries: Sequence[tuple[str, tuple[int, ...], int, int]], alignment: object
    ) -> dict[str, Tensor]:
        """Return the tensors of entries (name, shape, type, offset) with their places in the file."""
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        if not isinstance(alignment, int) or alignment < 1:
            raise ValueError(f"general.alignment is {alignment!r}")
        base = -(-self._at // alignment) * alignment
        tensors = {}
        for name, shape, kind, offset in entries:
            # ValueError: one that the package gguf does not know
            quantized = GGMLQuantizationType(kind)
            block, size = GGML_QUANT_SIZES[quantized]
            start = base + offset
            tensors[name] = Tensor(
                quantized.name, shape, self._path, start, start + math.prod(shape) // block * size
            )
        end = max([base, *(tensor.end for tensor in tensors.values())])
        if tensors and end > len(self._data):
            raise ValueError(f"its tensors need {end:,}")
        return tensors

    def _scalar(self, layout: str) -> Any:
        (value,) = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return value

    def _skip(self, count: int) -> None:
        if self._at + count > len(self._data):
            raise ValueError("a value reaches beyond its end")
        self._at += count

    def _string(self) -> str:
        length = self._scalar("<Q")
        start = self._at
        self._skip(length)
        return self._data[start : self._at].decode("utf-8")

    def _value(self, kind: int) -> Any:
        if kind == _GGUF_STRING:
            return self._string()
        if kind not in _GGUF_SCALARS:
            raise ValueError(f"a value of type {kind}")
        return self._scalar(_GGUF_SCALARS[kind])

    def _array(self) -> tuple[int, list[float] | None]:
        """Read (length, values); None for strings and for more numbers than anybody here looks at."""
        kind, length = self._scalar("<I"), self._scalar("<Q")
        if kind == _GGUF_STRING:
            for _ in range(length):
                self._skip(self._scalar("<Q"))
            return length, None
        if kind not in _GGUF_SCALARS:
            raise ValueError(f"an array of type {kind}")
        if length > _MAX_VALUES:
            self._skip(length * struct.calcsize(_GGUF_SCALARS[kind]))
            return length, None
        return length, [self._scalar(_GGUF_SCALARS[kind]) for _ in range(length)]


def _lfs_sentence(path: Path) -> str:
    return (
        f"{path}: a Git LFS pointer and not the file itself; run `git lfs pull` in its folder, or "
        "download it again"
    )
