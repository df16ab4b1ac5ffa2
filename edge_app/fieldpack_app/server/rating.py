"""POST /api/feedback: what a reader thinks of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from .bodies import field, list_of, read_json, refuse_unknown
from .desk import Desk
from .errors import bad_request
from .notes import Notes
from .reading import Readers
from .settings import Limits

_FIELDS = {"question", "answer", "rating", "note", "passages", "refused"}


class Rating:
    def __init__(self, desk: Desk, readers: Readers, notes: Notes, limits: Limits) -> None:
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
        return {
            "rating": data["rating"],
            "question": field(data, "question", str, most=self._limits.answer),
            "answer": field(data, "answer", str, most=self._limits.answer),
            "note": field(data, "note", str, "", most=self._limits.note),
            "passages": list_of(data, "passages", int, most=self._limits.passages),
            "refused": field(data, "refused", bool, False),
        }
