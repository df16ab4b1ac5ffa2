"""A static HTTP server for one folder that counts what it sends, and that can be told to
misbehave."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Server:
    """`cut_after`: bytes of a blob after which the connection is closed, once. `ranges`: whether
    Range is obeyed. `wrong_range`: answers with another Content-Range than asked. `endless`: never
    ends a blob's body."""

    folder: Path
    cut_after: int | None = None
    ranges: bool = True
    wrong_range: bool = False
    endless: bool = False
    sent: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            server.asked.append((self.path, wanted))
            path = server.folder / self.path.lstrip("/")
            if not path.is_file():
                self.send_error(404)
                return
            data, begin = path.read_bytes(), 0
            if (match := re.fullmatch(r"bytes=(\d+)-", wanted)) and server.ranges:
                begin = int(match[1])
                self.send_response(206)
                told = begin + 7 if server.wrong_range else begin
                self.send_header("Content-Range", f"bytes {told}-{len(data) - 1}/{len(data)}")
            else:
                self.send_response(200)
            blob = "/blobs/" in self.path
            if not (server.endless and blob):
                self.send_header("Content-Length", str(len(data) - begin))
            self.end_headers()
            self._send(data[begin:], blob)

        def _send(self, data: bytes, blob: bool) -> None:
            try:
                if blob and server.cut_after is not None and len(data) > server.cut_after:
                    self.wfile.write(data[: server.cut_after])
                    server.sent += server.cut_after
                    server.cut_after = None
                    self.connection.close()
                    return
                self.wfile.write(data)
                server.sent += len(data)
                while blob and server.endless:
                    self.wfile.write(bytes(1 << 16))
            except OSError:  # the client has hung up, as it should
                pass
            self.close_connection = True

    return Handler


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    listening.daemon_threads = True
    server.url = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(
        target=listening.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
