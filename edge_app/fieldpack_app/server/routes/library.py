"""The routes of what the page shows beside answers: passages, searches, the bundle's facts and its
report."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TypedDict, cast

from starlette.requests import Request
from starlette.responses import Response

import fieldpack
from fieldpack import Filter
from fieldpack.bundle.golden import read_golden
from fieldpack.bundle.manifest import ORIGINALS, read_manifest
from fieldpack.citations import place
from fieldpack.devices import package_versions
from fieldpack.index.reader import library_documents

from ...info import BundleSummary, guarantee, read_report, shipped_figures, summarize
from ...originals.drawing import PACKAGE, is_installed
from ...terminal.highlight import Span, question_spans
from ..bundles import BundleEntry
from ..errors import HttpError, bad_request
from ..loaded_bundle import LoadedBundle
from ..metrics import Metrics
from ..responses import Json
from ..search_pool import SearchPool
from ..serialize import PlacedPassageJson, placed_passage
from ..settings import Limits
from .shown_bundle import check_shown

_REPORT = "report/report.html"
# The report is a whole page with its style in it; sandboxed it has no origin, so that nothing in it
# can speak to us.
_REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)


class DocumentJson(TypedDict):
    """A document of the library."""

    document: str
    title: str
    pages: int
    date: str | None


class ChunkJson(TypedDict):
    """A chunk of a document's outline; its text is empty, and comes with its page."""

    chunk_id: int
    document: str
    title: str
    heading: list[str]
    page: int | None
    end: int
    place: str
    text: str


class SearchResultJson(PlacedPassageJson):
    """A passage with [start, end] of the question's words in its text."""

    highlights: Sequence[Span]


class AboutJson(BundleSummary):
    """What a bundle says of itself, as in `fieldpack info --json`, but of the report only what was
    `measured` of the arm that ships and its `guarantee`, empty where there is none. `report`:
    whether there is a page of it; `examples`: questions that the page offers, which were answered
    where the bundle was built; `runtime`: versions. `originals`: whether the bundle carries source
    PDFs, and `lacks`: the package that this machine needs to show them, empty where it is there."""

    id: str
    report: bool
    measured: Mapping[str, object]
    guarantee: Mapping[str, object]
    examples: list[str]
    runtime: dict[str, str]
    originals: bool
    lacks: str


class ContextJson(TypedDict):
    """A passage with its page's text around it. `original`: whether the bundle carries the page that
    it stands on, as a PDF."""

    document: str
    title: str
    page: int | None
    heading: Sequence[str]
    before: str
    text: str
    after: str
    start: int
    end: int
    place: str
    original: bool


