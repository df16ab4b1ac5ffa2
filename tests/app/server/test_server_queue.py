"""One answer at a time: who waits, who is told what, what happens when somebody hangs up."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import fakes
from fieldpack_app.server.fair_queue import Ticket
from fieldpack_app.server.settings import Limits
from fieldpack_app.server.sse import EventStream
from serving import TOKEN, Served, events_of, paced, served, wait_for

ASK = {"question": "What does the A class cost a year?"}
FOR_EVER = 3600.0  # seconds: no test waits so long


@pytest.fixture
def server(sealed: Path, tmp_path: Path) -> Iterator[Served]:
    """Its first word takes an hour, unless it is told to hurry."""
    limits = Limits(waiting=4, answer_seconds=FOR_EVER)
    with served([sealed], tmp_path / "state", limits=limits, opener=paced(FOR_EVER)) as running:
        yield running
        running.expert.hurry.set()


def ask(server: Served, name: str, into: list[Any]) -> threading.Thread:
    """In a thread; (name, events or status) into a list when it is over."""

    def run() -> None:
        with server.client(name) as client, client.stream("POST", "/api/ask", json=ASK) as response:
            into.append(
                (
                    name,
                    list(events_of(response))
                    if response.status_code == 200
                    else response.status_code,
                )
            )

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def waiting(server: Served) -> int:
    return server.application.service.queue.waiting


def test_the_position_falls_until_it_is_ones_turn(server: Served) -> None:
    done: list[Any] = []
    threads = []
    for number in range(3):
        threads.append(ask(server, f"c{number}", done))
        wait_for(lambda number=number: server.expert.begun == 1 and waiting(server) == number)
    server.expert.hurry.set()
    for thread in threads:
        thread.join()
    positions = {
        name: [data["position"] for event, data in events if event == "queued"]
        for name, events in done
    }
    assert positions == {"c0": [0], "c1": [1, 0], "c2": [2, 1, 0]}
    assert all(events[-1][0] == "done" for _, events in done)


def test_who_has_the_answer_finds_the_note_written_and_the_queue_free(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, go_on = threading.Event(), threading.Event()
    seen: list[tuple[str, bool]] = []
    with served([sealed], tmp_path / "state") as server:
        service = server.application.service
        write = service.feedback_log.unanswered

        def slowly(*arguments: Any) -> None:
            writing.set()
            go_on.wait(120)
            write(*arguments)

        monkeypatch.setattr(service.feedback_log, "unanswered", slowly)

        def read() -> None:
            asked = {"question": "東京"}
            with (
                server.client() as client,
                client.stream("POST", "/api/ask", json=asked) as response,
            ):
                seen.extend((name, service.queue.idle) for name, _ in events_of(response))

        thread = threading.Thread(target=read)
        thread.start()
        try:
            assert writing.wait(120)
            with server.client() as other:
                assert other.get("/health").status_code == 200
            assert "done" not in [name for name, _ in seen]
        finally:
            go_on.set()
        thread.join()
        assert seen[-1] == ("done", True)
        assert "東京" in (server.state / "feedback.jsonl").read_text("utf-8")


def test_a_full_queue_says_when_to_come_again(server: Served) -> None:
    done: list[Any] = []
    threads = [ask(server, f"c{number}", done) for number in range(5)]
    wait_for(lambda: waiting(server) == 4)
    with server.client("c5") as client:
        response = client.post("/api/ask", json=ASK)
        assert (response.status_code, response.json()["error"]["code"]) == (429, "queue_full")
        assert 1 <= int(response.headers["retry-after"]) <= 60
        assert "fieldpack_queue_full_total 1\n" in client.get("/metrics").text
    server.expert.hurry.set()
    for thread in threads:
        thread.join()
    assert len(done) == 5


def test_one_client_cannot_fill_the_queue(server: Served) -> None:
    done: list[Any] = []
    threads = [ask(server, "greedy", done) for _ in range(6)]
    wait_for(lambda: len(done) == 3)  # one answered now, two waiting, three refused
    assert [status for _, status in done] == [429] * 3
    threads.append(ask(server, "modest", done))
    wait_for(lambda: waiting(server) == 3)
    server.expert.hurry.set()
    for thread in threads:
        thread.join()
    positions: dict[str, list[list[int]]] = {"greedy": [], "modest": []}
    for name, events in done[3:]:
        positions[name].append([data["position"] for event, data in events if event == "queued"])
    assert positions["modest"] == [[1, 0]]  # before both that waited already: they moved back
    assert sorted(max(seen) for seen in positions["greedy"]) == [0, 2, 3]


def test_hanging_up_stops_the_model_and_gives_the_turn_on(server: Served) -> None:
    server.expert.free = 1  # the second of 24 words takes an hour
    done: list[Any] = []
    with server.client("gone") as client, client.stream("POST", "/api/ask", json=ASK) as response:
        for name, _ in events_of(response):
            if name == "text":
                thread = ask(server, "next", done)
                wait_for(lambda: waiting(server) == 1)
                break
    wait_for(lambda: server.expert.ended == 1)
    assert server.expert.words <= 3  # of 24: two, and perhaps the first of the next answer
    server.expert.hurry.set()
    thread.join()
    assert done[0][1][-1][0] == "done"
    with server.client() as client:
        assert "fieldpack_stopped_total 1\n" in client.get("/metrics").text


def test_hanging_up_in_the_queue_gives_the_place_on(server: Served) -> None:
    done: list[Any] = []
    running = ask(server, "running", done)
    wait_for(lambda: server.expert.begun == 1)
    with server.client("gone") as client, client.stream("POST", "/api/ask", json=ASK):
        wait_for(lambda: waiting(server) == 1)
    wait_for(lambda: waiting(server) == 0)  # while the first is still answered
    assert server.expert.ended == 0
    server.expert.hurry.set()
    running.join()
    assert server.expert.begun == 1


def test_an_answer_that_takes_too_long_is_stopped(sealed: Path, tmp_path: Path) -> None:
    limits = Limits(answer_seconds=0.5)
    with served([sealed], tmp_path, limits=limits, opener=paced(FOR_EVER)) as server:
        done: list[Any] = []
        ask(server, "slow", done).join()
        assert done[0][1][-1] == (
            "error",
            {"code": "too_slow", "message": done[0][1][-1][1]["message"]},
        )
        wait_for(lambda: server.expert.ended == 1)
        # The next one is given all the time that a slow machine may need.
        server.application.service.limits = Limits()
        server.expert.hurry.set()
        ask(server, "next", done).join()
        assert done[1][1][-1][0] == "done"


def test_a_heartbeat_comes_while_one_waits(sealed: Path, tmp_path: Path) -> None:
    with served(
        [sealed], tmp_path, limits=Limits(heartbeat_seconds=0.05), opener=paced(FOR_EVER)
    ) as server:
        seen: list[str] = []
        with server.client() as client, client.stream("POST", "/api/ask", json=ASK) as response:
            for name, _ in events_of(response):
                seen.append(name)
                if name == "":
                    server.expert.hurry.set()
        assert "" in seen and seen[-1] == "done"


def test_eight_clients_wait_alike(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one waits, each of the others has two turns at most: that is what start-time fair
    queueing promises of requests that cost the same. Noted where the queue is, in its event loop:
    when a client's own thread gets to run is chance."""
    with served([sealed], tmp_path, opener=paced(0.002)) as server:
        queue = server.application.service.queue
        noted: list[tuple[str, str]] = []
        enter, serve = queue.enter, queue._serve

        def entering(client: str) -> Ticket:
            noted.append(("enters", client))
            return enter(client)

        def serving(ticket: Ticket | None) -> None:
            if ticket:
                noted.append(("is served", ticket.client))
            serve(ticket)

        monkeypatch.setattr(queue, "enter", entering)
        monkeypatch.setattr(queue, "_serve", serving)

        def go(name: str) -> None:
            with server.client(name) as client:
                for _ in range(6):
                    reply = client.post("/api/ask", json=ASK)
                    assert "event: done" in reply.text

        threads = [threading.Thread(target=go, args=(f"c{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    turns = Counter(client for what, client in noted if what == "is served")
    assert sorted(turns.values()) == [6] * 8
    for at, (what, client) in enumerate(noted):
        if what == "enters":
            own = noted.index(("is served", client), at)
            others = Counter(one for verb, one in noted[at:own] if verb == "is served")
            assert max(others.values(), default=0) <= 2, (client, others)


def test_another_bundle_waits_for_the_running_answer(
    sealed: Path, exported_llama: Path, tmp_path: Path
) -> None:
    other = fakes.write_bundle(tmp_path / "shelf" / "other", model=exported_llama, knowledge=False)
    rename(other, "other")
    with (
        served([sealed, tmp_path / "shelf"], tmp_path / "state", opener=paced(FOR_EVER)) as server,
        server.client("s") as client,
    ):
        listing = client.get("/api/bundles").json()
        assert [bundle["id"] for bundle in listing["bundles"]] == ["tiny-1.0.0", "other-1.0.0"]
        old, done = server.expert, []
        running = ask(server, "running", done)
        wait_for(lambda: old.begun == 1)
        late = ask(server, "late", done)
        wait_for(lambda: waiting(server) == 1)

        def let_go() -> None:
            try:
                wait_for(lambda: waiting(server) == 2)  # the other bundle waits, too
            finally:
                old.hurry.set()

        letting = threading.Thread(target=let_go)
        letting.start()
        assert (
            client.post("/api/bundles/current", json={"id": "other-1.0.0"}).json()["current"]
            == "other-1.0.0"
        )
        letting.join()
        assert old.ended == 1
        server.expert.hurry.set()
        running.join(), late.join()
        ended = {name: events[-1] for name, events in done}  # whose thread ends first is chance
        assert ended["running"][0] == "done"
        # Asked of the old bundle, so the new one must not answer.
        assert ended["late"][1]["code"] == "bundle_changed"
        assert client.get("/api/about").json()["name"] == "other"
        ask(server, "again", done).join()
        assert done[2][1][-1][0] == "done" and done[2][1][-1][1]["passages"] == []


def test_a_damaged_bundle_is_refused_and_the_old_one_stays(
    sealed: Path, bundle: Path, tmp_path: Path
) -> None:
    rename(bundle, "broken")
    (bundle / "prompt.json").write_text("{")
    with served([sealed, bundle], tmp_path / "state") as server, server.client() as client:
        for name, status, code in (
            ("broken-1.0.0", 409, "bundle_damaged"),
            ("none-1", 404, "no_such_bundle"),
        ):
            response = client.post("/api/bundles/current", json={"id": name})
            assert (response.status_code, response.json()["error"]["code"]) == (status, code)
        assert client.get("/api/bundles").json()["current"] == "tiny-1.0.0"
        assert client.post("/api/ask", json=ASK).text.rpartition("event: ")[2].startswith("done")


def test_loading_is_seen(server: Served) -> None:
    with server.client() as client:
        assert client.post("/api/load").status_code == 202
        wait_for(lambda: client.get("/health").json() == {"status": "ok"})
        assert client.post("/api/load").json() == {"status": "ok"}


def rename(bundle: Path, name: str) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "name": name}))


