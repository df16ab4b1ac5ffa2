"""Where releases come from: a folder (a stick, a share) or a static HTTP server with the same
files. Hands out bytes and says what is missing. Knows nothing of signatures: nothing that comes
from here is believed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from ..locks import BINARY, CLOSE_ON_EXEC, NON_BLOCKING
from .errors import SourceFailed

if TYPE_CHECKING:
    import urllib3

METADATA = "metadata"  # the folder by which a shipped folder is told from any other
_PIECE = 1 << 20  # bytes read at once
_SECONDS = 30.0  # without a byte, after which a server counts as gone
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class Missing(SourceFailed):
    """The source has no such file."""


class Source(Protocol):
    """`name`: what the user called it; `local`: whether it is a folder of this machine."""

    name: str
    local: bool

    def read(self, path: str, *, offset: int = 0) -> Iterator[bytes]:
        """Yield the file's bytes from `offset` on, in pieces. May yield more or fewer than a file
        should have: who reads counts. Raises Missing, SourceFailed."""
        ...


def open_source(location: str) -> Source:
    """Return the source for a folder's path or an http(s) address. Raises SourceFailed where a
    folder is no shipped one."""
    if location.startswith(("http://", "https://")):
        return HttpSource(location)
    folder = Path(location)
    for place in (folder, folder / "fieldpack"):
        if (place / METADATA).is_dir():
            return FolderSource(place.absolute())
    what = (
        "it has no metadata/ folder, so it is not what `build ship` wrote"
        if folder.is_dir()
        else "there is no such folder"
    )
    raise SourceFailed(f"{location}: {what}; name the stick's folder or the server's address")


class FolderSource:
    """Reads a stick or another folder."""

    local = True

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = folder

    def read(self, path: str, *, offset: int = 0) -> Iterator[bytes]:
        """Yield a file's bytes from `offset` on. Raises Missing, SourceFailed."""
        full = self._folder / PurePosixPath(path)
        try:
            descriptor = os.open(
                full,
                os.O_RDONLY | NON_BLOCKING | CLOSE_ON_EXEC | BINARY,  # a pipe would keep us waiting
            )
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise SourceFailed(f"{full}: no regular file; ship to this folder again")
                file.seek(offset)
                while piece := file.read(_PIECE):
                    yield piece
        except (FileNotFoundError, NotADirectoryError):
            if not self._folder.is_dir():
                raise SourceFailed(
                    f"{self.name}: gone; plug the stick in again and run the same command to go on"
                ) from None
            raise Missing(f"{full}: missing; copy or ship the folder again") from None
        except OSError as error:
            raise SourceFailed(
                f"{full}: {error.strerror}; is the stick still plugged in? Run the same command"
                " again to go on"
            ) from None


class HttpSource:
    """Asks for ranges, so that a copy goes on where it was cut off. Follows no redirect to another
    host."""

    local = False

    def __init__(self, address: str) -> None:
        import urllib3

        self.name = address.rstrip("/")
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=_SECONDS, read=_SECONDS), retries=False
        )

    def read(self, path: str, *, offset: int = 0) -> Iterator[bytes]:
        """Yield a file's bytes from `offset` on. Raises Missing, SourceFailed."""
        import urllib3

        url = f"{self.name}/{path}"
        headers = {
            "Accept-Encoding": "identity",
            "User-Agent": "fieldpack",
            **({"Range": f"bytes={offset}-"} if offset else {}),
        }
        try:
            response = self._http.request(
                "GET", url, headers=headers, preload_content=False, redirect=False
            )
            with closing(response):
                skip = self._check(response, url, offset)
                for piece in response.stream(_PIECE, decode_content=False):
                    if skip >= len(piece):
                        skip -= len(piece)
                        continue
                    yield piece[skip:]
                    skip = 0
        except urllib3.exceptions.HTTPError as error:
            why = " ".join(str(error).split())[:200]
            raise SourceFailed(
                f"{url}: cut off or not reachable ({why}); run the same command again to go on"
            ) from None

    def _check(self, response: urllib3.BaseHTTPResponse, url: str, offset: int) -> int:
        """Return how many bytes of the body to pass over: all before `offset` where the server
        ignored the range."""
        if response.status in (403, 404):
            raise Missing(
                f"{url}: the server has no such file (HTTP {response.status}); ship to it again"
            )
        if response.status == 200:
            return offset
        if response.status != 206 or not offset:
            raise SourceFailed(
                f"{url}: the server answered HTTP {response.status}; is the address right?"
            )
        content_range = response.headers.get("Content-Range", "")
        if not (match := _RANGE.fullmatch(content_range)) or int(match[1]) != offset:
            raise SourceFailed(
                f"{url}: asked for the bytes from {offset:,} on, the server sends"
                f" {content_range!r:.60}; it or a proxy before it is broken"
            )
        return 0
