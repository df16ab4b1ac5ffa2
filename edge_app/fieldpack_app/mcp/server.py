"""The server of the Model Context Protocol: agrees on a version, lists the tools, runs them beside
the reading of requests, stops those that are cancelled. Knows nothing of what the tools do.

Two kinds of versions are spoken (https://modelcontextprotocol.io/specification): those that begin
with the request `initialize`, and from 2026-07-28 on those where every request says its version in
`_meta` and `server/discover` tells what there is. 2025-03-26 is not offered: it alone has batches.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, BinaryIO

from fieldpack import Cancelled, Expert, FieldpackError, InputError, __version__

from ..terminal.render import printable
from .json_rpc import (
    BUSY,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    Connection,
    Request,
    RequestId,
    RpcError,
)
from .tools import Tool, tools_of, visible

HANDSHAKE_VERSIONS = ("2024-11-05", "2025-06-18", "2025-11-25")  # oldest first
STATELESS_VERSIONS = ("2026-07-28",)
UNSUPPORTED_VERSION = -32022
_META = "io.modelcontextprotocol/"
_MAX_WAITING = 64  # calls
_PROGRESS_SECONDS = 1.0  # between two notifications of one call
_log = logging.getLogger("fieldpack.mcp")


class Call:
    """A call of a tool that is waiting or running."""

    def __init__(self, request_id: RequestId, notify: Callable[[str, float], None] | None) -> None:
        """`notify`: sends words on how far the call is, and a count that only rises; None where the
        client did not ask for them."""
        self.id = request_id
        self.cancel = threading.Event()
        self._notify = notify
        self._reported = 0.0
        self._count = 0

    def report(self, words: str) -> None:
        """Tell the client how far the call is, now and then."""
        now = time.monotonic()
        self._count += 1
        if self._notify and not self.cancel.is_set() and now - self._reported > _PROGRESS_SECONDS:
            self._reported = now
            self._notify(words, self._count)


class McpServer:
    """One bundle behind a connection. `run` returns at the end of the client's stream."""

    def __init__(self, expert: Expert, connection: Connection) -> None:
        self._expert = expert
        self._connection = connection
        self._tools = {tool.name: tool for tool in tools_of(expert)}
        self._calls: dict[RequestId, Call] = {}
        self._lock = threading.Lock()  # of _calls
        # Answers wait for each other, searches do not wait for answers.
        self._answers = ThreadPoolExecutor(1, thread_name_prefix="answers")
        self._searches = ThreadPoolExecutor(1, thread_name_prefix="searches")
        self._initialized = False

    def run(self) -> None:
        """Serve until the client closes its stream; calls that still run are stopped."""
        try:
            for request in self._connection.requests():
                self._take(request)
        finally:
            with self._lock:
                for call in self._calls.values():
                    call.cancel.set()
            # A thread inside onnxruntime at the interpreter's end would crash it.
            self._answers.shutdown(cancel_futures=True)
            self._searches.shutdown(cancel_futures=True)

    def _take(self, request: Request) -> None:
        """Answer a request, or begin to; obey a notification."""
        if request.id is None:
            if request.method == "notifications/cancelled":
                self._cancel(request.params.get("requestId"))
            return
        try:
            stateless = self._is_stateless(request)
            if request.method == "tools/call":
                self._begin(request.id, request.params, stateless)
                return
            result = self._result(request, stateless)
        except RpcError as error:
            self._connection.send_error(request.id, error)
        else:
            self._connection.send_result(request.id, self._stamped(result, stateless))

    def _is_stateless(self, request: Request) -> bool:
        """Return whether a request brings its own version. Raises RpcError: a version that is not
        spoken here, or a request before `initialize`."""
        meta = request.params.get("_meta")
        name = f"{_META}protocolVersion"
        if isinstance(meta, Mapping) and name in meta and request.method != "initialize":
            version = meta[name]
            if not isinstance(version, str) or f"{_META}clientCapabilities" not in meta:
                raise RpcError(
                    INVALID_PARAMS,
                    f"_meta: want {name} as a string, and {_META}clientCapabilities",
                )
            if version not in STATELESS_VERSIONS:
                supported = [*STATELESS_VERSIONS, *reversed(HANDSHAKE_VERSIONS)]
                raise RpcError(
                    UNSUPPORTED_VERSION,
                    f"version {version} is not spoken here",
                    {"supported": supported, "requested": version},
                )
            return True
        if not self._initialized and request.method not in ("initialize", "ping"):
            raise RpcError(INVALID_REQUEST, f"{request.method}: send initialize first")
        return False

    def _result(self, request: Request, stateless: bool) -> Mapping[str, Any]:
        """Return the result of a request that runs no tool. Raises RpcError."""
        match request.method, stateless:
            case "initialize", False:
                return self._initialize(request.params)
            case "ping", False:
                return {}
            case "server/discover", True:
                versions = [*STATELESS_VERSIONS, *reversed(HANDSHAKE_VERSIONS)]
                return {"supportedVersions": versions, **self._about(), **_CACHED}
            case "tools/list", _:
                if request.params.get("cursor") is not None:
                    raise RpcError(INVALID_PARAMS, "cursor: there is one page alone")
                tools = [_listed(tool, self._about_bundle()) for tool in self._tools.values()]
                return {"tools": tools, **(_CACHED if stateless else {})}
        raise RpcError(METHOD_NOT_FOUND, f"{request.method}: not a method of this server")

    def _initialize(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Agree on a version: the client's, or else the newest that is not newer, or the newest of
        all. Raises RpcError."""
        wanted = params.get("protocolVersion")
        if not isinstance(wanted, str):
            raise RpcError(INVALID_PARAMS, "protocolVersion: want a string")
        older = [version for version in HANDSHAKE_VERSIONS if version <= wanted]
        version = (older or HANDSHAKE_VERSIONS)[-1]
        self._initialized = True
        return {"protocolVersion": version, **self._about(), "serverInfo": self._server_info()}

    def _about(self) -> dict[str, Any]:
        return {"capabilities": {"tools": {}}, "instructions": self._about_bundle()}

    def _server_info(self) -> dict[str, str]:
        title = printable(f"Fieldpack: {self._expert.manifest.name}")
        return {"name": "fieldpack", "title": title, "version": __version__}

    def _about_bundle(self) -> str:
        manifest = self._expert.manifest
        about = " ".join(manifest.description.split())[:300]
        return printable(
            f"Library {manifest.name} {manifest.version}{': ' if about else ''}{about}"
        )

    def _stamped(self, result: Mapping[str, Any], stateless: bool) -> Mapping[str, Any]:
        """Return a result with what the version without a handshake wants in each."""
        if not stateless:
            return result
        meta = {f"{_META}serverInfo": self._server_info()}
        return {**result, "resultType": "complete", "_meta": meta}

    # --- calls ------------------------------------------------------------------------------------

    def _begin(self, request_id: RequestId, params: Mapping[str, Any], stateless: bool) -> None:
        """Begin a call. Raises RpcError: no such tool, too many calls."""
        name, arguments = params.get("name"), params.get("arguments", {})
        tool = self._tools.get(name) if isinstance(name, str) else None
        if tool is None:
            known = ", ".join(self._tools)
            raise RpcError(INVALID_PARAMS, f"unknown tool: {name!r:.80}; there are {known}")
        if not isinstance(arguments, dict):
            raise RpcError(INVALID_PARAMS, "arguments: want an object")
        call = Call(request_id, self._progress(params.get("_meta")))
        with self._lock:
            if request_id in self._calls:
                raise RpcError(INVALID_REQUEST, f"id {request_id!r:.80} is being answered already")
            if len(self._calls) >= _MAX_WAITING:
                raise RpcError(BUSY, f"{_MAX_WAITING} calls are waiting already; wait for them")
            self._calls[request_id] = call
        thread = self._answers if tool.answers else self._searches
        future = thread.submit(_run, tool, self._expert, arguments, call)
        future.add_done_callback(lambda done: self._end(call, done, stateless))

    def _progress(self, meta: object) -> Callable[[str, float], None] | None:
        """Return what sends a call's progress; None where the client wants none."""
        token = meta.get("progressToken") if isinstance(meta, Mapping) else None
        if not isinstance(token, str) and type(token) is not int:
            return None

        def notify(words: str, count: float) -> None:
            progress = {"progressToken": token, "progress": count, "message": words}
            self._connection.notify("notifications/progress", progress)

        return notify

    def _cancel(self, request_id: object) -> None:
        """Stop a call; it is not answered any more. One that has ended is nothing to stop."""
        with self._lock:
            if isinstance(request_id, str | int) and (call := self._calls.get(request_id)):
                call.cancel.set()

    def _end(self, call: Call, done: Future[Mapping[str, Any]], stateless: bool) -> None:
        """Answer a call that has ended, however it did."""
        with self._lock:
            del self._calls[call.id]
        if call.cancel.is_set() or done.cancelled():
            return
        if error := done.exception():
            _log.error("a call failed", exc_info=error)
            failed = RpcError(INTERNAL_ERROR, "the call failed; the server's stderr says why")
            self._connection.send_error(call.id, failed)
        else:
            self._connection.send_result(call.id, self._stamped(done.result(), stateless))


# From 2026-07-28 on. The tools stay the same as long as the process runs.
_CACHED = {"ttlMs": 3_600_000, "cacheScope": "public"}


def _run(tool: Tool, expert: Expert, arguments: Mapping[str, Any], call: Call) -> Mapping[str, Any]:
    """Run a tool, and return the result of its call. What the caller can mend is in the result, so
    that a language model reads it."""
    try:
        if call.cancel.is_set():
            return {}
        if unknown := sorted(set(arguments) - set(tool.inputs["properties"])):
            known = ", ".join(tool.inputs["properties"])
            raise InputError(f"{unknown[0]:.80}: unknown argument; {tool.name} takes {known}")
        output = tool.run(expert, arguments, call.cancel, call.report)
    except Cancelled:
        return {}
    except FieldpackError as error:
        text = printable(str(error))
        return {"content": [{"type": "text", "text": text}], "isError": True}
    return {
        "content": [{"type": "text", "text": printable(output.text)}],
        "structuredContent": visible(output.data),
        "isError": False,
    }


def _listed(tool: Tool, about: str) -> Mapping[str, Any]:
    """Return a tool as a list of tools has it."""
    hints = {"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False}
    return {
        "name": tool.name,
        "title": tool.title,
        "description": f"{tool.description} {about}",
        "inputSchema": tool.inputs,
        "outputSchema": tool.outputs,
        "annotations": hints,
    }


def take_streams() -> tuple[BinaryIO, BinaryIO]:
    """Return stdin and stdout for the protocol alone: whatever else writes to file descriptor 1, a
    library in C among it, writes to stderr from now on. Raises InputError where one is closed."""
    if sys.stdin is None or sys.stdout is None:
        raise InputError("stdin or stdout is closed; a program that speaks MCP starts this command")
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    return sys.stdin.buffer, os.fdopen(own, "wb")


def serve(expert: Expert) -> None:
    """Speak the protocol over stdin and stdout until stdin ends. Raises InputError where one of
    them is closed."""
    reader, writer = take_streams()
    with suppress(BrokenPipeError), writer:  # what the client no longer reads
        McpServer(expert, Connection(reader, writer)).run()
