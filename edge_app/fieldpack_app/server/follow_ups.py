"""Remembers what the latest answers were made from, so that a follow-up by OpenAI's protocol goes on
from their passages. Knows nothing of HTTP's forms."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from fieldpack import Previous, QuestionError
from fieldpack.rag import clean_question

from .errors import HttpError
from .openai.request import Exchange

_MAX_REMEMBERED = 256  # answers, whose passages a follow-up may refer to


class FollowUpCache:
    """Remembers which passages the latest answers were made from, by question and answer: OpenAI's
    clients send a conversation as words alone, and a follow-up refers to the passages. In memory
    only. For one event loop."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, str, str], Previous] = OrderedDict()

    def add_response(self, bundle: str, response_id: str, previous: Previous) -> None:
        """Remember an answer by the id of its response."""
        self._entries[bundle, response_id, ""] = previous
        self._trim()

    def find_response(self, bundle: str, response_id: str) -> Previous:
        """Return what the answer of that id was made from. Raises HttpError (404)."""
        key = bundle, response_id, ""
        if key not in self._entries:
            raise HttpError(
                404,
                "response_not_found",
                f"previous_response_id: {response_id} is not remembered here, only the last "
                f"{_MAX_REMEMBERED} answers of this bundle are; send its messages instead",
                param="previous_response_id",
            )
        self._entries.move_to_end(key)
        return self._entries[key]

    def add(self, bundle: str, question: str, answers: Iterable[str], previous: Previous) -> None:
        """Remember an answer. `answers`: the same one as it was streamed and as it was finished; a
        client has either."""
        for answer in answers:
            self._entries[self._key(bundle, question, answer)] = previous
        self._trim()

    def _trim(self) -> None:
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

    def before(self, bundle: str, exchange: Exchange | None, max_chars: int) -> Previous | None:
        """Return what a question after `exchange` refers to; None where the question before is none
        that could have been asked here."""
        if exchange is None:
            return None
        try:
            question = clean_question(exchange.question, max_chars)
        except QuestionError:
            return None
        return self.find(bundle, question, exchange.answer)

    @staticmethod
    def _key(bundle: str, question: str, answer: str) -> tuple[str, str, str]:
        return bundle, " ".join(question.split()), " ".join(answer.split())
