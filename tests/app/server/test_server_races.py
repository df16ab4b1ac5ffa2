"""What may change on the server while something waits: a choice and an update at once, a page that
still shows the bundle before, a stop, a form whose sender goes silent."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fieldpack
from fieldpack_app.install.store import Store
from fieldpack_app.server.app import Application
from fieldpack_app.server.bundles import BundleEntry, find_bundles
from fieldpack_app.server.errors import HttpError
from fieldpack_app.server.fair_queue import FairQueue
from fieldpack_app.server.follow import FollowReleases
from fieldpack_app.server.loaded_bundle import LoadedBundle
from fieldpack_app.server.settings import Limits, Settings
from serving import TOKEN, open_toy, served

ASK = {"question": "What does the A class cost a year?"}


class SlowOpener:
    """Opens a bundle when `go` is set, which it is at first; `begun` says which one it is at."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.begun: list[Path] = []

    def __call__(self, path: Path) -> fieldpack.Expert:
        self.begun.append(path)
        assert self.go.wait(60)
        return open_toy(path)


@pytest.fixture
def shelf(sealed: Path, tmp_path: Path) -> list[Path]:
    """Three versions of a bundle."""
    folders = []
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        folder = Path(shutil.copytree(sealed, tmp_path / version))
        manifest = (folder / "manifest.json").read_text(encoding="utf-8")
        named = manifest.replace('"version": "1.0.0"', f'"version": "{version}"')
        (folder / "manifest.json").write_text(named, encoding="utf-8")
        folders.append(folder)
    return folders


@asynccontextmanager
async def two_at_once(
    shelf: list[Path], offered: int
) -> AsyncIterator[tuple[LoadedBundle, SlowOpener, list[BundleEntry]]]:
    """The first `offered` bundles behind an opener that waits from now on, and all of the shelf."""
    entries, opener = find_bundles(shelf), SlowOpener()
    loaded = LoadedBundle(entries[:offered], opener, FairQueue(4))
    opener.go.clear()
    try:
        yield loaded, opener, entries
    finally:
        opener.go.set()
        loaded.close()


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not happened():
            await asyncio.sleep(0.01)


def test_an_update_does_not_undo_a_choice_that_was_made_before_it(shelf: list[Path]) -> None:
    async def run() -> None:
        async with two_at_once(shelf, 2) as (loaded, opener, (first, second, third)):
            choosing = asyncio.create_task(loaded.switch(second.id, "reader"))
            await until(lambda: opener.begun[-1] == second.path)
            moving = asyncio.create_task(loaded.move(first, third))
            await asyncio.sleep(0)  # it waits for its turn
            opener.go.set()
            await asyncio.gather(choosing, moving)
            assert loaded.current is second
            assert loaded.bundles == (third, second)

    asyncio.run(run())


def test_an_update_reaches_the_bundle_that_is_just_being_chosen(shelf: list[Path]) -> None:
    async def run() -> None:
        async with two_at_once(shelf, 2) as (loaded, opener, (first, second, third)):
            choosing = asyncio.create_task(loaded.switch(second.id, "reader"))
            await until(lambda: opener.begun[-1] == second.path)
            moving = asyncio.create_task(loaded.move(second, third))
            await asyncio.sleep(0)
            opener.go.set()
            await asyncio.gather(choosing, moving)
            assert loaded.current is third
            assert loaded.bundles == (first, third)

    asyncio.run(run())


def test_a_release_that_an_update_has_replaced_is_not_opened_any_more(shelf: list[Path]) -> None:
    async def run() -> None:
        async with two_at_once(shelf, 2) as (loaded, opener, (first, second, third)):
            moving = asyncio.create_task(loaded.move(first, replace(third, id=first.id)))
            await until(lambda: opener.begun[-1] == third.path)
            choosing = asyncio.create_task(loaded.switch("tiny-2.0.0", "reader"))
            replaced = asyncio.create_task(loaded.move(second, third))
            await asyncio.sleep(0)
            opener.go.set()
            with pytest.raises(HttpError) as refused:
                await asyncio.gather(moving, replaced)
                await loaded.switch("tiny-2.0.0", "reader")
            assert refused.value.code == "no_such_bundle"
            await choosing
            assert loaded.current in loaded.bundles

    asyncio.run(run())


