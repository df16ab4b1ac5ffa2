"""An answer in the forms of OpenAI's chat completions, whole or in chunks; what they have no place for (passages, citations,
figures without source) in a field of our own, `fieldpack`. Knows nothing of requests."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fieldpack import Answer

from ..serialize import answer_dict


@dataclass(frozen=True, slots=True)
class Reply:
    """`limit`: answer tokens at which the model is cut off. `as_json`: a schema was asked for, so that a refusal, which is
    no JSON, goes where OpenAI puts one."""

    model: str
    limit: int
    as_json: bool
    ignored: tuple[str, ...]
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, answer: Answer) -> dict[str, Any]:
        refusal = answer.text if answer.refused and self.as_json else None
        content = None if refusal else answer.text
        message = {"role": "assistant", "content": content, "refusal": refusal, "fieldpack": self._ours(answer)}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._reason(answer)}
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage(answer)}

    def piece(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        return self._chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])

    def last(self, answer: Answer) -> dict[str, Any]:
        delta = {"fieldpack": self._ours(answer)}
        return self._chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": self._reason(answer)}])

    def usage_chunk(self, answer: Answer) -> dict[str, Any]:
        return {**self._chunk([]), "usage": usage(answer)}

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self._head("chat.completion.chunk"), "choices": choices}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _reason(self, answer: Answer) -> str:
        return "length" if answer.cut or answer.timings.tokens >= self.limit else "stop"

    def _ours(self, answer: Answer) -> dict[str, Any]:
        """`answer` is the finished text: marks of passages that there are not, which a stream may have shown, are gone."""
        return {**answer_dict(answer), "ignored": list(self.ignored)}


def usage(answer: Answer) -> dict[str, Any]:
    timings = answer.timings
    return {
        "prompt_tokens": timings.prompt_tokens, "completion_tokens": timings.tokens,
        "total_tokens": timings.prompt_tokens + timings.tokens,
        "prompt_tokens_details": {"cached_tokens": timings.cached_tokens},
    }  # fmt: skip
