"""Shows people how to let a device in: address, code, QR, fingerprint. Remembers for other commands
where a server runs."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path

from fieldpack.untrusted import typed

from ..state import write_private
from ..terminal.render import on_terminal

_FILE = "server.json"


@dataclass(frozen=True, slots=True)
class LanServer:
    """The server of a folder of keys: its address, and its certificate's fingerprint."""

    url: str
    fingerprint: str


def remember_server(folder: Path, server: LanServer) -> None:
    """Write down where the server is. Raises OSError."""
    write_private(folder / _FILE, json.dumps(asdict(server)).encode())


def known_server(folder: Path) -> LanServer | None:
    """Return where the server of the folder is; None where none was started yet."""
    try:
        return typed(LanServer, json.loads((folder / _FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def invitation(server: LanServer, code: str, seconds: int) -> str:
    """Return the lines that let a device in: on a terminal with a QR code, where segno is there."""
    minutes = max(round(seconds / 60), 1)
    lines = [
        f"To let a phone in, within {minutes} minute{'s' if minutes > 1 else ''}: open",
        f"  {server.url}/pair",
        f"and type {code}",
    ]
    if on_terminal() and importlib.util.find_spec("segno"):
        lines += ["or point its camera here:", "", qr_code(f"{server.url}/pair?code={code}")]
    lines += [
        "It will warn that nobody vouches for this certificate; its SHA-256 fingerprint is",
        f"  {server.fingerprint[:47]}",
        f"  {server.fingerprint[48:]}",
    ]
    return "\n".join(lines)


def qr_code(text: str) -> str:
    """Return a QR code made of half blocks, dark on light whatever the terminal's colours."""
    import segno

    matrix = segno.make(text, error="m", micro=False).matrix_iter(border=4)
    rows = [[bool(dark) for dark in row] for row in matrix]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    # Black letters on white; a half block is its upper half.
    blocks = {(False, False): " ", (True, False): "\u2580", (False, True): "\u2584"}
    out = StringIO()
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        line = "".join(blocks.get(pair, "\u2588") for pair in zip(upper, lower, strict=True))
        out.write(f"\x1b[30;107m{line}\x1b[0m\n")
    return out.getvalue()
