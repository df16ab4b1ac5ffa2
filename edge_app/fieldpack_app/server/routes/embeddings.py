"""POST /v1/embeddings: texts as the library's vectors, by the bundle's own embedder."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import TypedDict

from starlette.requests import Request
from starlette.responses import Response

from ..errors import HttpError, bad_request
from ..jobs import AnswerService
from ..json_body import JsonObject, field, read_json
from ..responses import Json
from ..search_pool import SearchPool
from ..settings import Limits
from .models import check_model


class EmbeddingJson(TypedDict):
    """A vector in OpenAI's form: numbers, or the base64 of little-endian float32."""

    object: str
    index: int
    embedding: str | list[float]


@dataclass(frozen=True, slots=True)
class EmbeddingsRequest:
    """The body of a request. `is_query`: whether the texts are questions (`input_type: "query"`,
    which is not OpenAI's; `extra_body` of its client) instead of passages. `dimensions`: of the
    vectors that the client expects."""

    model: str
    texts: tuple[str, ...]
    base64: bool
    is_query: bool
    dimensions: object

    @classmethod
    def parse(cls, data: JsonObject, limits: Limits) -> EmbeddingsRequest:
        """Read the body of a request. Raises HttpError (400, 422)."""
        value = data.get("input")
        texts = [value] if isinstance(value, str) else value
        if (
            not isinstance(texts, list)
            or not texts
            or any(not isinstance(text, str) for text in texts)
        ):
            raise bad_request(
                "input: want a text or a list of texts; token numbers are not taken", param="input"
            )
        if len(texts) > limits.texts:
            message = f"input: {len(texts):,} texts, at most {limits.texts} are taken"
            raise HttpError(422, "too_long", message, param="input")
        for i, text in enumerate(texts):
            if not text.strip() or len(text) > limits.text:
                message = f"input[{i}]: want 1 to {limits.text:,} characters"
                raise HttpError(422, "bad_text", message, param="input")
        coding = data.get("encoding_format") or "float"
        if coding not in ("float", "base64"):
            raise bad_request("encoding_format: want float or base64", param="encoding_format")
        return cls(
            field(data, "model", str),
            # No lone surrogates: tokenizers take none.
            tuple(text.encode("utf-8", "replace").decode() for text in texts),
            coding == "base64",
            data.get("input_type") == "query",
            data.get("dimensions"),
        )


class EmbeddingsRoute:
    """Embeds texts."""

    def __init__(self, service: AnswerService, search_pool: SearchPool) -> None:
        self._service = service
        self._search_pool = search_pool

    async def create(self, request: Request) -> Response:
        """Return the vectors of texts. Raises HttpError (400, 404, 422, 429)."""
        limits, loaded = self._service.limits, self._service.loaded
        data = await read_json(request, max_bytes=limits.v1_body, seconds=limits.body_seconds)
        check_model(field(data, "model", str), loaded.current)
        body = EmbeddingsRequest.parse(data, limits)
        expert = loaded.expert
        vectors, tokens = await self._search_pool.run(
            lambda: (
                expert.embed(body.texts, query=body.is_query),
                expert.count_embedded_tokens(body.texts, query=body.is_query),
            )
        )
        dimensions = vectors.shape[1]
        if body.dimensions not in (None, dimensions):
            raise bad_request(
                f"dimensions: this embedder's vectors have {dimensions}; leave it out",
                param="dimensions",
            )
        self._service.metrics.count("embedded_texts", len(body.texts))
        rows: list[EmbeddingJson] = [
            {
                "object": "embedding",
                "index": i,
                "embedding": b64encode(row.astype("<f4").tobytes()).decode()
                if body.base64
                else row.tolist(),
            }
            for i, row in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return Json({"object": "list", "data": rows, "model": loaded.current.id, "usage": usage})
