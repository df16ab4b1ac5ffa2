"""The page of a source PDF that a passage stands on: its picture, and where the quote is on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict
from urllib.parse import quote_plus as quote_query

from starlette.requests import Request
from starlette.responses import Response

from fieldpack import Expert
from fieldpack.passages import PassageContext

from ...originals.drawing import CannotDraw, DrawnPage, PageDrawer, TooManyDrawings
from ..errors import HttpError
from ..json_body import field, read_json
from ..loaded_bundle import LoadedBundle
from ..responses import Json
from ..search_pool import SearchPool
from ..settings import Limits
from .library import number_of
from .shown_bundle import check_shown


class OriginalJson(TypedDict):
    """A page as it looks: the address of its `picture`, that is `width` x `height` pixels, and the
    `boxes` of the quote, as shares of them (left, top, right, bottom). No box: the quote was not
    found on the page."""

    picture: str
    width: int
    height: int
    boxes: Sequence[Sequence[float]]


class OriginalRoutes:
    """Shows pages of the PDFs that the bundle carries."""

    def __init__(self, loaded: LoadedBundle, search_pool: SearchPool, limits: Limits) -> None:
        self._loaded = loaded
        self._search_pool = search_pool
        self._limits = limits
        self._drawer = PageDrawer()

    async def find(self, request: Request) -> Response:
        """Draw the page of a passage and find the quote on it; without a quote the whole passage.
        Raises HttpError (400, 404, 409, 422, 429)."""
        data = await read_json(
            request,
            max_bytes=self._limits.body,
            seconds=self._limits.body_seconds,
            known={"chunk_id", "end", "quote"},
        )
        chunk, quote = field(data, "chunk_id", int), field(data, "quote", str, default="")
        end = field(data, "end", int, default=0) or None
        check_shown(request, self._loaded)
        bundle = quote_query(self._loaded.current.id)
        drawn = await self._draw(str(chunk), end=end, quote=quote)
        reply: OriginalJson = {
            "picture": f"/api/originals/{chunk}/picture?bundle={bundle}",
            "width": drawn.width,
            "height": drawn.height,
            "boxes": drawn.boxes,
        }
        return Json(reply)

    async def picture(self, request: Request) -> Response:
        """Return the picture of the page that a passage stands on. Raises HttpError (400, 404, 409,
        422, 429)."""
        check_shown(request, self._loaded)
        drawn = await self._draw(request.path_params["id"], again=False)
        return Response(drawn.png, media_type="image/png")

    async def _draw(
        self, chunk: str, *, end: int | None = None, quote: str = "", again: bool = True
    ) -> DrawnPage:
        """Return the page of a passage. `again`: also where it was drawn lately, for its boxes."""
        expert, number = self._loaded.expert, number_of(chunk, "chunk_id")
        context, digest = await self._search_pool.run(lambda: _source_of(expert, number, end))
        page = context.page or 1
        if not again and (kept := self._drawer.kept(digest, page)):
            return kept
        with await self._search_pool.run(lambda: expert.open_original(digest)) as file:
            try:
                return await self._drawer.draw(
                    file, digest, page, quote=quote or context.text, passage=context.text
                )
            except TooManyDrawings as error:
                raise HttpError(
                    429, "queue_full", str(error), headers={"Retry-After": "1"}
                ) from None
            except CannotDraw as error:
                raise HttpError(422, "cannot_draw", str(error)) from None


def _source_of(expert: Expert, chunk: int, end: int | None) -> tuple[PassageContext, str]:
    """Return a passage and the SHA-256 of the PDF that it is from. Raises NoSuchPassage, HttpError
    (404)."""
    context = expert.context(chunk, characters=0, end=end)
    digest = expert.original_of(context.document)
    if digest is None:
        raise HttpError(
            404, "no_original", f"{context.document}: this bundle does not carry its pages"
        )
    return context, digest
