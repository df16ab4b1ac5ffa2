"""POST /v1/chat/completions: what OpenAI's clients speak."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from fieldpack import Answer, Done, PassagesFound, Previous, QuestionError, TextPiece
from fieldpack.generation.json_schemas import check_schema
from fieldpack.rag import clean_question

from ..auth import CLIENT
from ..bundles import BundleEntry
from ..errors import HttpError
from ..jobs import AnswerJob, AnswerService
from ..json_body import field, read_json
from ..openai.request import ChatRequest, read_chat
from ..openai.response import Reply
from ..responses import Json
from ..sse import HEARTBEAT, EventStream, sse, until_gone
from .follow_ups import FollowUpCache
from .models import check_model


class Completions:
    def __init__(self, answering: AnswerService) -> None:
        self._answering = answering
        self._remembered = FollowUpCache()

    async def create(self, request: Request) -> ASGIApp:
        limits = self._answering.limits
        data = await read_json(request, limit=limits.v1_body, seconds=limits.body_seconds)
        bundle = self._answering.desk.current
        check_model(field(data, "model", str), bundle)
        wanted = read_chat(data)
        job = self._start(request, wanted, bundle)
        settings = self._answering.desk.expert.settings
        reply = Reply(
            bundle.id, settings.max_answer_tokens, wanted.schema is not None, wanted.ignored
        )
        if wanted.stream:
            return EventStream(job, self._chunks(job, reply, wanted, bundle), limits.send_seconds)
        answer = await until_gone(job.answer(), request.receive, job.stop)
        if answer is None:
            return Response(status_code=400)  # nobody reads it
        self._remember(bundle, wanted, answer, ())
        return Json(reply.whole(answer))

    def _start(self, request: Request, wanted: ChatRequest, bundle: BundleEntry) -> AnswerJob:
        most = self._answering.desk.expert.settings.max_question_chars
        question = clean_question(wanted.question, most)
        if wanted.schema is not None:
            check_schema(wanted.schema)  # before it waits for its turn
        previous = self._previous(wanted, bundle, most)
        return self._answering.start(
            request.scope[CLIENT],
            lambda expert, cancel: expert.stream(
                question, cancel=cancel, previous=previous, schema=wanted.schema
            ),
        )

    def _previous(self, wanted: ChatRequest, bundle: BundleEntry, most: int) -> Previous | None:
        """None where what was asked before is no question that could have been asked here."""
        if wanted.before is None:
            return None
        try:
            question = clean_question(wanted.before.question, most)
        except QuestionError:
            return None
        return self._remembered.find(bundle.id, question, wanted.before.answer)

    async def _chunks(
        self, job: AnswerJob, reply: Reply, wanted: ChatRequest, bundle: BundleEntry
    ) -> AsyncIterator[bytes]:
        said = ""
        async for event in job.events():
            match event:
                case PassagesFound():
                    yield sse(reply.piece({"role": "assistant", "content": ""}))
                case TextPiece(text):
                    said += text
                    yield sse(reply.piece({"content": text}))
                case Done(answer):
                    self._remember(bundle, wanted, answer, (said,))
                    yield sse(reply.last(answer))
                    if wanted.usage:
                        yield sse(reply.usage_chunk(answer))
                    yield b"data: [DONE]\n\n"
                case HttpError():
                    yield sse(event.body(openai=True))
                case _:
                    yield HEARTBEAT

    def _remember(
        self, bundle: BundleEntry, wanted: ChatRequest, answer: Answer, said: tuple[str, ...]
    ) -> None:
        self._remembered.keep(bundle.id, answer.question, (answer.text, *said), answer.previous)
