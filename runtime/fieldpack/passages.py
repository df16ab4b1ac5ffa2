"""The records that travel between the index, the prompt and the reader. Knows nothing of files or models."""

from __future__ import annotations

from dataclasses import dataclass


def join_context(title: str, heading: tuple[str, ...]) -> str:
    """Title and heading path on one line, repeated parts once: "Fees 2025 > Discounts"."""
    return " > ".join(dict.fromkeys(part for part in (title, *heading) if part))


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the index stores: one piece of a document, its text exactly as the reader gave it.

    `start` and `end` are character offsets into the text of its page (of the whole document where
    the format has no pages, `page` is None there; pages count from 1).
    `heading` is the path of headings above it, outermost first. `gap` is the source's text between the chunk before it
    on its page and itself (blank lines, a heading), so that neighbours can be joined into an exact slice of the page.
    """

    document: str
    title: str
    page: int | None
    heading: tuple[str, ...]
    start: int
    end: int
    text: str
    gap: str = ""

    @property
    def context(self) -> str:
        """The title and heading path, on one line: embedded and searched with the text, not stored in it."""
        return join_context(self.title, self.heading)

    @property
    def in_context(self) -> str:
        """What is embedded, and what a chunk's length is counted on: context, then text."""
        return f"{self.context}\n{self.text}"


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """What the index knows of a document: `path` below the library's folder, `sha256` of its bytes, `date` as
    YYYY-MM-DD where the file states one."""

    path: str
    title: str
    sha256: str
    pages: int
    date: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """Which documents may answer; an empty one lets all. `documents`: paths or globs, any of them; `folders`: any of
    them, with all below; `after` and `before`: YYYY-MM-DD, inclusive, a document without a date is left out; `tags`: all
    of them."""

    documents: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    after: str | None = None
    before: str | None = None
    tags: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.documents or self.folders or self.after or self.before or self.tags)


@dataclass(frozen=True, slots=True)
class Passage:
    """What retrieval returns: a chunk, its rank's `score` (fused, 0 to 1) and its `similarity`
    (cosine between question and chunk, -1 to 1; the figure that a refusal threshold is compared with)."""

    chunk_id: int
    document: str
    title: str
    page: int | None
    heading: tuple[str, ...]
    text: str
    score: float
    similarity: float

    @property
    def context(self) -> str:
        return join_context(self.title, self.heading)

    @property
    def in_context(self) -> str:
        return f"{self.context}\n{self.text}"


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage that an answer points to. `quote` is a substring of the passage's stored text, byte for byte;
    `passage` is its 1-based number in the answer's passages, the number in the answer's `[n]`."""

    document: str
    page: int | None
    quote: str
    passage: int
