"""POST /v1/chat/completions, and /v1/responses, which OpenAI's clients send questions to since 2025:
two forms of one conversation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from fieldpack import Answer, Done, PassagesFound, TextPiece
from fieldpack.generation.json_schemas import check_schema
from fieldpack.rag import clean_question

from ..auth import CLIENT
from ..errors import HttpError
from ..follow_ups import FollowUpCache
from ..jobs import AnswerJob, AnswerService
from ..json_body import JsonObject, field, read_json
from ..openai.request import AnswerRequest, read_chat
from ..openai.response import ChatWriter
from ..openai.responses_reply import ResponseWriter
from ..openai.responses_request import read_responses
from ..responses import Json
from ..sse import HEARTBEAT, EventStream, until_gone
from .models import check_model

_Request = TypeVar("_Request", bound=AnswerRequest)


class AnswerWriter(Protocol):
    """Writes one answer in one of OpenAI's forms, whole or as the events of a stream."""

    id: str

    def whole(self, answer: Answer) -> Mapping[str, Any]:
        """Return the whole answer as one JSON object."""
        ...

    def begin(self) -> Iterable[bytes]:
        """Return what begins a stream, the first time; nothing after it."""
        ...

    def piece(self, text: str) -> Iterable[bytes]:
        """Return the events of the next words of the answer."""
        ...

    def end(self, answer: Answer) -> Iterable[bytes]:
        """Return the events that end the stream of a whole answer."""
        ...

    def failed(self, error: HttpError) -> bytes:
        """Return the event that ends a stream which broke off."""
        ...


class OpenAiAnswerRoutes:
    """Answers the last question of a conversation."""

    def __init__(self, service: AnswerService, follow_ups: FollowUpCache) -> None:
        self._service = service
        self._follow_ups = follow_ups

    async def chat_completion(self, request: Request) -> ASGIApp:
        """Answer with a chat completion."""
        return await self._answer(request, read_chat, ChatWriter)

    async def response(self, request: Request) -> ASGIApp:
        """Answer with a response."""
        return await self._answer(request, read_responses, ResponseWriter)

    async def _answer(
        self,
        request: Request,
        read: Callable[[JsonObject], _Request],
        make_writer: Callable[[str, _Request], AnswerWriter],
    ) -> ASGIApp:
        """Queue a question, and answer whole or as a stream. Raises HttpError (400, 404, 422,
        429)."""
        limits, loaded = self._service.limits, self._service.loaded
        data = await read_json(request, max_bytes=limits.v1_body, seconds=limits.body_seconds)
        bundle, settings = loaded.current, loaded.expert.settings
        check_model(field(data, "model", str), bundle)
        body = read(data)
        question = clean_question(body.question, settings.max_question_chars)
        if body.schema is not None:
            check_schema(body.schema)  # before it waits in the queue
        previous = self._follow_ups.before(bundle.id, body.before, settings.max_question_chars)
        if previous is None and body.previous_id:
            previous = self._follow_ups.find_response(bundle.id, body.previous_id)
        job = self._service.start(
            request.scope[CLIENT],
            lambda expert, cancel: expert.stream(
                question, cancel=cancel, previous=previous, schema=body.schema
            ),
        )
        writer = make_writer(bundle.id, body)

        def remember(answer: Answer, texts: tuple[str, ...]) -> None:
            self._follow_ups.add(bundle.id, answer.question, texts, answer.previous)
            if body.store:
                self._follow_ups.add_response(bundle.id, writer.id, answer.previous)

        if body.stream:
            return EventStream(job, _events(job, writer, remember), limits.send_seconds)
        answer = await until_gone(job.answer(), request.receive, job.stop)
        if answer is None:
            return Response(status_code=400)  # nobody reads it
        remember(answer, (answer.text,))
        return Json(writer.whole(answer))


async def _events(
    job: AnswerJob, writer: AnswerWriter, remember: Callable[[Answer, tuple[str, ...]], None]
) -> AsyncIterator[bytes]:
    """Yield the events of a stream, and remember the finished answer."""
    streamed = ""
    async for event in job.events():
        match event:
            case PassagesFound():
                for line in writer.begin():
                    yield line
            case TextPiece(text):
                streamed += text
                for line in (*writer.begin(), *writer.piece(text)):
                    yield line
            case Done(answer):
                remember(answer, (answer.text, streamed))
                for line in (*writer.begin(), *writer.end(answer)):
                    yield line
            case HttpError():
                yield writer.failed(event)
            case _:
                yield HEARTBEAT
