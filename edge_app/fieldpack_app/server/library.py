"""What the page shows beside answers: passages, searches, the bundle's facts and its report."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import fieldpack

from ..highlight import question_spans
from ..info import describe
from .desk import Desk
from .errors import HttpError, bad_request
from .metrics import Metrics
from .reading import Readers
from .settings import Limits
from .shelf import Shelved
from .wire import passage_dict

_REPORT = "report/report.html"
# The report is a whole page with its style in it; sandboxed it has no origin, so that nothing in it can speak to us.
_REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
_PARTS = ("onnxruntime", "onnxruntime-genai", "tokenizers", "usearch", "numpy")


class Library:
    def __init__(self, desk: Desk, readers: Readers, metrics: Metrics, limits: Limits) -> None:
        self._desk = desk
        self._readers = readers
        self._metrics = metrics
        self._limits = limits

    async def search(self, request: Request) -> Response:
        question, count = request.query_params.get("q", ""), request.query_params.get("k", "5")
        if not (count.isascii() and count.isdigit() and 1 <= int(count) <= self._limits.passages):
            raise bad_request(f"k: want a number from 1 to {self._limits.passages}", param="k")
        self._metrics.count("searches")
        expert = self._desk.expert
        return JSONResponse(await self._readers.run(lambda: _found(expert, question, int(count))))

    async def about(self, request: Request) -> Response:
        bundle = self._desk.current
        return JSONResponse(await self._readers.run(lambda: _about(bundle)))

    async def report(self, request: Request) -> Response:
        bundle = self._desk.current
        if not _has_report(bundle):
            raise HttpError(404, "no_report", f"{bundle.id} was built without a report")
        html = await self._readers.run((bundle.path / _REPORT).read_bytes)
        headers = {"content-security-policy": _REPORT_POLICY}
        return Response(html, media_type="text/html; charset=utf-8", headers=headers)


def _found(expert: fieldpack.Expert, question: str, count: int) -> list[dict[str, Any]]:
    found = expert.search(question, count)
    lit = question_spans([passage.text for passage in found], question)
    return [{**passage_dict(passage), "highlights": spans} for passage, spans in zip(found, lit, strict=True)]


def _about(bundle: Shelved) -> dict[str, Any]:
    """As `fieldpack info --json`; the figures of its report under `measured`, as `report` says whether there is a page."""
    facts = describe(bundle.path)
    measured = facts.pop("report")
    return {"id": bundle.id, **facts, "measured": measured, "report": _has_report(bundle), "runtime": _versions()}


def _has_report(bundle: Shelved) -> bool:
    return any(entry.path == _REPORT for entry in bundle.manifest.files)


def _versions() -> dict[str, str | None]:
    return {"fieldpack": fieldpack.__version__, "python": platform.python_version(), **{p: _version(p) for p in _PARTS}}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
