"""Reads the JSON object in a request's body, within limits of size and time, and takes typed fields
from it. Knows nothing of what the fields mean."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Set
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from .errors import HttpError, bad_request

JsonObject = Mapping[str, object]  # what came over the network: of its values nothing is known

_T = TypeVar("_T")
_NAMES: dict[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    dict: "an object",
    list: "a list",
}


async def read_json(
    request: Request, *, max_bytes: int, seconds: float, known: Set[str] | None = None
) -> JsonObject:
    """Return the object in a request's body, of at most `max_bytes` that arrive within `seconds`.
    `known`: the fields that it may have; None where any may be there.

    Raises HttpError: 400, 408, 413, 415; ClientDisconnect."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise HttpError(415, "not_json", "send JSON, with Content-Type: application/json")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HttpError(415, "not_json", "send the JSON as it is, without Content-Encoding")
    too_large = HttpError(
        413, "too_large", f"the body is larger than {max_bytes:,} bytes; send less"
    )
    if int(request.headers.get("content-length", 0)) > max_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            more = True
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                body += message.get("body", b"")
                if len(body) > max_bytes:
                    raise too_large
                more = message.get("more_body", False)
    except TimeoutError:
        raise HttpError(
            408, "too_slow", f"the request's body took more than {seconds:g} s; send it again"
        ) from None
    data = parse_object(bytes(body))
    if known is not None and (unknown := sorted(set(data) - known)):
        raise bad_request(
            f"{unknown[0]}: unknown field; want {', '.join(sorted(known)) or 'none'}",
            param=unknown[0],
        )
    return data


def parse_object(body: bytes) -> JsonObject:
    """Return the JSON object that `body` holds. Raises HttpError (400)."""

    def refuse_constant(name: str) -> None:
        raise ValueError(f"{name} is no JSON")  # NaN and Infinity

    try:
        data = json.loads(body.decode("utf-8"), parse_constant=refuse_constant)
    # Also: no UTF-8, a number of 5,000 digits, 100,000 brackets.
    except (ValueError, RecursionError) as error:
        raise bad_request(f"the body is no JSON: {error}") from None
    if not isinstance(data, dict):
        raise bad_request("the body is no JSON object; want {...}")
    return data


def field(
    data: JsonObject,
    name: str,
    kind: type[_T],
    default: _T | None = None,
    *,
    max_length: int | None = None,
) -> _T:
    """Return a field, which must be of type `kind` and at most `max_length` long; where it is
    missing or null, `default` if there is one. Raises HttpError: 400, 422."""
    value = data.get(name)
    if value is None:
        if default is None:
            raise bad_request(f"{name} is missing; want {_NAMES[kind]}", param=name)
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise bad_request(f"{name}: want {_NAMES[kind]}", param=name)
    if max_length is not None and isinstance(value, str | list) and len(value) > max_length:
        raise HttpError(
            422,
            "too_long",
            f"{name}: {len(value):,} long, at most {max_length:,} are taken",
            param=name,
        )
    return value


def list_of(data: JsonObject, name: str, kind: type[_T], *, max_length: int) -> tuple[_T, ...]:
    """Return a list whose values are all of type `kind`; empty where it is missing. Raises
    HttpError: 400, 422."""
    values = field(data, name, list, [], max_length=max_length)
    if any(not isinstance(value, kind) or isinstance(value, bool) for value in values):
        raise bad_request(f"{name}: want a list, each {_NAMES[kind]}", param=name)
    return tuple(values)
