"""POST /api/ask: a question in, server-sent events out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.requests import Request

from fieldpack import Expert, Filter, Previous
from fieldpack.passages import MAX_CHUNK_ID
from fieldpack.rag import clean_question

from ..auth import CLIENT
from ..errors import bad_request
from ..jobs import AnswerJob, AnswerService, Queued
from ..json_body import JsonObject, field, list_of, read_json
from ..serialize import event_dict
from ..settings import Limits
from ..sse import HEARTBEAT, EventStream, sse
from .shown_bundle import check_shown

_MAX_PREVIOUS_PASSAGES = 100


@dataclass(frozen=True, slots=True)
class AskRequest:
    """The body of a question. `previous`: what a follow-up refers to; `where`: which documents may
    answer; `begun`: the text of an answer that was cut, to go on from."""

    question: str
    previous: Previous | None
    where: Filter | None
    begun: str

    @classmethod
    def parse(cls, data: JsonObject, expert: Expert, limits: Limits) -> AskRequest:
        """Read the body of a request. Raises HttpError (400, 422), EmptyQuestion,
        QuestionTooLong."""
        max_chars = expert.settings.max_question_chars
        question = clean_question(field(data, "question", str), max_chars)
        previous = parse_previous(data, max_chars)
        globs = list_of(data, "documents", str, max_length=limits.passages)
        folders = list_of(data, "folders", str, max_length=limits.passages)
        where = Filter(documents=globs, folders=folders) if globs or folders else None
        begun = field(data, "begun", str, default="", max_length=limits.answer)
        return cls(question, previous, where, begun)


def parse_previous(data: JsonObject, max_chars: int) -> Previous | None:
    """Return what the page sends back of the answer before, the field `previous`: its `asked`, and
    its passages' ids. Raises HttpError (400, 422), EmptyQuestion, QuestionTooLong."""
    previous = data.get("previous")
    if previous is None:
        return None
    if not isinstance(previous, dict):
        raise bad_request('previous: want {"question": ..., "passages": [...]}', param="previous")
    question = clean_question(field(previous, "question", str), max_chars)
    passages = list_of(previous, "passages", int, max_length=_MAX_PREVIOUS_PASSAGES)
    return Previous(question, tuple(chunk for chunk in passages if 0 <= chunk < MAX_CHUNK_ID))


class AskRoute:
    """Answers the page's questions."""

    def __init__(self, service: AnswerService) -> None:
        self._service = service

    async def ask(self, request: Request) -> EventStream:
        """Queue a question and stream the events of its answer."""
        limits = self._service.limits
        data = await read_json(
            request,
            max_bytes=limits.body,
            seconds=limits.body_seconds,
            known={"question", "previous", "documents", "folders", "begun"},
        )
        check_shown(request, self._service.loaded)
        body = AskRequest.parse(data, self._service.loaded.expert, limits)
        job = self._service.start(
            request.scope[CLIENT],
            lambda expert, cancel: expert.stream(
                body.question,
                cancel=cancel,
                previous=body.previous,
                where=body.where,
                begun=body.begun,
            ),
        )
        return EventStream(job, self._lines(job), limits.send_seconds)

    async def _lines(self, job: AnswerJob) -> AsyncIterator[bytes]:
        position = -1
        async for event in job.events():
            if event is None or (isinstance(event, Queued) and event.position == position):
                yield HEARTBEAT
                continue
            if isinstance(event, Queued):
                position = event.position
            if named := event_dict(event):
                yield sse(named[1], named[0])
