"""POST /api/ask: a question in, server-sent events out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.requests import Request

from fieldpack import Filter, Previous
from fieldpack.rag import clean_question

from ..auth import CLIENT
from ..errors import bad_request
from ..jobs import AnswerJob, AnswerService, Queued, Start
from ..json_body import field, list_of, read_json, refuse_unknown
from ..serialize import event_dict
from ..sse import HEARTBEAT, EventStream, sse

_FIELDS = {"question", "previous", "documents"}


class Asking:
    def __init__(self, answering: AnswerService) -> None:
        self._answering = answering

    async def ask(self, request: Request) -> EventStream:
        limits = self._answering.limits
        data = await read_json(request, limit=limits.body, seconds=limits.body_seconds)
        refuse_unknown(data, _FIELDS)
        job = self._answering.start(request.scope[CLIENT], self._begin(data))
        return EventStream(job, self._lines(job), limits.send_seconds)

    def _begin(self, data: Mapping[str, Any]) -> Start:
        settings = self._answering.desk.expert.settings
        question = clean_question(field(data, "question", str), settings.max_question_chars)
        options: dict[str, Any] = {}
        if (before := data.get("previous")) is not None:
            options["previous"] = previous_of(before, settings.max_question_chars)
        if globs := list_of(data, "documents", str, most=self._answering.limits.passages):
            options["where"] = Filter(documents=globs)
        return lambda expert, cancel: expert.stream(question, cancel=cancel, **options)

    async def _lines(self, job: AnswerJob) -> AsyncIterator[bytes]:
        last = -1
        async for event in job.events():
            if event is None or (isinstance(event, Queued) and event.position == last):
                yield HEARTBEAT
                continue
            if isinstance(event, Queued):
                last = event.position
            if named := event_dict(event):
                yield sse(named[1], named[0])


def previous_of(given: object, most: int) -> Previous:
    """What the page sends back of the answer before: `asked`, and its passages' ids."""
    if not isinstance(given, dict):
        raise bad_request('previous: want {"question": ..., "passages": [...]}', param="previous")
    question = clean_question(field(given, "question", str), most)
    passages = list_of(given, "passages", int, most=100)
    return Previous(question, tuple(chunk for chunk in passages if 0 <= chunk < 1 << 62))
