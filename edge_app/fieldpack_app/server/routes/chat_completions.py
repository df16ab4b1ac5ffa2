"""POST /v1/chat/completions: what OpenAI's clients send a conversation to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from fieldpack import Done, PassagesFound, Previous, QuestionError, TextPiece
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
from .models import check_model

_MAX_REMEMBERED = 256  # answers, whose passages a follow-up may refer to


class FollowUpCache:
    """Remembers which passages the latest answers were made from, by question and answer: OpenAI's
    clients send a conversation as words alone, and a follow-up refers to the passages. In memory
    only. For one event loop."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, str, str], Previous] = OrderedDict()

    def add(self, bundle: str, question: str, answers: Iterable[str], previous: Previous) -> None:
        """Remember an answer. `answers`: the same one as it was streamed and as it was finished; a
        client has either."""
        for answer in answers:
            self._entries[self._key(bundle, question, answer)] = previous
        while len(self._entries) > _MAX_REMEMBERED:
            self._entries.popitem(last=False)

    def find(self, bundle: str, question: str, answer: str) -> Previous:
        """Return what that answer was made from; for an answer of another server, or of long ago,
        its question alone."""
        key = self._key(bundle, question, answer)
        if key not in self._entries:
            return Previous(question, ())
        self._entries.move_to_end(key)
        return self._entries[key]

    @staticmethod
    def _key(bundle: str, question: str, answer: str) -> tuple[str, str, str]:
        return bundle, " ".join(question.split()), " ".join(answer.split())


class ChatCompletionsRoute:
    """Answers the last question of a conversation."""

    def __init__(self, service: AnswerService) -> None:
        self._service = service
        self._follow_ups = FollowUpCache()

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
        previous = self._previous(chat, bundle, settings.max_question_chars)
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

    def _previous(self, chat: ChatRequest, bundle: BundleEntry, max_chars: int) -> Previous | None:
        """Return what the question refers to; None where the question before is none that could
        have been asked here."""
        if chat.before is None:
            return None
        try:
            question = clean_question(chat.before.question, max_chars)
        except QuestionError:
            return None
        return self._follow_ups.find(bundle.id, question, chat.before.answer)

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
