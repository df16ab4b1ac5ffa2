"""A real server on a free port, in a thread; an expert that takes its time, so that a queue can be
seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx

import fieldpack
from fieldpack_app.server.app import Application
from fieldpack_app.server.bundles import find_bundles
from fieldpack_app.server.follow import FollowReleases
from fieldpack_app.server.http import Protocol, Server
from fieldpack_app.server.loaded_bundle import Follower, Opener
from fieldpack_app.server.serve import listen
from fieldpack_app.server.settings import Limits, Settings

TOKEN = "key-of-the-tests-0123456789"
TICKET = "ticket-of-the-tests-0123456789"


def open_toy(path: Path) -> fieldpack.Expert:
    return fieldpack.open(path, threads=1, verify_contents=False)


class Paced:
    """An expert that waits `seconds` before each word after the first `free` ones, or until `hurry`
    is set or the answer is cancelled; counts what was begun and what was ended, however it
    ended."""

    def __init__(self, expert: fieldpack.Expert, seconds: float, free: int = 0) -> None:
        self._expert = expert
        self.seconds = seconds
        self.free = free
        self.hurry = threading.Event()
        self.begun = self.ended = self.words = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._expert, name)

    def stream(
        self, question: str, *, cancel: threading.Event, **options: Any
    ) -> Iterator[fieldpack.Event]:
        self.begun += 1
        try:
            for event in self._expert.stream(question, cancel=cancel, **options):
                if isinstance(event, fieldpack.TextPiece):
                    self.words += 1
                    if self.words > self.free:
                        self._wait(cancel)
                yield event
        finally:
            self.ended += 1

    def _wait(self, cancel: threading.Event) -> None:
        end = time.monotonic() + self.seconds
        while (left := end - time.monotonic()) > 0 and not cancel.is_set():
            if self.hurry.wait(min(left, 0.02)):
                return


def paced(seconds: float, *, free: int = 0) -> Opener:
    return lambda path: cast(fieldpack.Expert, Paced(open_toy(path), seconds, free))


@dataclass
class Served:
    port: int
    application: Application
    state: Path
    following: FollowReleases

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def expert(self) -> Any:
        return self.application.loaded.expert

    def client(self, name: str = "", *, token: str = TOKEN) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} | (
            {"X-Fieldpack-Client": name} if name else {}
        )
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)


@contextmanager
def served(
    bundles: Sequence[Path],
    state: Path,
    *,
    limits: Limits | None = None,
    opener: Opener = open_toy,
    follower: Follower | None = None,
    protocol: type[Protocol] = Protocol,
) -> Iterator[Served]:
    with closing(listen("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        settings = Settings(TOKEN, port, state, ticket=TICKET, limits=limits or Limits())
        with closing(Application(find_bundles(bundles), opener, settings, follower)) as application:
            following = FollowReleases(application.asgi, application.loaded)
            server = Server(following, application.service.stop_all, protocol)
            thread = threading.Thread(target=server.run, args=([listening],))
            thread.start()
            try:
                yield Served(port, application, state, following)
            finally:
                server.should_exit = True
                thread.join(120)
                assert not thread.is_alive()


@contextmanager
def server_process(
    *args: object, home: Path, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`fieldpack serve` as a process of its own, and the first line it prints."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("FIELDPACK_TOKEN", "XDG_STATE_HOME")
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "fieldpack_app.cli", "serve", *(str(arg) for arg in args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**inherited, "HOME": str(home), **environment},
    )
    assert process.stdout
    try:
        line = process.stdout.readline()
        assert process.stdout.readline() == "Ctrl-C ends.\n"
        yield process, line
    finally:
        process.kill()
        process.communicate()


def events_of(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    """(name, data) of server-sent events; a comment as ("", None)."""
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))
        elif line.startswith(":"):
            yield "", None


def wait_for(happened: Any, seconds: float = 60) -> None:
    """Until `happened()` is true."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)
