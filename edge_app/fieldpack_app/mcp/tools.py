"""The three tools of the Model Context Protocol's server: ask, search and passage, over an opened
bundle. Knows nothing of JSON-RPC.

Documents may hold letters that nobody sees and a language model reads; whatever leaves a tool has
them as visible escapes (`printable`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from fieldpack import (
    Answer,
    Cancelled,
    Done,
    Event,
    Expert,
    Filter,
    InputError,
    Passage,
    PassagesFound,
    TextPiece,
)
from fieldpack.answers import QUOTED, RELATED, citation_dict, passage_dict
from fieldpack.citations import headings_of, place
from fieldpack.passages import MAX_CHUNK_ID

from ..terminal.render import printable

Schema = Mapping[str, Any]
Report = Callable[[str], None]  # takes a few words on how far a call is

_T = TypeVar("_T")
_MAX_RESULTS = 20  # passages of a search
_MAX_DOCUMENTS = 50
_MAX_CONTEXT = 20_000  # characters on each side of a passage
_NAMES = {str: "a string", int: "a whole number", list: "a list"}
_NOTES = {
    QUOTED: "These are a passage's own words, not an answer that was written.",
    RELATED: (
        "These are the nearest words of the documents; they do not answer the question by "
        "themselves."
    ),
}


@dataclass(frozen=True, slots=True)
class Output:
    """What a tool returns: text for a language model, and the same as JSON."""

    text: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: what a client is told of it, and the function that runs it. `answers`: whether the
    language model runs for it, so that calls wait for each other."""

    name: str
    title: str
    description: str
    inputs: Schema
    outputs: Schema
    answers: bool
    run: Callable[[Expert, Mapping[str, Any], threading.Event, Report], Output]


def _ask(
    expert: Expert, arguments: Mapping[str, Any], cancel: threading.Event, report: Report
) -> Output:
    """Answer a question. Raises FieldpackError, Cancelled."""
    question = _take(arguments, "question", str)
    answer: Answer | None = None
    written = 0
    events = expert.stream(question, cancel=cancel, where=_filter(arguments))
    with closing(cast(Any, events)):
        event: Event
        for event in events:
            match event:
                case PassagesFound(passages):
                    report(f"reading {len(passages)} passages")
                case TextPiece():
                    written += 1
                    report(f"{written} pieces of the answer written")
                case Done(answer):
                    pass
    if answer is None or cancel.is_set():
        raise Cancelled("the call was cancelled")
    return Output(_answer_text(answer), _answer_data(answer))


def _answer_text(answer: Answer) -> str:
    parts = [answer.text]
    if answer.unknown_words:
        words = ", ".join(f'"{word}"' for word in answer.unknown_words)
        parts.append(f"No document contains {words}.")
    if answer.kind in _NOTES and not answer.refused:
        parts.append(_NOTES[answer.kind])
    if answer.unsupported:
        figures = ", ".join(answer.text[start:end] for start, end in answer.unsupported)
        parts.append(f"Check these figures, which no passage says: {figures}.")
    sources = [
        f"[{one.passage}] {_where(answer.passages[one.passage - 1])}, passage id "
        f'{answer.passages[one.passage - 1].chunk_id}: "{one.quote}"'
        for one in answer.citations
    ]
    if sources:
        parts.append("\n".join(["Sources:", *sources]))
    return "\n\n".join(parts)


def _where(passage: Passage) -> str:
    """Return where a passage stands, with the titles and headings above it."""
    where = place(passage.document, passage.page, passage.heading)
    return " > ".join([where, *headings_of(passage.document, passage.heading)])


def _answer_data(answer: Answer) -> Mapping[str, Any]:
    ids = [passage.chunk_id for passage in answer.passages]
    return {
        "answer": answer.text,
        "refused": answer.refused,
        "kind": answer.kind,
        "cut": answer.cut,
        "citations": [
            {**citation_dict(one), "chunk_id": ids[one.passage - 1]} for one in answer.citations
        ],
        "unsupported": [answer.text[start:end] for start, end in answer.unsupported],
        "unknown_words": list(answer.unknown_words),
        "passages": [passage_dict(passage) for passage in answer.passages],
    }


def _search(
    expert: Expert, arguments: Mapping[str, Any], cancel: threading.Event, report: Report
) -> Output:
    """Find passages. Raises FieldpackError."""
    count = _take(arguments, "count", int, 5)
    if not 1 <= count <= _MAX_RESULTS:
        raise InputError(f"count: want 1 to {_MAX_RESULTS}")
    passages = expert.search(_take(arguments, "query", str), count, where=_filter(arguments))
    blocks = [
        f"{place(one.document, one.page, one.heading)}, passage id {one.chunk_id}\n{one.in_context}"
        for one in passages
    ]
    text = "\n\n".join(blocks) or "no passage of these documents fits"
    return Output(text, {"passages": [passage_dict(one) for one in passages]})


