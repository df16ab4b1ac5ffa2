"""A library of any size made from a real one, for benchmarks/index.py: the same every time. Knows
nothing of the index.

Vectors: a real chunk's vector plus the difference of two others, scaled. Such noise lies where real
vectors differ from each other, not in all 384 directions alike, and its share is drawn anew for
each chunk, so that the distances from a question to its nearest chunks spread as in a real library
instead of forming shells. The benchmark prints the mean cosine to the nearest and to the tenth
neighbour, of the real vectors and of as many and of all made ones: 2,676 chunks of filings have
0.85 and 0.72, as many made ones with SPREAD 0.9 0.75 and 0.59, 200,000 of those 0.87 and 0.82.

Text: pieces (sentences, lines) of one real chunk and of another from the same document, in new
order; in every second chunk the digits are exchanged, so that figures are as many and as rare as in
real filings. Titles name one of thousands of made-up companies and a year.

With `keep_real` the real documents come first, as they are, and made ones stand around them: whether
a question's page is still found among a million chunks is then a measurement."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldpack.passages import Chunk, DocumentRecord

CHUNKS_A_DOCUMENT = 250
SPREAD = 0.6
_PIECE = re.compile(r"(?<=[.;:])\s+|\n")
_WORD = re.compile(r"[A-Za-z]{4,}")


@dataclass(frozen=True)
class Real:
    """Chunks of a real library, their unit vectors [n, dim], and its documents."""

    chunks: list[Chunk]
    vectors: NDArray[np.float32]
    records: list[DocumentRecord]


class Synthesis:
    def __init__(self, real: Real, *, seed: int = 17, keep_real: bool = False) -> None:
        self.real, self._seed, self._keep_real = real, seed, keep_real
        self._pieces = [
            [p for p in _PIECE.split(chunk.text) if p.strip()] or [chunk.text]
            for chunk in real.chunks
        ]
        paths = [chunk.document for chunk in real.chunks]
        places: dict[str, list[int]] = {}
        for i, path in enumerate(paths):
            places.setdefault(path, []).append(i)
        self._places = places
        self._siblings = [np.array(places[path]) for path in paths]
        words = sorted(
            {word.capitalize() for chunk in real.chunks for word in _WORD.findall(chunk.text)}
        )
        self._names = words
        self.dim = real.vectors.shape[1]

    def documents(
        self, size: int
    ) -> Iterator[tuple[DocumentRecord, list[Chunk], NDArray[np.float32]]]:
        """All documents of a library of `size` chunks: record, chunks, vectors [n, dim]."""
        for record in self.real.records if self._keep_real else ():
            rows = self._places.get(record.path, [])
            yield record, [self.real.chunks[i] for i in rows], self.real.vectors[rows]
        for number, chunks in self._made(size):
            yield self.document(number, chunks)

    def all_vectors(
        self, size: int, changed: int = -1
    ) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Path and vectors [n, dim] of the same documents, without making their texts; the made
        document `changed` in its second version."""
        for path, rows in self._places.items() if self._keep_real else ():
            yield path, self.real.vectors[rows]
        for number, chunks in self._made(size):
            yield self.path(number), self.vectors(number, chunks, int(number == changed))[1]

    def _made(self, size: int) -> Iterator[tuple[int, int]]:
        """Number and chunks of the made documents."""
        left = size - len(self.real.chunks) * self._keep_real
        for number, first in enumerate(range(0, left, CHUNKS_A_DOCUMENT)):
            yield number, min(CHUNKS_A_DOCUMENT, left - first)

    def document(
        self, number: int, size: int, version: int = 0
    ) -> tuple[DocumentRecord, list[Chunk], NDArray[np.float32]]:
        base, vectors = self.vectors(number, size, version)
        random = np.random.default_rng((self._seed, number, version, 1))
        year = 2000 + number % 26
        company = " ".join(
            self._names[i]
            for i in np.random.default_rng((self._seed, number // 4)).integers(
                len(self._names), size=2
            )
        )
        title, path = f"{company} {year} annual report", self.path(number)
        chunks, place = [], 0
        for i, b in enumerate(base):
            text = self._text(random, int(b))
            chunks.append(
                Chunk(
                    path,
                    title,
                    1 + i // 3,
                    self.real.chunks[b].heading,
                    place,
                    place + len(text),
                    text,
                )
            )
            place += len(text) + 1
        record = DocumentRecord(
            path,
            title,
            f"{number:064x}",
            1 + size // 3,
            f"{year}-12-31",
            ("even",) if number % 2 == 0 else (),
        )
        return record, chunks, vectors

    @staticmethod
    def path(number: int) -> str:
        return f"{number % 97:02d}/{number:07d}.pdf"

    def _text(self, random: np.random.Generator, b: int) -> str:
        other = random.choice(self._siblings[b])
        pieces = [*self._pieces[b], *self._pieces[other]]
        taken = random.permutation(len(pieces))[: max(1, len(pieces) // 2)]
        text = "\n".join(pieces[i] for i in taken)
        if random.random() < 0.5:
            return text.translate(
                str.maketrans("0123456789", "".join(map(str, random.permutation(10))))
            )
        return text

    def vectors(
        self, number: int, size: int, version: int = 0
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The real chunks that a document's are made from, and its vectors."""
        random = np.random.default_rng((self._seed, number, version))
        base = random.integers(len(self._pieces), size=size)
        return base, _near(self.real.vectors, random, base)

    def questions(self, count: int) -> list[tuple[str, NDArray[np.float32]]]:
        """Noisy chunks, and eight of their words."""
        random = np.random.default_rng((self._seed, 1 << 40))
        base = random.integers(len(self._pieces), size=count)
        vectors = _near(self.real.vectors, random, base)
        texts = [" ".join(random.permutation(self.real.chunks[b].text.split())[:8]) for b in base]
        return list(zip(texts, vectors, strict=True))


def _near(
    real: NDArray[np.float32], random: np.random.Generator, base: NDArray[Any]
) -> NDArray[np.float32]:
    n = len(base)
    pairs = random.integers(len(real), size=(2, n))
    noise = real[pairs[0]] - real[pairs[1]]
    noise /= np.maximum(np.linalg.norm(noise, axis=1, keepdims=True), 1e-6)
    share = SPREAD * random.uniform(0.3, 1.0, size=(n, 1)).astype(np.float32)
    made = real[base] + share * noise
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    unit: NDArray[np.float32] = made.astype(np.float32)
    return unit


def neighbour_cosines(vectors: NDArray[np.float32], sample: int = 500) -> tuple[float, float]:
    """Mean cosine to the nearest and to the tenth other vector."""
    taken = np.random.default_rng(1).choice(
        len(vectors), size=min(sample, len(vectors)), replace=False
    )
    cosines = vectors[taken] @ vectors.T
    cosines[np.arange(len(taken)), taken] = -2
    best = -np.sort(-np.partition(cosines, -10, axis=1)[:, -10:], axis=1)
    return float(best[:, 0].mean()), float(best[:, 9].mean())