def test_the_open_bundle_is_one_of_those_that_are_offered(shelf: list[Path]) -> None:
    """Also while the one before gives its memory back, which may take a while."""
    seen: list[bool] = []

    class Watched:
        def __init__(self, expert: fieldpack.Expert) -> None:
            self._expert = expert

        def __getattr__(self, name: str) -> Any:
            return getattr(self._expert, name)

        def close(self) -> None:
            seen.append(loaded.current in loaded.bundles)
            self._expert.close()

    first, second, _ = find_bundles(shelf)
    loaded = LoadedBundle([first], lambda path: Watched(open_toy(path)), FairQueue(4))  # type: ignore[arg-type,return-value]
    asyncio.run(loaded.move(first, second))
    loaded.close()
    assert seen[0] and loaded.bundles == (second,)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/ask", ASK),
        ("POST", "/api/load", {"question": "What"}),
        ("GET", "/api/search?q=filter", None),
        ("GET", "/api/documents", None),
        ("GET", "/api/passages?document=fees.pdf", None),
        ("GET", "/api/passages/0", None),
        ("GET", "/api/originals/0/picture?bundle=tiny-9", None),
        ("POST", "/api/originals", {"chunk_id": 0}),
        ("POST", "/api/feedback", {"rating": "up", "question": "?", "answer": "!"}),
    ],
)
def test_what_a_page_asks_of_another_bundle_is_refused(
    sealed: Path, tmp_path: Path, method: str, path: str, body: object
) -> None:
    with served([sealed], tmp_path / "state") as server, server.client() as client:
        for shown, refused in (("tiny-9", True), ("tiny-1.0.0", "tiny-9" in path)):
            headers = {"X-Fieldpack-Bundle": shown} if "picture" not in path else {}
            response = client.request(method, path, json=body, headers=headers)
            assert (response.status_code == 409) is refused, response.text
            assert ("bundle_changed" in response.text) is refused
        assert server.application.service.queue.idle
    written = tmp_path / "state" / "feedback.jsonl"
    assert not written.exists() or len(written.read_text().splitlines()) == 1


def test_a_question_that_comes_while_the_server_stops_is_not_begun(
    sealed: Path, tmp_path: Path
) -> None:
    with served([sealed], tmp_path / "state") as server, server.client() as client:
        assert client.get("/health").status_code == 200  # a connection that is open already
        server.application.service.stop_all()
        response = client.post("/api/ask", json=ASK)
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "stopping"


def test_a_pairing_form_that_does_not_end_is_given_up(sealed: Path, tmp_path: Path) -> None:
    """Nobody without a key keeps a connection for ever."""
    limits = Limits(body_seconds=0.05)
    settings = Settings(TOKEN, 8420, tmp_path / "state", lan=tmp_path / "lan", limits=limits)
    application = Application(find_bundles([sealed]), open_toy, settings)
    sent: list[dict[str, Any]] = []

    async def silence() -> dict[str, Any]:
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [
        (b"host", b"127.0.0.1:8420"),
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"content-length", b"40"),
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/pair",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 5),
    }
    try:
        asyncio.run(asyncio.wait_for(application.asgi(scope, silence, send), 60))
    finally:
        application.close()
    assert sent[0]["status"] == 408


def test_an_error_that_ends_the_following_of_releases_is_said(
    sealed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The task has nobody who waits for it: without a word neither updates nor recalls would come."""
    store = Store(tmp_path / "store")
    slot = Path(shutil.copytree(sealed, store.slots / "0" / "bundle"))
    (store.root / "state.json").write_text("[]")

    class Broken(LoadedBundle):
        @property
        def current(self) -> BundleEntry:
            raise RuntimeError("unforeseen")

        @current.setter
        def current(self, entry: BundleEntry) -> None: ...

    async def run() -> None:
        loaded = object.__new__(Broken)
        loaded.bundles = tuple(find_bundles([slot]))

        async def nothing(scope: object, receive: object, send: object) -> None: ...

        await FollowReleases(nothing, loaded)({"type": "http"}, None, None)  # type: ignore[arg-type]
        await until(lambda: bool(caplog.records))

    with caplog.at_level(logging.ERROR, "fieldpack.server"):
        asyncio.run(run())
    assert "not followed any more" in caplog.text and "unforeseen" in caplog.text
