"""Writes an answer in the forms of OpenAI's chat completions, whole or in chunks; what they have no
place for (passages, citations, figures without source) is in a field of our own, `fieldpack`. Knows
nothing of requests."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

from fieldpack import Answer
from fieldpack.answers import AnswerJson

from ..errors import HttpError
from ..serialize import answer_dict
from ..sse import sse
from .request import ChatRequest


class OurAnswerJson(AnswerJson):
    """The whole answer, and the parts of the request that had no effect."""

    ignored: list[str]


class MessageJson(TypedDict, total=False):
    """A message, or the part of one that a chunk brings."""

    role: str
    content: str | None
    refusal: str | None
    fieldpack: OurAnswerJson


class ChoiceJson(TypedDict):
    """The one answer that is given: `message` whole, `delta` in a chunk."""

    index: int
    message: NotRequired[MessageJson]
    delta: NotRequired[MessageJson]
    logprobs: None
    finish_reason: str | None


class UsageJson(TypedDict):
    """Counts of tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int]


class CompletionJson(TypedDict):
    """A chat completion, or a chunk of one."""

    id: str
    object: str
    created: int
    model: str
    choices: list[ChoiceJson]
    usage: NotRequired[UsageJson]


@dataclass(slots=True)
class ChatWriter:
    """Writes one answer."""

    model: str
    request: ChatRequest
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))
    _begun: bool = False

    def whole(self, answer: Answer) -> CompletionJson:
        """Return the whole answer. With a schema a refusal, which is no JSON, goes where OpenAI puts
        one."""
        refusal = answer.text if answer.refused and self.request.schema is not None else None
        message: MessageJson = {
            "role": "assistant",
            "content": None if refusal else answer.text,
            "refusal": refusal,
            "fieldpack": self._ours(answer),
        }
        choice: ChoiceJson = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": _finish_reason(answer),
        }
        return {**self._completion("chat.completion", [choice]), "usage": usage(answer)}

    def begin(self) -> Iterator[bytes]:
        """Yield the chunk that begins a stream."""
        if not self._begun:
            self._begun = True
            yield self._chunk({"role": "assistant", "content": ""}, None)

    def piece(self, text: str) -> Iterator[bytes]:
        """Yield the chunk with the next piece of the answer's text."""
        yield self._chunk({"content": text}, None)

    def end(self, answer: Answer) -> Iterator[bytes]:
        """Yield the chunks that end a stream: the last, and the counts of tokens where they are
        wanted."""
        yield self._chunk({"fieldpack": self._ours(answer)}, _finish_reason(answer))
        if self.request.usage:
            yield sse({**self._completion("chat.completion.chunk", []), "usage": usage(answer)})
        yield b"data: [DONE]\n\n"

    def failed(self, error: HttpError) -> bytes:
        """Return the chunk that ends a stream with an error."""
        return sse(error.body(openai=True))

    def _chunk(self, delta: MessageJson, finish_reason: str | None) -> bytes:
        choice: ChoiceJson = {
            "index": 0,
            "delta": delta,
            "logprobs": None,
            "finish_reason": finish_reason,
        }
        return sse(self._completion("chat.completion.chunk", [choice]))

    def _completion(self, kind: str, choices: list[ChoiceJson]) -> CompletionJson:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }

    def _ours(self, answer: Answer) -> OurAnswerJson:
        """Return the field of our own. Its `answer` is the finished text: marks that point to no
        passage, which a stream may have shown, are gone."""
        return {**answer_dict(answer), "ignored": list(self.request.ignored)}


def _finish_reason(answer: Answer) -> str:
    return "length" if answer.cut else "stop"


def usage(answer: Answer) -> UsageJson:
    """Return the answer's counts of tokens."""
    timings = answer.timings
    return {
        "prompt_tokens": timings.prompt_tokens,
        "completion_tokens": timings.tokens,
        "total_tokens": timings.prompt_tokens + timings.tokens,
        "prompt_tokens_details": {"cached_tokens": timings.cached_tokens},
    }
