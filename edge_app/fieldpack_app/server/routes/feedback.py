"""POST /api/feedback: what a reader thinks of an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ...feedback import MOST_CHUNK
from ..errors import bad_request
from ..feedback_log import FeedbackLog
from ..json_body import field, list_of, read_json, refuse_unknown
from ..loaded_bundle import LoadedBundle
from ..search_pool import SearchPool
from ..settings import Limits

_FIELDS = {"question", "answer", "rating", "note", "passages", "refused", "answer_id"}
_ANSWER_ID = re.compile(r"[A-Za-z0-9_-]{0,64}")


class Rating:
    def __init__(
        self, desk: LoadedBundle, readers: SearchPool, notes: FeedbackLog, limits: Limits
    ) -> None:
        self._desk = desk
        self._readers = readers
        self._notes = notes
        self._limits = limits

    async def rate(self, request: Request) -> Response:
        data = await read_json(request, limit=self._limits.body, seconds=self._limits.body_seconds)
        fields, bundle = self._fields(data), self._desk.current.id
        await self._readers.run(lambda: self._notes.write("rating", bundle, fields))
        return Response(status_code=204)

    def _fields(self, data: Mapping[str, Any]) -> dict[str, Any]:
        refuse_unknown(data, _FIELDS)
        if data.get("rating") not in ("up", "down"):
            raise bad_request('rating: want "up" or "down"', param="rating")
        passages = list_of(data, "passages", int, most=self._limits.passages)
        if any(not 0 <= number < MOST_CHUNK for number in passages):
            raise bad_request("passages: want chunk ids, as an answer has them", param="passages")
        answer_id = field(data, "answer_id", str, "")
        if not _ANSWER_ID.fullmatch(answer_id):
            raise bad_request(
                "answer_id: want at most 64 letters, digits, - and _", param="answer_id"
            )
        return {
            "rating": data["rating"],
            "question": field(data, "question", str, most=self._limits.answer),
            "answer": field(data, "answer", str, most=self._limits.answer),
            "note": field(data, "note", str, "", most=self._limits.note),
            "passages": passages,
            "refused": field(data, "refused", bool, False),
            **({"answer_id": answer_id} if answer_id else {}),
        }