class LibraryRoutes:
    """Reads the library and the bundle's small files."""

    def __init__(
        self, loaded: LoadedBundle, search_pool: SearchPool, metrics: Metrics, limits: Limits
    ) -> None:
        self._loaded = loaded
        self._search_pool = search_pool
        self._metrics = metrics
        self._limits = limits

    async def search(self, request: Request) -> Response:
        """Return the best passages for a question, of the folders that are named if any are, with
        its words in them. Raises HttpError (400, 409, 429)."""
        question = request.query_params.get("q", "")
        count = number_of(request.query_params.get("k", "5"), "k")
        if not 1 <= count <= self._limits.passages:
            raise bad_request(f"k: want a number from 1 to {self._limits.passages}", param="k")
        folders = tuple(request.query_params.getlist("folder")[: self._limits.passages])
        where = Filter(folders=folders) if folders else None
        self._metrics.count("searches")
        check_shown(request, self._loaded)
        expert = self._loaded.expert

        def search() -> list[SearchResultJson]:
            passages = expert.search(question, count, where=where)
            texts = [passage.text for passage in passages]
            spans = question_spans(texts, question, expert.languages)
            return [
                {**placed_passage(passage), "highlights": highlights}
                for passage, highlights in zip(passages, spans, strict=True)
            ]

        return Json(await self._search_pool.run(search))

    async def passage(self, request: Request) -> Response:
        """Return a passage with its page's text around it. `end`: the passage's, which may be joined
        of two chunks."""
        check_shown(request, self._loaded)
        expert, chunk = self._loaded.expert, number_of(request.path_params["id"], "id")
        end = (
            number_of(request.query_params["end"], "end") if "end" in request.query_params else None
        )

        def read() -> ContextJson:
            context = expert.context(chunk, end=end)
            return cast(
                ContextJson,
                {
                    **asdict(context),
                    "place": place(context.document, context.page, context.heading),
                    "original": expert.original_of(context.document) is not None,
                },
            )

        return Json(await self._search_pool.run(read))

    async def documents(self, request: Request) -> Response:
        """Return the library's documents, by path; no model is opened for it."""
        check_shown(request, self._loaded)
        bundle = self._loaded.current

        def read() -> list[DocumentJson]:
            if not bundle.manifest.has("knowledge"):
                return []
            records = library_documents(bundle.path / "knowledge")
            return [
                {"document": one.path, "title": one.title, "pages": one.pages, "date": one.date}
                for one in records
            ]

        return Json(await self._search_pool.run(read))

    async def outline(self, request: Request) -> Response:
        """Return a document's passages in reading order, for paging through it; their texts come one
        by one, with their pages. Raises HttpError (404, 409)."""
        check_shown(request, self._loaded)
        expert, document = self._loaded.expert, request.query_params.get("document", "")
        chunks = await self._search_pool.run(lambda: expert.chunks(document))
        if not chunks:
            raise HttpError(
                404, "no_document", f"{document!r} is no document of this library", param="document"
            )
        rows: list[ChunkJson] = [
            {
                "chunk_id": number,
                "document": chunk.document,
                "title": chunk.title,
                "heading": list(chunk.heading),
                "page": chunk.page,
                "end": chunk.end,
                "place": place(chunk.document, chunk.page, chunk.heading),
                "text": "",
            }
            for number, chunk in chunks
        ]
        return Json(rows)

    async def about(self, request: Request) -> Response:
        """Return what the bundle is."""
        bundle = self._loaded.current
        return Json(await self._search_pool.run(lambda: _about(bundle)))

    async def report(self, request: Request) -> Response:
        """Return the report's page. Raises HttpError (404)."""
        bundle = self._loaded.current
        if not _has_report(bundle):
            raise HttpError(404, "no_report", f"{bundle.id} was built without a report")
        html = await self._search_pool.run((bundle.path / _REPORT).read_bytes)
        headers = {"content-security-policy": _REPORT_POLICY}
        return Response(html, media_type="text/html; charset=utf-8", headers=headers)


def number_of(text: str, name: str) -> int:
    """Return the number of a query, no larger than SQLite holds. Raises HttpError (400)."""
    if not re.fullmatch("[0-9]{1,18}", text):
        raise bad_request(f"{name}: want a number", param=name)
    return int(text)


def _about(bundle: BundleEntry) -> AboutJson:
    manifest = read_manifest(bundle.path)
    report = read_report(bundle.path, manifest)
    own = {"fieldpack": fieldpack.__version__, "python": platform.python_version()}
    versions = {name: version for name, version in package_versions().items() if version}
    return {
        "id": bundle.id,
        **summarize(bundle.path, manifest),
        "report": _has_report(bundle),
        "measured": shipped_figures(report),
        "guarantee": guarantee(report),
        "examples": [
            golden.question
            for golden in read_golden(bundle.path)
            if golden.example and not golden.refused
        ],
        "runtime": own | versions,
        "originals": manifest.has(ORIGINALS),
        "lacks": "" if is_installed() else PACKAGE,
    }


def _has_report(bundle: BundleEntry) -> bool:
    return any(entry.path == _REPORT for entry in bundle.manifest.files)
