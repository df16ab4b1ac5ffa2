"""POST /v1/chat/completions: what OpenAI's clients send a conversation to."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from fieldpack import Done, PassagesFound, TextPiece
from fieldpack.generation.json_schemas import check_schema
from fieldpack.rag import clean_question

from ..auth import CLIENT
from ..bundles import BundleEntry
from ..errors import HttpError
from ..follow_ups import FollowUpCache
from ..jobs import AnswerJob, AnswerService
from ..json_body import field, read_json
from ..openai.request import ChatRequest, read_chat
from ..openai.response import Reply
from ..responses import Json
from ..sse import HEARTBEAT, EventStream, sse, until_gone
from .models import check_model


class ChatCompletionsRoute:
    """Answers the last question of a conversation."""

    def __init__(self, service: AnswerService, follow_ups: FollowUpCache) -> None:
        self._service = service
        self._follow_ups = follow_ups

    async def create(self, request: Request) -> ASGIApp:
        """Queue a question, and answer whole or as a stream of chunks."""
        limits, loaded = self._service.limits, self._service.loaded
        data = await read_json(request, max_bytes=limits.v1_body, seconds=limits.body_seconds)
        bundle, settings = loaded.current, loaded.expert.settings
        check_model(field(data, "model", str), bundle)
        chat = read_chat(data)
        question = clean_question(chat.question, settings.max_question_chars)
        if chat.schema is not None:
            check_schema(chat.schema)  # before it waits in the queue
        previous = self._follow_ups.before(bundle.id, chat.before, settings.max_question_chars)
        job = self._service.start(
            request.scope[CLIENT],
            lambda expert, cancel: expert.stream(
                question, cancel=cancel, previous=previous, schema=chat.schema
            ),
        )
        reply = Reply(bundle.id, settings.max_answer_tokens, chat.schema is not None, chat.ignored)
        if chat.stream:
            return EventStream(job, self._chunks(job, reply, chat, bundle), limits.send_seconds)
        answer = await until_gone(job.answer(), request.receive, job.stop)
        if answer is None:
            return Response(status_code=400)  # nobody reads it
        self._follow_ups.add(bundle.id, answer.question, (answer.text,), answer.previous)
        return Json(reply.whole(answer))

    async def _chunks(
        self, job: AnswerJob, reply: Reply, chat: ChatRequest, bundle: BundleEntry
    ) -> AsyncIterator[bytes]:
        streamed = ""
        async for event in job.events():
            match event:
                case PassagesFound():
                    yield sse(reply.piece({"role": "assistant", "content": ""}))
                case TextPiece(text):
                    streamed += text
                    yield sse(reply.piece({"content": text}))
                case Done(answer):
                    texts = (answer.text, streamed)
                    self._follow_ups.add(bundle.id, answer.question, texts, answer.previous)
                    yield sse(reply.last(answer))
                    if chat.usage:
                        yield sse(reply.usage_chunk(answer))
                    yield b"data: [DONE]\n\n"
                case HttpError():
                    yield sse(event.body(openai=True))
                case _:
                    yield HEARTBEAT
