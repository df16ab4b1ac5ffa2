"""Reads a request to /v1/responses: which question, after which answer, in which form. What cannot
be done is refused, what has no effect is named. Knows nothing of answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import bad_request
from ..json_body import JsonObject, field
from .request import (
    MAX_MESSAGES,
    NO_TOOLS,
    AnswerRequest,
    ignored_parameters,
    last_question,
    refuse_unsupported,
)

_USED = {"model", "input", "stream", "text", "previous_response_id", "store", "user", "metadata"}
_TEXT_PARTS = ("input_text", "output_text", "text")
_MAX_METADATA = 16  # pairs, as OpenAI has it
# What would change the answer's meaning: name -> (the value that does not, why no other is taken).
_REFUSED: dict[str, tuple[object, str]] = {
    "tools": ([], NO_TOOLS),
    "background": (False, "an answer is made while you wait; leave background out"),
    "conversation": (None, "none is kept here; send previous_response_id, or the messages"),
    "prompt": (None, "the prompt is the bundle's"),
    "top_logprobs": (0, "there are no log-probabilities"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesRequest(AnswerRequest):
    """The body of a request. `text_format` and `metadata`: as the client sent them, to be sent
    back."""

    text_format: JsonObject
    metadata: JsonObject


def read_responses(data: JsonObject) -> ResponsesRequest:
    """Return the request that the body of one stands for. Raises HttpError (400, 422)."""
    if data.get("tool_choice") not in (None, "none", "auto"):
        raise bad_request(f"tool_choice: not supported: {NO_TOOLS}", param="tool_choice")
    refuse_unsupported(data, _REFUSED)
    messages, not_read = _messages(data.get("input"))
    question, before = last_question(messages)
    text_format = field(field(data, "text", dict, {}), "format", dict, {"type": "text"})
    metadata = field(data, "metadata", dict, {})
    if len(metadata) > _MAX_METADATA:
        raise bad_request(f"metadata: at most {_MAX_METADATA} pairs are taken", param="metadata")
    known = _USED | {"tool_choice"} | set(_REFUSED)
    return ResponsesRequest(
        question=question,
        before=before,
        previous_id=field(data, "previous_response_id", str, "", max_length=100) or None,
        schema=_schema(text_format),
        text_format=text_format,
        metadata=metadata,
        stream=field(data, "stream", bool, False),
        store=field(data, "store", bool, True),
        ignored=(*ignored_parameters(data, known), *not_read),
    )


def _messages(value: object) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the (role, text) pairs of the user and the assistant, and the names of what is not
    read. Raises HttpError (400)."""
    if isinstance(value, str):
        return [("user", value)], []
    if not isinstance(value, list) or not 0 < len(value) <= MAX_MESSAGES:
        raise bad_request(
            f"input: want a string, or a list of 1 to {MAX_MESSAGES} messages", param="input"
        )
    pairs, not_read = [], []
    for number, item in enumerate(value):
        where = f"input[{number}]"
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind == "reasoning":
            not_read.append(f"{where} (reasoning)")
            continue
        if not isinstance(item, dict) or kind != "message":
            shown = repr(kind)[:40]
            raise bad_request(
                f"{where}: {shown} is not taken, messages alone: {NO_TOOLS}", param="input"
            )
        role, text = item.get("role"), _text(item.get("content"), where)
        if role in ("system", "developer"):
            not_read.append(f"{where} ({role})")
        elif role in ("user", "assistant"):
            pairs.append((role, text))
        else:
            raise bad_request(
                f"{where}: want a role of system, developer, user or assistant", param="input"
            )
    return pairs, not_read


def _text(content: object, where: str) -> str:
    """Return the text of a message's content. Raises HttpError (400)."""
    if isinstance(content, str):
        return content
    texts = []
    for part in content if isinstance(content, list) else [None]:
        kind = part.get("type") if isinstance(part, dict) else None
        name = "refusal" if kind == "refusal" else "text"
        text = part.get(name) if isinstance(part, dict) else None
        if kind not in (*_TEXT_PARTS, "refusal") or not isinstance(text, str):
            raise bad_request(
                f"{where}.content: want a string, or parts of text and no others", param="input"
            )
        texts.append(text)
    return "\n".join(texts)


def _schema(text_format: JsonObject) -> Mapping[str, Any] | None:
    """Return the JSON schema of a `text.format`; None for text. Raises HttpError (400)."""
    match text_format:
        case {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "object"}
        case {"type": "json_schema", "schema": dict(schema)}:
            return schema
    message = (
        'text.format: want {"type": "text"}, {"type": "json_object"}, or "json_schema" with schema'
    )
    raise bad_request(message, param="text.format")
