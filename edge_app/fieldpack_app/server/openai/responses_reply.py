"""Writes an answer in the forms of OpenAI's responses, whole or as a stream of events; passages,
quotes and figures without source are in a field of our own, `fieldpack`. Knows nothing of requests.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fieldpack import Answer

from ..errors import HttpError
from ..serialize import answer_dict
from ..sse import sse
from .responses_request import ResponsesRequest

Json = dict[str, Any]


@dataclass(slots=True)
class ResponseWriter:
    """Writes one answer. The events of a stream are numbered in the order in which they are
    made."""

    model: str
    request: ResponsesRequest
    id: str = field(default_factory=lambda: f"resp_{secrets.token_hex(16)}")
    created: int = field(default_factory=lambda: int(time.time()))
    _events: int = 0
    _text: str = ""
    _held: str = ""  # the latest piece, while it may still be a refusal
    _begun: bool = False

    def whole(self, answer: Answer) -> Json:
        """Return the response with the whole answer."""
        status = "incomplete" if answer.cut else "completed"
        item = self._item(status, [self._part(answer)])
        timings = answer.timings
        return {
            **self._response(status, [item]),
            "incomplete_details": {"reason": "max_output_tokens"} if answer.cut else None,
            "usage": {
                "input_tokens": timings.prompt_tokens,
                "input_tokens_details": {
                    "cached_tokens": timings.cached_tokens,
                    "cache_write_tokens": timings.prompt_tokens - timings.cached_tokens,
                },
                "output_tokens": timings.tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": timings.prompt_tokens + timings.tokens,
            },
            "fieldpack": {**answer_dict(answer), "ignored": list(self.request.ignored)},
        }

    def begin(self) -> Iterator[bytes]:
        """Yield the events that begin a stream."""
        if not self._begun:
            self._begun = True
            yield self._event("created", response=self._response("in_progress", []))
            yield self._event("in_progress", response=self._response("in_progress", []))
            item = self._item("in_progress", [])
            yield self._event("output_item.added", output_index=0, item=item)

    def piece(self, text: str) -> Iterator[bytes]:
        """Yield the events for the next piece of the answer's text. With a schema a piece is held
        back until the next one comes: the text of a refusal, which is no JSON, comes in one."""
        if self.request.schema is None:
            yield from self._delta(text)
        else:
            held, self._held = self._held, text
            yield from self._delta(held)

    def end(self, answer: Answer) -> Iterator[bytes]:
        """Yield the events that end a stream. The finished text may differ from the pieces: marks
        that point nowhere are gone."""
        part = self._part(answer)
        if part["type"] == "output_text":
            yield from self._delta(self._held)
            if not self._text:
                yield self._place("content_part.added", part={**part, "text": ""})
            yield self._place("output_text.done", text=part["text"], logprobs=[])
        else:
            yield self._place("content_part.added", part={**part, "refusal": ""})
            yield self._place("refusal.delta", delta=part["refusal"])
            yield self._place("refusal.done", refusal=part["refusal"])
        yield self._place("content_part.done", part=part)
        response = self.whole(answer)
        yield self._event("output_item.done", output_index=0, item=response["output"][0])
        yield self._event(response["status"], response=response)

    def failed(self, error: HttpError) -> bytes:
        """Return the event that ends a stream with an error."""
        self._events += 1
        data = {
            "type": "error",
            "code": error.code,
            "message": error.message,
            "param": error.param,
            "sequence_number": self._events - 1,
        }
        return sse(data, "error")

    def _delta(self, text: str) -> Iterator[bytes]:
        if not text:
            return
        if not self._text:
            empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            yield self._place("content_part.added", part=empty)
        self._text += text
        yield self._place("output_text.delta", delta=text, logprobs=[])

    def _place(self, name: str, **data: Any) -> bytes:
        """Return an event on the one part of the one message."""
        place = {"item_id": self._item_id, "output_index": 0, "content_index": 0}
        return self._event(name, **place, **data)

    def _event(self, name: str, **data: Any) -> bytes:
        kind = f"response.{name}"
        self._events += 1
        return sse({"type": kind, "sequence_number": self._events - 1, **data}, kind)

    @property
    def _item_id(self) -> str:
        return self.id.replace("resp_", "msg_")

    def _item(self, status: str, content: list[Json]) -> Json:
        return {
            "id": self._item_id,
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": content,
        }

    def _part(self, answer: Answer) -> Json:
        """Return the message's one part: its text with the documents that it cites, or with a schema
        a refusal, which is no JSON."""
        if answer.refused and self.request.schema is not None:
            return {"type": "refusal", "refusal": answer.text}
        annotations = [
            {
                "type": "file_citation",
                "file_id": one.document,
                "filename": one.document,
                "index": one.passage - 1,
            }
            for one in answer.citations
        ]
        return {
            "type": "output_text",
            "text": answer.text,
            "annotations": annotations,
            "logprobs": [],
        }

    def _response(self, status: str, output: list[Json]) -> Json:
        request = self.request
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "max_output_tokens": None,
            "metadata": request.metadata,
            "model": self.model,
            "output": output,
            "parallel_tool_calls": False,
            "previous_response_id": request.previous_id,
            "store": request.store,
            "temperature": None,
            "text": {"format": request.text_format},
            "tool_choice": "none",
            "tools": [],
            "top_p": None,
            "truncation": "disabled",
            "usage": None,
        }
