"""The runtime's records as the JSON of the page's API: as in `fieldpack ask --json`, with where each
passage stands in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from fieldpack import Answer, Done, Event, Passage, PassagesFound, QuoteFound, TextPiece
from fieldpack.answers import (
    AnswerJson,
    CitationJson,
    PassageJson,
    QuoteJson,
    citation_dict,
    passage_dict,
    quote_dict,
)
from fieldpack.citations import place

from .errors import ErrorJson, HttpError
from .jobs import Queued


class PlacedPassageJson(PassageJson):
    """A passage, and where it stands in words."""

    place: str


class PlacedCitationJson(CitationJson):
    """A citation, where it stands in words, and the chunk id to read on at."""

    place: str
    chunk_id: int


class QueuedJson(TypedDict):
    """How many requests are answered before this one."""

    position: int


class TextJson(TypedDict):
    """The next piece of an answer's text."""

    text: str


EventJson = (
    QueuedJson | Sequence[PlacedPassageJson] | QuoteJson | TextJson | AnswerJson | ErrorJson | None
)


def placed_passage(passage: Passage) -> PlacedPassageJson:
    """Return a passage as JSON, with where it stands in words."""
    return {
        **passage_dict(passage),
        "place": place(passage.document, passage.page, passage.heading),
    }


def answer_dict(answer: Answer) -> AnswerJson:
    """Return `Answer.to_dict()`, with places, and with each citation's chunk id."""
    citations: list[PlacedCitationJson] = [
        {
            **citation_dict(citation),
            "place": place(
                citation.document,
                citation.page,
                answer.passages[citation.passage - 1].heading,
            ),
            "chunk_id": answer.passages[citation.passage - 1].chunk_id,
        }
        for citation in answer.citations
    ]
    passages = [placed_passage(passage) for passage in answer.passages]
    return {**answer.to_dict(), "citations": citations, "passages": passages}


def event_dict(event: Queued | Event | HttpError) -> tuple[str, EventJson] | None:
    """Return an event's name and its data; None for what the page gets with the whole answer."""
    match event:
        case Queued(position):
            return "queued", {"position": position}
        case PassagesFound(passages):
            return "passages", [placed_passage(passage) for passage in passages]
        case QuoteFound(quote):
            return "quote", quote_dict(quote)
        case TextPiece(text):
            return "text", {"text": text}
        case Done(answer):
            return "done", answer_dict(answer)
        case HttpError():
            return "error", event.body()["error"]
    return None
