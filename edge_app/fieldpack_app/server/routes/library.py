"""What the page shows beside answers: passages, searches, the bundle's facts and its report."""

from __future__ import annotations

import platform
import re
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

import fieldpack
from fieldpack.bundle.golden import read_golden
from fieldpack.citations import place
from fieldpack.index.reader import library_documents
from fieldpack.passages import Chunk

from ...info import at, describe
from ...terminal.highlight import question_spans
from ..bundles import BundleEntry
from ..errors import HttpError, bad_request
from ..loaded_bundle import LoadedBundle
from ..metrics import Metrics
from ..responses import Json
from ..search_pool import SearchPool
from ..serialize import passage_dict
from ..settings import Limits

_REPORT = "report/report.html"
# The report is a whole page with its style in it; sandboxed it has no origin, so that nothing in it
# can speak to us.
_REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)
_PARTS = ("onnxruntime", "onnxruntime-genai", "tokenizers", "usearch", "numpy")


class Library:
    def __init__(
        self, desk: LoadedBundle, readers: SearchPool, metrics: Metrics, limits: Limits
    ) -> None:
        self._desk = desk
        self._readers = readers
        self._metrics = metrics
        self._limits = limits

    async def search(self, request: Request) -> Response:
        question, count = (
            request.query_params.get("q", ""),
            _number(request.query_params.get("k", "5"), "k"),
        )
        if not 1 <= count <= self._limits.passages:
            raise bad_request(f"k: want a number from 1 to {self._limits.passages}", param="k")
        self._metrics.count("searches")
        expert = self._desk.expert
        return Json(await self._readers.run(lambda: _found(expert, question, count)))

    async def passage(self, request: Request) -> Response:
        """Where a passage stands: its page's text around it. `end` as the passage has it, which may
        be joined of two."""
        expert, chunk = self._desk.expert, _number(request.path_params["id"], "id")
        end = _number(request.query_params["end"], "end") if "end" in request.query_params else None
        found = await self._readers.run(lambda: expert.context(chunk, end=end))
        return Json({**asdict(found), "place": place(found.document, found.page)})

    async def documents(self, request: Request) -> Response:
        """What the library holds, by path; no model is opened for it."""
        bundle = self._desk.current
        return Json(await self._readers.run(lambda: _documents(bundle)))

    async def outline(self, request: Request) -> Response:
        """A document's passages in reading order, for paging through it; their texts come one by
        one, with their pages."""
        expert, document = self._desk.expert, request.query_params.get("document", "")
        chunks = await self._readers.run(lambda: expert.chunks(document))
        if not chunks:
            raise HttpError(
                404, "no_document", f"{document!r} is no document of this library", param="document"
            )
        return Json([_entry(number, chunk) for number, chunk in chunks])

    async def about(self, request: Request) -> Response:
        bundle = self._desk.current
        return Json(await self._readers.run(lambda: _about(bundle)))

    async def report(self, request: Request) -> Response:
        bundle = self._desk.current
        if not _has_report(bundle):
            raise HttpError(404, "no_report", f"{bundle.id} was built without a report")
        html = await self._readers.run((bundle.path / _REPORT).read_bytes)
        headers = {"content-security-policy": _REPORT_POLICY}
        return Response(html, media_type="text/html; charset=utf-8", headers=headers)


def _number(text: str, name: str) -> int:
    """As SQLite holds it, and not more."""
    if not re.fullmatch("[0-9]{1,18}", text):
        raise bad_request(f"{name}: want a number", param=name)
    return int(text)


def _documents(bundle: BundleEntry) -> list[dict[str, Any]]:
    if not bundle.manifest.has("knowledge"):
        return []
    records = library_documents(bundle.path / "knowledge")
    return [
        {"document": one.path, "title": one.title, "pages": one.pages, "date": one.date}
        for one in records
    ]


def _entry(number: int, chunk: Chunk) -> dict[str, Any]:
    parts = {
        "title": chunk.title,
        "heading": list(chunk.heading),
        "page": chunk.page,
        "end": chunk.end,
    }
    return {
        "chunk_id": number,
        "document": chunk.document,
        **parts,
        "place": place(chunk.document, chunk.page),
        "text": "",
    }


def _found(expert: fieldpack.Expert, question: str, count: int) -> list[dict[str, Any]]:
    found = expert.search(question, count)
    lit = question_spans([passage.text for passage in found], question)
    return [
        {**passage_dict(passage), "highlights": spans}
        for passage, spans in zip(found, lit, strict=True)
    ]


def _about(bundle: BundleEntry) -> dict[str, Any]:
    """As `fieldpack info --json`, but of the report only what was measured of the arm that ships,
    as `measured`; `report` says whether there is a page of it, `examples` what the page offers to
    ask: questions that it answered where it was built."""
    facts = describe(bundle.path)
    measured = at(facts, "report", "arms", str(at(facts, "report").get("shipped")))
    examples = [golden.question for golden in read_golden(bundle.path) if not golden.refused]
    page = {"report": _has_report(bundle), "examples": examples, "runtime": _versions()}
    return {"id": bundle.id, **facts, "measured": measured, **page}


def _has_report(bundle: BundleEntry) -> bool:
    return any(entry.path == _REPORT for entry in bundle.manifest.files)


def _versions() -> dict[str, str]:
    own = {"fieldpack": fieldpack.__version__, "python": platform.python_version()}
    return own | {package: version(package) for package in _PARTS}
