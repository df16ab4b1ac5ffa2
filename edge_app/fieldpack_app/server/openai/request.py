"""Reads a request to /v1/chat/completions: which question, after which answer, in which form. What
cannot be done is refused, what has no effect is named; so it is for /v1/responses, which shares the
functions for it. Knows nothing of answers."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from ..errors import bad_request
from ..json_body import JsonObject, field

_USED = {"model", "messages", "stream", "stream_options", "response_format", "user"}
TOOL_CHOICES = {"tool_choice", "function_call"}
MAX_MESSAGES = 400
NO_TOOLS = (
    "this model calls no tools: it answers from the bundle's documents alone. Leave them out; for "
    "an answer in a form that a "
    "program reads, send a response_format with a JSON schema"
)
# What would change the answer's meaning: name -> (the value that does not, why no other is taken).
_REFUSED: dict[str, tuple[object, str]] = {
    "n": (1, "one answer is given; leave n out or 1"),
    "tools": ([], NO_TOOLS),
    "functions": ([], NO_TOOLS),
    "logprobs": (False, "there are no log-probabilities"),
    "top_logprobs": (0, "there are no log-probabilities"),
    "stop": ([], "an answer ends where it ends; leave stop out"),
    "modalities": (["text"], "text alone is given"),
    "audio": (None, "text alone is given"),
    "web_search_options": (None, "nothing here speaks to the network"),
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer, as the client sends them back."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRequest:
    """What the bodies of both kinds of request say. `before`: what a follow-up refers to, where the
    messages hold it; `previous_id`: the response that it goes on from. `schema`: of the JSON that
    the answer shall be. `store`: whether a later request may go on from the answer by its id.
    `ignored`: what had no effect."""

    question: str
    before: Exchange | None
    schema: Mapping[str, Any] | None
    stream: bool
    ignored: tuple[str, ...]
    previous_id: str | None = None
    store: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest(AnswerRequest):
    """The body of a request. `usage`: whether a stream ends with token counts."""

    usage: bool


def read_chat(data: JsonObject) -> ChatRequest:
    """Return the request that the body of one stands for. Raises HttpError (400)."""
    # A call that is left to the model is one that this model never makes; one that is demanded is
    # refused.
    for name in sorted(TOOL_CHOICES & set(data)):
        if data[name] not in (None, "none", "auto"):
            raise bad_request(f"{name}: not supported: {NO_TOOLS}", param=name)
    refuse_unsupported(data, _REFUSED)
    messages = [
        _message(value, i)
        for i, value in enumerate(field(data, "messages", list, max_length=MAX_MESSAGES))
    ]
    question, before = last_question(
        [(role, text) for role, text in messages if role in ("user", "assistant")]
    )
    options = field(data, "stream_options", dict, {})
    system = [
        f"messages[{i}] ({role})"
        for i, (role, _) in enumerate(messages)
        if role in ("system", "developer")
    ]
    return ChatRequest(
        question=question,
        before=before,
        schema=_schema(field(data, "response_format", dict, {"type": "text"})),
        stream=field(data, "stream", bool, False),
        usage=options.get("include_usage") is True,
        ignored=(*ignored_parameters(data, _USED | set(_REFUSED)), *system),
    )


def refuse_unsupported(data: JsonObject, refused: Mapping[str, tuple[object, str]]) -> None:
    """Refuse what would change the answer's meaning. `refused`: name -> (the value that does not,
    why no other is taken). Raises HttpError (400)."""
    for name, (harmless, why) in refused.items():
        if name == "tools" and data.get("tool_choice") == "none":
            continue  # tools are offered, and not to be called: nothing is missed
        if data.get(name) not in (None, harmless):
            raise bad_request(f"{name}: not supported: {why}", param=name)


def ignored_parameters(data: JsonObject, known: Set[str]) -> list[str]:
    """Return the names of parameters that are not known, and of tools that were offered."""
    return sorted(
        name
        for name, value in data.items()
        if value is not None and (name not in known or (name == "tools" and value))
    )


def last_question(messages: list[tuple[str, str]]) -> tuple[str, Exchange | None]:
    """Return the last question, and the one before it with its answer, of (role, text) pairs.
    Raises HttpError (400)."""
    if not messages or messages[-1][0] != "user":
        raise bad_request("messages: the last one must be the user's question", param="messages")
    question = messages[-1][1]
    for i in range(len(messages) - 2, -1, -1):
        if messages[i][0] == "user":
            answer = "".join(text for _, text in messages[i + 1 : -1])
            return question, Exchange(messages[i][1], answer)
    return question, None


def _message(value: object, number: int) -> tuple[str, str]:
    """Return (role, text) of a message. Raises HttpError (400)."""
    where = f"messages[{number}]"
    role = value.get("role") if isinstance(value, dict) else None
    if isinstance(value, dict) and (
        role in ("tool", "function") or value.get("tool_calls") or value.get("function_call")
    ):
        raise bad_request(
            f"{where}: a tool's call or result is not taken: {NO_TOOLS}", param="messages"
        )
    if not isinstance(value, dict) or role not in ("system", "developer", "user", "assistant"):
        raise bad_request(
            f"{where}: want a role of system, developer, user or assistant", param="messages"
        )
    content = value.get("content")
    if content is None and role == "assistant":
        return role, ""
    if isinstance(content, str):
        return role, content
    if not isinstance(content, list):
        raise bad_request(
            f"{where}.content: want a string or a list of text parts", param="messages"
        )
    texts = [
        part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        for part in content
    ]
    if any(not isinstance(text, str) for text in texts):
        raise bad_request(f"{where}.content: want parts of text and no others", param="messages")
    return role, "\n".join(map(str, texts))


def _schema(response_format: JsonObject) -> Mapping[str, Any] | None:
    """Return the JSON schema of a response_format; None for text. Raises HttpError (400)."""
    match response_format:
        case {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "object"}
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return schema
    message = (
        'response_format: want {"type": "text"}, {"type": "json_object"}, or "json_schema" with '
        "json_schema.schema"
    )
    raise bad_request(message, param="response_format")
