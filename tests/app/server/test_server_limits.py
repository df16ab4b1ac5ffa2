"""How much a request may bring, and how slowly."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from fieldpack_app.server.http import Protocol
from fieldpack_app.server.settings import Limits
from serving import TOKEN, Served, served, wait_for


class Hasty(Protocol):
    head_seconds = 0.5


class Patient(Protocol):
    """For all that is not about slow heads: a machine that stalls is slow as well."""

    head_seconds = 600.0


@pytest.fixture(scope="module")
def server(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    limits = Limits(body_seconds=600)
    with served(
        [sealed], tmp_path_factory.mktemp("state"), limits=limits, protocol=Patient
    ) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served([sealed], tmp_path_factory.mktemp("state"), protocol=Hasty) as running:
        yield running


def head(server: Served, *lines: str) -> bytes:
    start = (
        f"POST /api/ask HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAuthorization: Bearer "
        f"{TOKEN}\r\n"
    )
    return (
        start
        + "".join(f"{line}\r\n" for line in ("Content-Type: application/json", *lines))
        + "\r\n"
    ).encode()


def connect(server: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=120)


def all_of(connection: socket.socket) -> bytes:
    """Until the server closes."""
    got = b""
    try:
        while piece := connection.recv(65536):
            got += piece
    except ConnectionResetError:
        pass
    return got


def test_a_gigabyte_is_refused_before_it_is_sent(server: Served) -> None:
    with connect(server) as connection:
        connection.sendall(head(server, "Content-Length: 1000000000") + b"{")
        answer = all_of(connection)  # the server closes, though 999,999,999 bytes are to come
    assert (
        answer.startswith(b"HTTP/1.1 413 ")
        and b'"code": "too_large"' in answer
        and b"connection: close" in answer
    )


def test_a_body_without_length_is_cut_off_at_the_limit(server: Served) -> None:
    piece = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    sent = 0
    with connect(server) as connection:
        connection.sendall(head(server, "Transfer-Encoding: chunked"))
        with pytest.raises(OSError):  # closed, so that it cannot all be sent
            while sent < 1_000_000_000:
                connection.sendall(piece)
                sent += len(piece)
    assert sent < 50_000_000  # what the sockets' buffers took


@pytest.mark.parametrize("path", ["/health", "/api/bundles", "/api/nothing", "/api/load"])
def test_a_body_that_nobody_asked_for_is_not_read(server: Served, path: str) -> None:
    method = "POST" if path == "/api/load" else "GET"
    with connect(server) as connection:
        request = head(server, "Content-Length: 1000000000").replace(
            b"POST /api/ask", f"{method} {path}".encode()
        )
        connection.sendall(request + b"{")
        answer = all_of(connection)
    assert answer.startswith(b"HTTP/1.1 ") and b"connection: close" in answer


def test_a_slow_body_is_given_up(sealed: Path, tmp_path: Path) -> None:
    limits = Limits(body_seconds=0.5)
    with (
        served([sealed], tmp_path, limits=limits, protocol=Patient) as running,
        connect(running) as connection,
    ):
        connection.sendall(head(running, "Content-Length: 60000"))
        with suppress(OSError):  # it is closed, while most of the body is to come
            for _ in range(50_000):
                connection.sendall(b" ")
                if select.select([connection], [], [], 0.02)[0]:
                    break
        answer = all_of(connection)
    assert answer.startswith(b"HTTP/1.1 408 ") and b"too_slow" in answer


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost: "])
def test_a_slow_head_is_given_up(hasty: Served, beginning: bytes) -> None:
    with connect(hasty) as connection:
        with suppress(OSError):  # before it was sent, on a machine that stalls
            connection.sendall(beginning)
        assert all_of(connection) == b""


def test_a_second_slow_head_on_a_connection_is_given_up_too(sealed: Path, tmp_path: Path) -> None:
    class Turning(Patient):
        """Is hasty once the first head has come."""

    with (
        served([sealed], tmp_path, protocol=Turning) as running,
        connect(running) as connection,
    ):
        connection.sendall(
            f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n\r\n".encode()
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        Turning.head_seconds = 0.5
        connection.sendall(b"GET /health HT")
        assert b"200 OK" not in all_of(connection)


def post(server: Served, body: bytes, *, path: str = "/api/ask", **headers: str) -> tuple[int, str]:
    sent = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **headers}
    response = httpx.post(
        server.url + path, content=body, headers=sent, trust_env=False, timeout=60
    )
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"17",
        b"\xff\xfe",
        b'{"question": 5}',
        b'{"question": null}',
        b'{"question": true}',
        b"{}",
        b'{"question": "a", "answer": 1}',
        b'{"question": "a", "documents": "x"}',
        b'{"question": "a", "documents": [1]}',
        b'{"question": NaN}',
        b'{"question": ' + b"9" * 6000 + b"}",
        b"[" * 60_000,
        b'{"a":' * 10_000,
    ],
)
def test_bad_json_is_a_400(server: Served, body: bytes) -> None:
    assert post(server, body) == (400, "bad_request")


def test_questions_that_cannot_be_asked(server: Served) -> None:
    assert post(server, json.dumps({"question": " \0"}).encode()) == (422, "empty_question")
    assert post(server, json.dumps({"question": "x" * 501}).encode()) == (422, "question_too_long")
    assert post(server, json.dumps({"question": "\ud800"}).encode()) == (422, "empty_question")
    assert post(server, b'{"question": "a", "documents": [' + b'"a",' * 60 + b'"a"]}') == (
        422,
        "too_long",
    )


def test_only_json_is_read(server: Served) -> None:
    body = b'{"question": "a"}'
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
    ):
        assert post(server, body, **{"Content-Type": kind}) == (415, "not_json")
    assert post(server, body, **{"Content-Encoding": "gzip"}) == (415, "not_json")


def test_junk_is_no_request(server: Served) -> None:
    for junk in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
        b"GET " + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    ):
        with connect(server) as connection:
            connection.sendall(junk)
            assert all_of(connection).startswith(b"HTTP/1.1 400 ")
    with server.client() as client:
        wait_for(lambda: client.get("/health").status_code == 200)


def test_a_head_that_comes_in_one_piece_is_bounded_too(server: Served) -> None:
    """The parser counts only what it has to wait for."""
    with connect(server) as connection:
        connection.sendall(head(server, f"X-Long: {'a' * 66_000}", "Content-Length: 2") + b"{}")
        assert all_of(connection).startswith(b"HTTP/1.1 431 ")


def test_a_length_beside_chunks_is_refused_and_the_connection_closed(server: Served) -> None:
    with connect(server) as connection:
        connection.sendall(
            head(server, "Content-Length: 2", "Transfer-Encoding: chunked")
            + b"2\r\n{}\r\n0\r\n\r\n"
        )
        answer = all_of(connection)
    assert (
        answer.startswith(b"HTTP/1.1 400 ")
        and b"exclude each other" in answer
        and b"connection: close" in answer
    )


def test_connections_that_say_nothing_keep_nobody_out(sealed: Path, tmp_path: Path) -> None:
    """They make room: the oldest of the address that has most of them, not one that is being
    answered."""
    with served([sealed], tmp_path, protocol=Patient) as running:
        silent = [connect(running) for _ in range(220)]
        try:
            for _ in range(5):
                assert (
                    httpx.get(f"{running.url}/health", trust_env=False, timeout=60).status_code
                    == 200
                )
            assert silent[0].recv(1) == b""
            silent[-1].sendall(
                f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n\r\n".encode()
            )
            assert silent[-1].recv(65536).startswith(b"HTTP/1.1 200")
        finally:
            for connection in silent:
                connection.close()