def _passage(
    expert: Expert, arguments: Mapping[str, Any], cancel: threading.Event, report: Report
) -> Output:
    """Show a passage with the text around it. Raises FieldpackError."""
    chunk_id, characters = _take(arguments, "id", int), _take(arguments, "characters", int, 1500)
    if not 0 <= chunk_id < MAX_CHUNK_ID:
        raise InputError("id: want a passage's id, as ask and search return them")
    if not 0 <= characters <= _MAX_CONTEXT:
        raise InputError(f"characters: want 0 to {_MAX_CONTEXT:,}")
    context = expert.context(chunk_id, characters=characters)
    where = place(context.document, context.page, context.heading)
    return Output(
        f"{where}\n\n{context.before}{context.text}{context.after}",
        {
            "document": context.document,
            "title": context.title,
            "page": context.page,
            "heading": context.heading,
            "before": context.before,
            "text": context.text,
            "after": context.after,
        },
    )


def _filter(arguments: Mapping[str, Any]) -> Filter | None:
    """Return the filter of the argument `documents`. Raises InputError."""
    documents = _take(arguments, "documents", list, [])
    if len(documents) > _MAX_DOCUMENTS or not all(isinstance(one, str) for one in documents):
        raise InputError(f"documents: want at most {_MAX_DOCUMENTS} paths or globs")
    return Filter(documents=tuple(documents)) or None


def _take(arguments: Mapping[str, Any], name: str, kind: type[_T], default: _T | None = None) -> _T:
    """Return an argument of the type `kind`; `default` where it is missing or null. Raises
    InputError."""
    value = arguments.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"{name}: want {_NAMES[kind]}")
    return value


def visible(value: Any) -> Any:
    """Return JSON with every text in it `printable`."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {name: visible(one) for name, one in value.items()}
    return [visible(one) for one in value] if isinstance(value, list | tuple) else value


def _object(required: str, **properties: Schema) -> Schema:
    """Return the schema of an object with these properties; `required` names some, with spaces."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


_TEXT, _COUNT, _FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
_PAGE = {"type": ["integer", "null"]}
_TEXTS = {"type": "array", "items": _TEXT}
_PASSAGE = _object(
    "chunk_id document title page heading text score similarity start end",
    chunk_id=_COUNT,
    document=_TEXT,
    title=_TEXT,
    page=_PAGE,
    heading=_TEXTS,
    text=_TEXT,
    score={"type": "number"},
    similarity={"type": "number"},
    start=_COUNT,
    end=_COUNT,
)
_CITATION = _object(
    "document page quote passage chunk_id",
    document=_TEXT,
    page=_PAGE,
    quote=_TEXT,
    passage=_COUNT,
    chunk_id=_COUNT,
)
_DOCUMENTS = {
    **_TEXTS,
    "maxItems": _MAX_DOCUMENTS,
    "description": "Only these documents: paths or globs, such as fees/*.pdf. Leave out for all.",
}


def tools_of(expert: Expert) -> tuple[Tool, ...]:
    """Return the tools of a bundle."""
    limit = expert.settings.max_question_chars
    ask = Tool(
        "ask",
        "Ask the documents",
        "Answer a question from the documents of this library alone, with sources, or refuse where "
        "they do not say. Ask one complete question in the words of the documents: nothing is "
        "remembered from one call to the next. A small model writes the answer: read the quotes.",
        _object(
            "question",
            question={**_TEXT, "minLength": 1, "maxLength": limit},
            documents=_DOCUMENTS,
        ),
        _object(
            "answer refused kind cut citations unsupported unknown_words passages",
            answer=_TEXT,
            refused=_FLAG,
            kind={"type": "string", "enum": ["written", "quote", "related"]},
            cut=_FLAG,
            citations={"type": "array", "items": _CITATION},
            unsupported={**_TEXTS, "description": "Figures of the answer that no passage says."},
            unknown_words={
                **_TEXTS,
                "description": "Words of the question that no document contains.",
            },
            passages={"type": "array", "items": _PASSAGE},
        ),
        answers=True,
        run=_ask,
    )
    search = Tool(
        "search",
        "Search the documents",
        "Find the passages that fit a query best, by meaning and by words. Takes milliseconds.",
        _object(
            "query",
            query={**_TEXT, "minLength": 1, "maxLength": limit},
            count={**_COUNT, "minimum": 1, "maximum": _MAX_RESULTS, "default": 5},
            documents=_DOCUMENTS,
        ),
        _object("passages", passages={"type": "array", "items": _PASSAGE}),
        answers=False,
        run=_search,
    )
    passage = Tool(
        "passage",
        "Read on around a passage",
        "Show a passage with the text before and after it on its page.",
        _object(
            "id",
            id={**_COUNT, "minimum": 0, "description": "As ask and search return it."},
            characters={
                **_COUNT,
                "minimum": 0,
                "maximum": _MAX_CONTEXT,
                "default": 1500,
                "description": "Of text on each side.",
            },
        ),
        _object(
            "document title page heading before text after",
            document=_TEXT,
            title=_TEXT,
            page=_PAGE,
            heading=_TEXTS,
            before=_TEXT,
            text=_TEXT,
            after=_TEXT,
        ),
        answers=False,
        run=_passage,
    )
    return (ask, search, passage) if expert.manifest.has("knowledge") else (ask,)
