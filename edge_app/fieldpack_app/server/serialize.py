"""The runtime's records as the JSON of the page's API: those of `fieldpack ask --json`, and where
each stands in words."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fieldpack import Answer, Citation, Done, Event, Passage, PassagesFound, QuoteFound, TextPiece
from fieldpack.answers import quote_dict
from fieldpack.citations import place

from .errors import HttpError
from .jobs import Queued


def passage_dict(passage: Passage) -> dict[str, Any]:
    return {**asdict(passage), "place": place(passage.document, passage.page)}


def answer_dict(answer: Answer) -> dict[str, Any]:
    """`Answer.to_dict`, each citation with its place and the chunk id to read on at."""
    return {
        **answer.to_dict(),
        "citations": [_citation_dict(citation, answer.passages) for citation in answer.citations],
        "passages": [passage_dict(passage) for passage in answer.passages],
    }


def event_dict(event: Queued | Event | HttpError) -> tuple[str, Any] | None:
    """The event's name and its data; None for what the page gets with the whole answer."""
    match event:
        case Queued(position):
            return "queued", {"position": position}
        case PassagesFound(passages):
            return "passages", [passage_dict(passage) for passage in passages]
        case QuoteFound(quote):
            return "quote", quote_dict(quote)
        case TextPiece(text):
            return "text", {"text": text}
        case Done(answer):
            return "done", answer_dict(answer)
        case HttpError():
            return "error", event.body()["error"]
    return None


def _citation_dict(citation: Citation, passages: tuple[Passage, ...]) -> dict[str, Any]:
    chunk = passages[citation.passage - 1].chunk_id
    return {**asdict(citation), "place": place(citation.document, citation.page), "chunk_id": chunk}
