"""POST /v1/embeddings: texts as the library's vectors, by the bundle's own embedder."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from ..errors import HttpError, bad_request
from ..jobs import AnswerService
from ..json_body import field, read_json
from ..responses import Json
from ..search_pool import SearchPool
from ..settings import Limits
from .models import check_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Embeddings:
    """`input_type: "query"` (not OpenAI's; `extra_body` of its client) embeds questions instead of
    passages."""

    def __init__(self, answering: AnswerService, readers: SearchPool) -> None:
        self._answering = answering
        self._readers = readers

    async def create(self, request: Request) -> Response:
        limits, desk = self._answering.limits, self._answering.desk
        data = await read_json(request, limit=limits.v1_body, seconds=limits.body_seconds)
        check_model(field(data, "model", str), desk.current)
        texts = _texts(data.get("input"), limits)
        coding = data.get("encoding_format") or "float"
        if coding not in ("float", "base64"):
            raise bad_request("encoding_format: want float or base64", param="encoding_format")
        expert, query = desk.expert, data.get("input_type") == "query"
        vectors, tokens = await self._readers.run(
            lambda: (
                expert.embed(texts, query=query),
                expert.count_embedded_tokens(texts, query=query),
            )
        )
        _check_dimensions(data, vectors.shape[1])
        self._answering.metrics.count("embedded_texts", len(texts))
        rows = [
            {"object": "embedding", "index": i, "embedding": _coded(row, coding)}
            for i, row in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return Json({"object": "list", "data": rows, "model": desk.current.id, "usage": usage})


def _texts(given: object, limits: Limits) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or any(not isinstance(text, str) for text in texts):
        raise bad_request(
            "input: want a text or a list of texts; token numbers are not taken", param="input"
        )
    if len(texts) > limits.texts:
        raise HttpError(
            422,
            "too_long",
            f"input: {len(texts):,} texts, at most {limits.texts} are taken",
            param="input",
        )
    for i, text in enumerate(texts):
        if not text.strip() or len(text) > limits.text:
            raise HttpError(
                422, "bad_text", f"input[{i}]: want 1 to {limits.text:,} characters", param="input"
            )
    return [
        text.encode("utf-8", "replace").decode() for text in texts
    ]  # no lone surrogates: tokenizers take none


def _check_dimensions(data: Mapping[str, Any], dimensions: int) -> None:
    if data.get("dimensions") not in (None, dimensions):
        raise bad_request(
            f"dimensions: this embedder's vectors have {dimensions}; leave it out",
            param="dimensions",
        )


def _coded(row: NDArray[np.float32], coding: str) -> str | list[float]:
    return b64encode(row.astype("<f4").tobytes()).decode() if coding == "base64" else row.tolist()
