"""The text of a library's pages, to look up in it what an answer quotes. Knows nothing of answers."""

from __future__ import annotations

from fieldpack.index.reader import KnowledgeIndex


def stored_pages(index: KnowledgeIndex) -> dict[tuple[str, int | None], str]:
    """Return the stored text by (document, page), the chunks of a page joined by NUL."""
    texts_of: dict[tuple[str, int | None], list[str]] = {}
    for _, chunk in index.chunks():
        texts_of.setdefault((chunk.document, chunk.page), []).append(chunk.text)
    return {key: "\0".join(texts) for key, texts in texts_of.items()}
