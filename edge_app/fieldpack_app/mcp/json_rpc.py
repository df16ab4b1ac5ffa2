"""JSON-RPC 2.0 over two byte streams, a message a line. Knows nothing of what the methods do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from ..terminal.render import dumps

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND = -32700, -32600, -32601
INVALID_PARAMS, INTERNAL_ERROR = -32602, -32603
BUSY = -32000  # of the codes that the protocol leaves to implementations
_MAX_LINE = 1 << 20  # bytes

RequestId = str | int


class RpcError(Exception):
    """An error that the peer gets in place of a result."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


@dataclass(frozen=True, slots=True)
class Request:
    """A request, or a notification: that has no `id`, and is not answered."""

    id: RequestId | None
    method: str
    params: Mapping[str, Any]


class Connection:
    """The two streams. Messages may be sent from several threads."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO) -> None:
        self._reader, self._writer = reader, writer
        self._lock = threading.Lock()
        self.closed = False  # the peer reads no more

    def requests(self) -> Iterator[Request]:
        """Yield requests and notifications until the end of the stream. What is none is answered
        with an error; responses are passed over, as nothing is asked of the peer."""
        while line := self._reader.readline(_MAX_LINE + 1):
            if len(line) > _MAX_LINE:
                while line and not line.endswith(b"\n"):
                    line = self._reader.readline(_MAX_LINE)
                too_long = f"a message is longer than {_MAX_LINE:,} bytes; send less"
                self.send_error(None, RpcError(INVALID_REQUEST, too_long))
                continue
            if not line.strip():
                continue
            try:
                message = _parse(line)
                if not isinstance(message, dict) or "method" in message:
                    yield _request(message)
            except RpcError as error:
                self.send_error(_id_of(message) if error.code != PARSE_ERROR else None, error)

    def send_result(self, request_id: RequestId, result: Mapping[str, Any]) -> None:
        """Answer a request."""
        self._send({"id": request_id, "result": result})

    def send_error(self, request_id: RequestId | None, error: RpcError) -> None:
        """Answer a request that failed; None for one whose id could not be read."""
        data = {} if error.data is None else {"data": error.data}
        body = {"code": error.code, "message": error.message, **data}
        self._send({"id": request_id, "error": body})

    def notify(self, method: str, params: Mapping[str, Any]) -> None:
        """Send a notification."""
        self._send({"method": method, "params": params})

    def _send(self, message: Mapping[str, Any]) -> None:
        line = dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
        with self._lock:
            if self.closed:
                return
            try:
                self._writer.write(line)
                self._writer.flush()
            except (BrokenPipeError, ConnectionError):
                self.closed = True


def _parse(line: bytes) -> Any:
    """Return what a line of JSON holds. Raises RpcError."""

    def refuse_constant(name: str) -> None:
        raise ValueError(f"{name} is no JSON")  # NaN and Infinity

    try:
        return json.loads(line.decode("utf-8"), parse_constant=refuse_constant)
    # Also: no UTF-8, a number of 5,000 digits, 100,000 brackets.
    except (ValueError, RecursionError) as error:
        raise RpcError(PARSE_ERROR, f"no JSON: {error}") from None


def _request(message: Any) -> Request:
    """Return the request that a message stands for. Raises RpcError."""
    if not isinstance(message, dict):  # a list is a batch, which 2025-06-18 took out again
        raise RpcError(INVALID_REQUEST, "want one JSON object a line")
    params = message.get("params", {})
    if message.get("jsonrpc") != "2.0" or not isinstance(message["method"], str):
        raise RpcError(INVALID_REQUEST, 'want {"jsonrpc": "2.0", "method": ..., ...}')
    if "id" in message and _id_of(message) is None:
        raise RpcError(INVALID_REQUEST, "id: want a string or a whole number")
    if not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "params: want an object")
    return Request(_id_of(message), message["method"], params)


def _id_of(message: Any) -> RequestId | None:
    """Return a message's id; None where it has none, or one that cannot be."""
    value = message.get("id") if isinstance(message, dict) else None
    return value if isinstance(value, str) or type(value) is int else None
