"""Attacks that are made of HTTP alone: who asks, how much they send, how slowly."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable
from typing import Any

from serve_process import KEY, Target

_GIGABYTE = 1_000_000_000
_ASK = {"question": "What does it cost?"}


def _row(attack: str, happened: str, held: bool) -> dict[str, Any]:
    return {"attack": attack, "happened": happened, "held": held}


def foreign_host(target: Target) -> dict[str, Any]:
    hosts = (
        "evil.example",
        f"evil.example:{target.port}",
        f"127.0.0.1.evil.example:{target.port}",
        "127.0.0.1",
    )
    statuses = [target.get("/api/bundles", Host=host)[0] for host in hosts]
    return _row(
        "foreign Host (DNS rebinding)", f"{statuses} for {', '.join(hosts)}", set(statuses) == {421}
    )


def foreign_origin(target: Target) -> dict[str, Any]:
    origins = (
        "http://evil.example",
        "null",
        f"http://localhost:{target.port}",
        "http://127.0.0.1:3000",
    )
    statuses = [_post(target, Origin=origin) for origin in origins]
    return _row(
        "foreign Origin on a write", f"{statuses} for {', '.join(origins)}", set(statuses) == {403}
    )


def foreign_page(target: Target) -> dict[str, Any]:
    reads = [
        target.get("/api/bundles", Sec_Fetch_Site=site)[0] for site in ("cross-site", "same-site")
    ]
    writes = [_post(target, Sec_Fetch_Site=site) for site in ("cross-site", "same-site", "none")]
    form = _post(target, Content_Type="text/plain")
    held = set(reads + writes) == {403} and form == 415
    return _row(
        "another page's request, by Sec-Fetch-Site or as a form",
        f"reads {reads}, writes {writes}, a form {form}",
        held,
    )


def no_key(target: Target) -> dict[str, Any]:
    paths = (
        "/",
        "/api/bundles",
        "/api/search?q=a",
        "/v1/models",
        "/metrics",
        "/report",
        "/static/js/app.js",
    )
    missing = [target.get(path, Authorization="")[0] for path in paths]
    wrong = [
        target.get("/api/bundles", Authorization=f"Bearer {key}")[0]
        for key in (KEY[:-1], KEY + "x", KEY.upper())
    ]
    return _row(
        "missing and wrong key",
        f"{missing} without, {wrong} with a wrong one",
        set(missing + wrong) == {401},
    )


def announced_gigabyte(target: Target) -> dict[str, Any]:
    before = target.rss_mb()
    status, sent, seconds = _flood(target, f"Content-Length: {_GIGABYTE}", b" " * 65536)
    return _big(
        "1 GB body, announced", status, sent, seconds, target.rss_mb() - before, wanted=True
    )


def chunked_gigabyte(target: Target) -> dict[str, Any]:
    before = target.rss_mb()
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    status, sent, seconds = _flood(target, "Transfer-Encoding: chunked", piece)
    return _big(
        "1 GB body, in chunks without a length",
        status,
        sent,
        seconds,
        target.rss_mb() - before,
        wanted=False,
    )


def slow_body(target: Target) -> dict[str, Any]:
    with _connect(target) as connection:
        connection.sendall(_head(target, "Content-Length: 1000"))
        started, answer = time.monotonic(), _drip(connection)
        seconds = time.monotonic() - started
    status = _status(answer)
    return _row(
        "slow body, a byte a second",
        f"{status} and closed after {seconds:.1f} s",
        status == 408 and seconds < 15,
    )


def slow_heads(target: Target) -> dict[str, Any]:
    connections = [_connect(target) for _ in range(50)]
    started = time.monotonic()
    for connection in connections:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
    others = target.get("/health")[0]
    _drip(connections[0])
    seconds = time.monotonic() - started
    for connection in connections:
        connection.close()
    happened = f"others got {others} meanwhile; closed after {seconds:.1f} s"
    return _row("50 connections that never finish a head", happened, others == 200 and seconds < 15)


def traversal(target: Target) -> dict[str, Any]:
    paths = (
        "/static/../app.py",
        "/static/..%2f..%2fcli.py",
        "/static/%2e%2e/%2e%2e/cli.py",
        "//etc/passwd",
        "/static//etc/passwd",
    )
    found = [target.get(path) for path in paths]
    happened = f"{[status for status, _ in found]} for {', '.join(paths)}"
    return _row(
        "paths that lead out of the page's folder",
        happened,
        all(status == 404 for status, _ in found),
    )


def deep_json(target: Target) -> dict[str, Any]:
    bodies = (b"[" * 60_000, b'{"a":' * 10_000, b'{"question": ' + b"9" * 60_000 + b"}")
    statuses = [_raw(target, body) for body in bodies]
    return _row(
        "JSON 60,000 brackets deep, a number of 60,000 digits",
        f"{statuses}",
        set(statuses) == {400},
    )


def long_question(target: Target) -> dict[str, Any]:
    status = _post(target, {"question": "why " * 10_000})
    return _row("a question of 40,000 characters", f"{status}", status == 422)


def large_schemas(target: Target) -> dict[str, Any]:
    """Each is some hundred bytes and grows to gigabytes once a grammar is compiled from it."""
    parts = {
        f"d{i}": {"type": "array", "minItems": 100, "items": {"$ref": f"#/$defs/d{i + 1}"}}
        for i in range(9)
    }
    schemas = (
        {"type": "array", "minItems": 10**9, "items": {"type": "integer"}},
        {"type": "string", "pattern": "((a{1000}){1000}){1000}"},
        {"$defs": parts, "$ref": "#/$defs/d0"},
    )
    before, started = target.rss_mb(), time.monotonic()
    statuses = [_guided(target, schema) for schema in schemas]
    seconds, grown = time.monotonic() - started, target.rss_mb() - before
    happened = f"{statuses} in {seconds:.2f} s, the server's memory {grown:+.1f} MB"
    return _row(
        "JSON schemas that grow to gigabytes (items, repetitions, references)",
        happened,
        set(statuses) == {422},
    )


def long_head(target: Target) -> dict[str, Any]:
    statuses = []
    for size in (20_000, 66_000):
        with _connect(target) as connection:
            connection.sendall(_head(target, f"X-Long: {'a' * size}"))
            statuses.append(_status(_rest(connection)))
    return _row("a head of 20 and of 66 kB in one piece", f"{statuses}", set(statuses) == {431})


def length_and_chunks(target: Target) -> dict[str, Any]:
    with _connect(target) as connection:
        connection.sendall(
            _head(target, "Content-Length: 2\r\nTransfer-Encoding: chunked")
            + b"2\r\n{}\r\n0\r\n\r\n"
        )
        answer = _rest(connection)
    held = _status(answer) == 400 and b"connection: close" in answer.lower()
    return _row("Content-Length and Transfer-Encoding together", f"{_status(answer)}, closed", held)


def silent_connections(target: Target) -> dict[str, Any]:
    connections = [_connect(target) for _ in range(220)]
    started = time.monotonic()
    statuses = [target.get("/health")[0] for _ in range(5)]
    seconds = time.monotonic() - started
    for connection in connections:
        connection.close()
    return _row(
        "220 connections that say nothing",
        f"others got {statuses} in {seconds:.2f} s",
        set(statuses) == {200},
    )


ATTACKS: tuple[Callable[[Target], dict[str, Any]], ...] = (
    foreign_host,
    foreign_origin,
    foreign_page,
    no_key,
    announced_gigabyte,
    chunked_gigabyte,
    slow_body,
    slow_heads,
    traversal,
    deep_json,
    long_question,
    large_schemas,
    long_head,
    length_and_chunks,
    silent_connections,
)


def _big(
    attack: str, status: int | None, sent: int, seconds: float, grown: float, *, wanted: bool
) -> dict[str, Any]:
    """`wanted`: the refusal must come; a client that does not read while it sends may find the
    connection closed instead."""
    happened = (
        f"{status or 'closed'} after {sent / 1e6:.1f} MB and {seconds:.2f} s, the server's memory "
        f"{grown:+.1f} MB"
    )
    held = sent < 50e6 and grown < 20 and (status == 413 or (status is None and not wanted))
    return {**_row(attack, happened, held), "sent": sent, "seconds": seconds, "grown_mb": grown}


def _flood(target: Target, length: str, piece: bytes) -> tuple[int | None, int, float]:
    """Send until the server closes or a gigabyte is through: status if one was read, bytes sent,
    seconds."""
    sent, started = 0, time.monotonic()
    with _connect(target) as connection:
        connection.sendall(_head(target, length))
        try:
            while sent < _GIGABYTE:
                sent += connection.send(piece)
        except OSError:
            pass
        return _status(_rest(connection)), sent, time.monotonic() - started


def _drip(connection: socket.socket) -> bytes:
    """A byte a second until the server answers or closes; what it said."""
    connection.settimeout(1)
    while True:
        try:
            return connection.recv(65536)
        except TimeoutError:
            connection.send(b" ")
        except OSError:
            return b""


def _rest(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except OSError:
        return b""


def _post(target: Target, body: Any = None, **headers: str) -> int:
    connection, response = target.send("POST", "/api/ask", body or _ASK, **headers)
    connection.close()
    return response.status


def _guided(target: Target, schema: Any) -> int:
    model = json.loads(target.get("/v1/models")[1])["data"][0]["id"]
    form = {"type": "json_schema", "json_schema": {"name": "rows", "schema": schema}}
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "What does it cost?"}],
        "response_format": form,
    }
    connection, response = target.send("POST", "/v1/chat/completions", body)
    connection.close()
    return response.status


def _raw(target: Target, body: bytes) -> int | None:
    with _connect(target) as connection:
        connection.sendall(_head(target, f"Content-Length: {len(body)}") + body)
        return _status(_rest(connection))


def _connect(target: Target) -> socket.socket:
    return socket.create_connection(("127.0.0.1", target.port), timeout=60)


def _head(target: Target, length: str) -> bytes:
    lines = (
        "POST /api/ask HTTP/1.1",
        f"Host: 127.0.0.1:{target.port}",
        f"Authorization: Bearer {KEY}",
        "Content-Type: application/json",
        length,
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _status(answer: bytes) -> int | None:
    found = re.match(rb"HTTP/1\.1 (\d+)", answer)
    return int(found[1]) if found else None
