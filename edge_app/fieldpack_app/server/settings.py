"""The settings of a server: its token, the names it answers to, its limits. Knows nothing of
HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of requests and answers. `waiting`: requests in the queue behind the one that is
    answered; one client holds at most half of them. `body`, `v1_body` and `feedback` are bytes;
    `note` and `answer` characters of a rating, `text` of a text to embed."""

    waiting: int = 16
    answer_seconds: float = 300.0  # 512 tokens at 2 tokens/s, the slowest machine that is any use
    body: int = 64 * 1024
    v1_body: int = 1024 * 1024  # a conversation with all that was said before; texts to embed
    body_seconds: float = 10.0
    send_seconds: float = 60.0
    heartbeat_seconds: float = 5.0
    passages: int = 50
    note: int = 2_000
    answer: int = 20_000
    texts: int = 256
    text: int = 20_000
    feedback: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server is started with. `names`: hosts that a browser on this machine may name;
    `remote`: hosts that browsers elsewhere may name, those also without the port, which a proxy in
    front hides. `ticket`: opens the page once, in place of the token, for the browser that we
    start: every user of the machine can read its command line. `lan`: the folder of paired devices'
    keys, for a server of the local network, which speaks TLS; None for any other."""

    token: str
    port: int
    state: Path
    names: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    remote: tuple[str, ...] = ()
    ticket: str = ""
    lan: Path | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def hosts(self) -> frozenset[str]:
        """The exact values that a Host header may have."""
        # Browsers leave port 80 out.
        bare = (*self.remote, *(self.names if self.port == 80 else ()))
        return frozenset((*bare, *(f"{name}:{self.port}" for name in (*self.names, *self.remote))))

    @property
    def cookie(self) -> str:
        """The cookie's name, with the port: all ports of a host share their cookies."""
        return f"fieldpack_{self.port}"
