"""POST /api/feedback: what a reader thinks of an answer."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields

from starlette.requests import Request
from starlette.responses import Response

from fieldpack.passages import MAX_CHUNK_ID

from ..errors import bad_request
from ..feedback_log import FeedbackLog
from ..json_body import JsonObject, field, list_of, read_json
from ..loaded_bundle import LoadedBundle
from ..search_pool import SearchPool
from ..settings import Limits
from .shown_bundle import check_shown

_ANSWER_ID = re.compile(r"[A-Za-z0-9_-]{0,64}")


@dataclass(frozen=True, slots=True)
class FeedbackRequest:
    """The body of a rating: up or down, with a note perhaps. `passages`: the chunk ids that the
    answer was made from; `cited`: the one that it cites first, None where it cites none;
    `answer_id`: the same in all ratings of one answer, or empty."""

    rating: str
    question: str
    answer: str
    note: str
    passages: tuple[int, ...]
    refused: bool
    answer_id: str
    cited: int | None

    @classmethod
    def parse(cls, data: JsonObject, limits: Limits) -> FeedbackRequest:
        """Read the body of a request. Raises HttpError (400, 422)."""
        rating = data.get("rating")
        if rating not in ("up", "down"):
            raise bad_request('rating: want "up" or "down"', param="rating")
        passages = list_of(data, "passages", int, max_length=limits.passages)
        if any(not 0 <= number < MAX_CHUNK_ID for number in passages):
            raise bad_request("passages: want chunk ids, as an answer has them", param="passages")
        cited = data.get("cited")
        if cited is not None and (type(cited) is not int or cited not in passages):
            raise bad_request("cited: want one of the passages, or null", param="cited")
        answer_id = field(data, "answer_id", str, "")
        if not _ANSWER_ID.fullmatch(answer_id):
            raise bad_request(
                "answer_id: want at most 64 letters, digits, - and _", param="answer_id"
            )
        return cls(
            str(rating),
            field(data, "question", str, max_length=limits.answer),
            field(data, "answer", str, max_length=limits.answer),
            field(data, "note", str, "", max_length=limits.note),
            passages,
            field(data, "refused", bool, False),
            answer_id,
            cited,
        )


class FeedbackRoute:
    """Writes ratings down."""

    def __init__(
        self,
        loaded: LoadedBundle,
        search_pool: SearchPool,
        feedback_log: FeedbackLog,
        limits: Limits,
    ) -> None:
        self._loaded = loaded
        self._search_pool = search_pool
        self._feedback_log = feedback_log
        self._limits = limits

    async def rate(self, request: Request) -> Response:
        """Append a rating to the feedback log."""
        data = await read_json(
            request,
            max_bytes=self._limits.body,
            seconds=self._limits.body_seconds,
            known={key.name for key in fields(FeedbackRequest)},
        )
        rating = asdict(FeedbackRequest.parse(data, self._limits))
        if not rating["answer_id"]:
            del rating["answer_id"]
        if "cited" not in data:  # then only the answer's own marks say what it cites
            del rating["cited"]
        check_shown(request, self._loaded)
        bundle = self._loaded.current.id
        await self._search_pool.run(lambda: self._feedback_log.write("rating", bundle, rating))
        return Response(status_code=204)
