"""POST /v1/responses: what OpenAI's clients send a question to since 2025."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from fieldpack import Answer, Done, PassagesFound, TextPiece
from fieldpack.generation.json_schemas import check_schema
from fieldpack.rag import clean_question

from ..auth import CLIENT
from ..bundles import BundleEntry
from ..errors import HttpError
from ..follow_ups import FollowUpCache
from ..jobs import AnswerJob, AnswerService
from ..json_body import field, read_json
from ..openai.responses_reply import ResponseWriter
from ..openai.responses_request import read_responses
from ..responses import Json
from ..sse import HEARTBEAT, EventStream, until_gone
from .models import check_model


class ResponsesRoute:
    """Answers a question, whole or as a stream of events."""

    def __init__(self, service: AnswerService, follow_ups: FollowUpCache) -> None:
        self._service = service
        self._follow_ups = follow_ups

    async def create(self, request: Request) -> ASGIApp:
        """Queue a question, and answer it. Raises HttpError (400, 404, 422, 429)."""
        limits, loaded = self._service.limits, self._service.loaded
        data = await read_json(request, max_bytes=limits.v1_body, seconds=limits.body_seconds)
        bundle, settings = loaded.current, loaded.expert.settings
        check_model(field(data, "model", str), bundle)
        body = read_responses(data)
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
        writer = ResponseWriter(bundle.id, settings.max_answer_tokens, body)
        if body.stream:
            return EventStream(job, self._events(job, writer, bundle), limits.send_seconds)
        answer = await until_gone(job.answer(), request.receive, job.stop)
        if answer is None:
            return Response(status_code=400)  # nobody reads it
        self._remember(answer, writer, bundle, (answer.text,))
        return Json(writer.whole(answer))

    def _remember(
        self, answer: Answer, writer: ResponseWriter, bundle: BundleEntry, texts: tuple[str, ...]
    ) -> None:
        self._follow_ups.add(bundle.id, answer.question, texts, answer.previous)
        if writer.request.store:
            self._follow_ups.add_response(bundle.id, writer.id, answer.previous)

    async def _events(
        self, job: AnswerJob, writer: ResponseWriter, bundle: BundleEntry
    ) -> AsyncIterator[bytes]:
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
                    self._remember(answer, writer, bundle, (answer.text, streamed))
                    for line in (*writer.begin(), *writer.end(answer)):
                        yield line
                case HttpError():
                    yield writer.failed(event)
                case _:
                    yield HEARTBEAT
