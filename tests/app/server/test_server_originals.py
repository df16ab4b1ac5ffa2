"""The page of a source PDF through a real server: its picture, the places of a quote, and what is
said where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import fakes
from broken import pdf
from fieldpack.bundle.manifest import read_manifest
from serving import Served, served

FEE = "The A class costs 0.85% a year."
PAGE = [("Global Equity Fund", 14, "F2"), (FEE, 11, "F1"), ("The I class costs 0.40%.", 11, "F1")]


@pytest.fixture(scope="module")
def lit(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(sealed, tmp_path_factory.mktemp("lit") / "tiny-1.0.0"))
    fakes.add_original(folder, "fees.pdf", pdf(PAGE))
    return folder


@pytest.fixture
def server(lit: Path, tmp_path: Path) -> Iterator[Served]:
    copy = Path(shutil.copytree(lit, tmp_path / "tiny-1.0.0"))
    with served([copy], tmp_path / "state") as running:
        yield running


@pytest.fixture
def client(server: Served) -> Iterator[httpx.Client]:
    with server.client() as opened:
        yield opened


def chunk_of(server: Served, document: str) -> int:
    return next(number for number, _ in server.expert.chunks(document))


def test_a_quote_on_its_page(server: Served, client: httpx.Client) -> None:
    chunk = chunk_of(server, "fees.pdf")
    assert client.get(f"/api/passages/{chunk}").json()["original"] is True
    found = client.post("/api/originals", json={"chunk_id": chunk, "quote": FEE}).json()
    [(left, top, right, bottom)] = found["boxes"]
    assert 0 < left < right < 1 and 0 < top < bottom < 0.2
    picture = client.get(found["picture"])
    assert picture.headers["content-type"] == "image/png" and picture.content[:4] == b"\x89PNG"
    whole = client.post("/api/originals", json={"chunk_id": chunk}).json()
    assert len(whole["boxes"]) >= 2 and whole["boxes"][0] == found["boxes"][0]
    nothing = client.post("/api/originals", json={"chunk_id": chunk, "quote": "a yellow submarine"})
    assert nothing.json()["boxes"] == []


def test_a_document_of_another_format_has_none(server: Served, client: httpx.Client) -> None:
    chunk = chunk_of(server, "pump.md")
    assert client.get(f"/api/passages/{chunk}").json()["original"] is False
    for reply in (
        client.post("/api/originals", json={"chunk_id": chunk, "quote": "x"}),
        client.get(f"/api/originals/{chunk}/picture"),
    ):
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "no_original")
    for bad in ({"chunk_id": -1}, {"chunk_id": "1"}, {"quote": "x"}, {"chunk_id": 1, "path": "/"}):
        assert client.post("/api/originals", json=bad).status_code == 400


def test_about_says_what_there_is(client: httpx.Client, sealed: Path, tmp_path: Path) -> None:
    about = client.get("/api/about").json()
    assert (about["originals"], about["lacks"]) == (True, "")
    assert about["files"]["originals"]["files"] == 1 and about["files"]["originals"]["bytes"] > 500
    with served([sealed], tmp_path / "other") as plain, plain.client() as other:
        assert other.get("/api/about").json()["originals"] is False
        assert other.get("/api/passages/0").json()["original"] is False


def test_a_pdf_that_was_exchanged_is_not_shown(server: Served, client: httpx.Client) -> None:
    chunk, bundle = chunk_of(server, "fees.pdf"), server.application.loaded.current.path
    [path] = [one.path for one in read_manifest(bundle).files if one.role == "originals"]
    (bundle / path).write_bytes(pdf([("The A class costs nothing at all.", 11, "F1")]))
    reply = client.post("/api/originals", json={"chunk_id": chunk, "quote": FEE})
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "bundle_damaged")


def test_a_damaged_pdf_is_a_sentence(sealed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sealed, tmp_path / "tiny-1.0.0"))
    fakes.add_original(folder, "fees.pdf", b"%PDF-1.7 and nothing more")
    with served([folder], tmp_path / "state") as running, running.client() as client:
        chunk = chunk_of(running, "fees.pdf")
        reply = client.post("/api/originals", json={"chunk_id": chunk, "quote": FEE})
        assert (reply.status_code, reply.json()["error"]["code"]) == (422, "cannot_draw")
        assert client.get("/health").json() == {"status": "ok"}