def test_a_failed_answer_is_an_error_event_and_the_next_one_works(server: Served) -> None:
    done: list[Any] = []
    server.expert.seconds = "a minute"  # a TypeError: something nobody foresaw
    ask(server, "unlucky", done).join()
    server.expert.hurry.set()
    server.expert.seconds = 0
    ask(server, "lucky", done).join()
    assert done[0][1][-1][1]["code"] == "failed" and done[1][1][-1][0] == "done"


def test_stopping_the_server_ends_the_answers(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A stalled machine gets a word out later than after five seconds.
    monkeypatch.setattr("fieldpack_app.server.http._STOP_SECONDS", 120)
    done: list[Any] = []
    with served([sealed], tmp_path, opener=paced(FOR_EVER)) as server:
        threads = [ask(server, name, done) for name in ("a", "b")]
        wait_for(lambda: server.expert.begun == 1 and waiting(server) == 1)
    for thread in threads:
        thread.join()
    assert [events[-1][1]["code"] for _, events in done] == ["stopping"] * 2


def test_the_client_may_be_gone_before_its_body_came(server: Served) -> None:
    head = (
        f"POST /api/ask HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAuthorization: Bearer "
        f"{TOKEN}\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            f"{head}Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{{".encode()
        )
    server.expert.hurry.set()
    done: list[Any] = []
    ask(server, "next", done).join()
    assert done[0][1][-1][0] == "done" and server.expert.begun == 1


def test_who_does_not_read_is_given_up() -> None:
    """As ASGI sees it: sockets hold more than a toy's answer."""
    stopped = []

    async def lines() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.sleep(30)

    async def receive() -> Any:
        await asyncio.sleep(30)

    async def go() -> None:
        stream = EventStream(
            cast(Any, SimpleNamespace(stop=lambda: stopped.append(True))),
            lines(),
            send_seconds=0.05,
        )
        await stream({"type": "http"}, receive, send)

    with pytest.raises(TimeoutError):
        asyncio.run(go())
    assert stopped == [True]


def test_a_bundle_that_goes_away_is_no_plain_traceback(bundle: Path, tmp_path: Path) -> None:
    with served([bundle], tmp_path / "state") as server, server.client() as client:
        (bundle / "report").rename(bundle / "elsewhere")
        response = client.get("/api/about")
        assert (response.status_code, response.json()["error"]["code"]) == (409, "bundle_damaged")
        shutil.rmtree(bundle / "knowledge")
        response = client.post("/v1/embeddings", json={"model": "tiny-1.0.0", "input": "a"})
        assert response.status_code in (409, 500) and response.json()["error"]["type"]
        assert response.headers["content-security-policy"]
        done: list[Any] = []
        ask(server, "a", done).join()
        assert done[0][1][-1][0] == "error"
