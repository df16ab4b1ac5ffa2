"""Reading a request's JSON: so much, so fast, so typed, and not more. Knows nothing of what is
asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from .errors import HttpError, bad_request

_T = TypeVar("_T")
_NAMES: dict[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    dict: "an object",
    list: "a list",
}


async def read_json(request: Request, *, limit: int, seconds: float) -> dict[str, Any]:
    """The object in a request's body. `limit` in bytes, `seconds` for all of it.

    Raises HttpError: 400, 408, 413, 415; ClientDisconnect."""
    _check_type(request)
    if int(request.headers.get("content-length", 0)) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(seconds):
            body = await _read(request, limit)
    except TimeoutError:
        raise HttpError(
            408, "too_slow", f"the request's body took more than {seconds:g} s; send it again"
        ) from None
    return parse_object(body)


def parse_object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (
        ValueError,
        RecursionError,
    ) as error:  # also: no UTF-8, a number of 5,000 digits, 100,000 brackets
        raise bad_request(f"the body is no JSON: {error}") from None
    if not isinstance(data, dict):
        raise bad_request("the body is no JSON object; want {...}")
    return data


def field(
    data: Mapping[str, Any],
    name: str,
    kind: type[_T],
    default: _T | None = None,
    *,
    most: int | None = None,
) -> _T:
    """A field of the wanted type, at most `most` long; where it is missing or null, `default` if
    there is one."""
    value = data.get(name)
    if value is None:
        if default is None:
            raise bad_request(f"{name} is missing; want {_NAMES[kind]}", param=name)
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise bad_request(f"{name}: want {_NAMES[kind]}", param=name)
    if most is not None and len(value) > most:  # type: ignore[arg-type]
        raise HttpError(
            422,
            "too_long",
            f"{name}: {len(value):,} long, at most {most:,} are taken",  # type: ignore[arg-type]
            param=name,
        )
    return value


def list_of(data: Mapping[str, Any], name: str, kind: type[_T], *, most: int) -> tuple[_T, ...]:
    """A list of one type; empty where it is missing."""
    values = field(data, name, list, [], most=most)
    if any(not isinstance(value, kind) or isinstance(value, bool) for value in values):
        raise bad_request(f"{name}: want a list, each {_NAMES[kind]}", param=name)
    return tuple(values)


def refuse_unknown(data: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(data) - known):
        raise bad_request(
            f"{unknown[0]}: unknown field; want {', '.join(sorted(known)) or 'none'}",
            param=unknown[0],
        )


def _check_type(request: Request) -> None:
    if (
        request.headers.get("content-type", "").partition(";")[0].strip().lower()
        != "application/json"
    ):
        raise HttpError(415, "not_json", "send JSON, with Content-Type: application/json")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HttpError(415, "not_json", "send the JSON as it is, without Content-Encoding")


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return bytes(body)


def _too_large(limit: int) -> HttpError:
    return HttpError(413, "too_large", f"the body is larger than {limit:,} bytes; send less")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
