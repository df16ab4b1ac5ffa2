"""`fieldpack serve` in a process of its own, and plain HTTP to it, by the standard library alone.
Knows nothing of what is measured."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEY = "key-of-the-benchmark-0123456789"


@dataclass(frozen=True)
class Target:
    port: int
    pid: int
    state: Path

    def rss_mb(self) -> float:
        return self._status_mb("VmRSS")

    def peak_mb(self) -> float:
        return self._status_mb("VmHWM")

    def _status_mb(self, name: str) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii", errors="replace")
        return round(int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024, 1)  # type: ignore[index]

    def send(
        self, method: str, path: str, body: Any = None, *, timeout: float = 300, **headers: str
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """The connection, to be closed, and its response; `headers` with _ for -, in place of ours
        or beside them."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        sent = {"Host": f"127.0.0.1:{self.port}", "Authorization": f"Bearer {KEY}"}
        if body is not None:
            sent["Content-Type"] = "application/json"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(
            method,
            path,
            None if body is None else json.dumps(body),
            {k: v for k, v in sent.items() if v},
        )
        return connection, connection.getresponse()

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        connection, response = self.send(method, path, **headers)
        with closing(connection):
            return response.status, response.read().decode("utf-8", "replace")


def events_of(response: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    """(name, data) of server-sent events."""
    name = ""
    for line in response:
        if line.startswith(b"event: "):
            name = line[7:].decode().strip()
        elif line.startswith(b"data: "):
            yield name, json.loads(line[6:])


@contextmanager
def serving(bundle: Path, options: Sequence[str] = ()) -> Iterator[Target]:
    with tempfile.TemporaryDirectory(prefix="fieldpack-serving-") as name:
        state = Path(name) / "state"
        command = [
            sys.executable,
            "-m",
            "fieldpack_app.cli",
            "serve",
            str(bundle),
            "--port",
            "0",
            "--state",
            str(state),
            *options,
        ]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "FIELDPACK_TOKEN": KEY}
        )
        assert process.stdout
        found = re.search(r":(\d+)/\?token", process.stdout.readline())
        try:
            if not found:
                raise SystemExit(f"fieldpack serve {bundle} did not start")
            yield Target(int(found[1]), process.pid, state)
        finally:
            process.terminate()
            process.wait(30)
