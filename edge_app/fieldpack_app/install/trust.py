"""Which releases a source offers, by signed metadata: TUF, as `tuf.ngclient.Updater` does it. Turns
its errors into sentences. Knows nothing of blobs or slots.

The Updater writes its files without syncing them, so it works in a folder of its own; that folder
is synced and named in state.json only when an installation is done."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldpack.bundle.release import MOST_BYTES, Release, parse_manifest
from fieldpack.bundle.runtime_list import MOST_BYTES as MOST_LIST_BYTES
from fieldpack.bundle.runtime_list import TARGETS as RUNTIME_TARGETS
from fieldpack.bundle.runtime_list import RuntimeList, parse_list
from fieldpack.bundle.runtime_list import target_of as runtime_target
from fieldpack.untrusted import typed

from ..durable import sync_folder
from .disk import sync_tree
from .errors import NotTrusted, Older, SourceFailed
from .source import METADATA, Missing, Source
from .state import Recall

if TYPE_CHECKING:
    from tuf.ngclient import Updater

TARGETS = "targets"
RECALLS = "recalls.json"  # the target that lists withdrawn releases
SIGNED = "x-fieldpack-signed"  # in the targets' metadata: when it was signed, ISO 8601
_ROOT = "root.json"
_FIRST_ROOT = f"{METADATA}/1.{_ROOT}"
_MAX_ROOT = 512_000  # bytes, as the Updater's own limit
_SHOWN_DIGITS = 32  # of a fingerprint's 64: 128 bits are what a person can be asked to compare


def first_root(source: Source) -> bytes:
    """Return the first root of a source, which nothing vouches for but its fingerprint. Raises
    SourceFailed."""
    data = bytearray()
    for piece in source.read(_FIRST_ROOT):
        data += piece
        if len(data) > _MAX_ROOT:
            raise SourceFailed(
                f"{source.name}/{_FIRST_ROOT}: more than {_MAX_ROOT:,} bytes; this is no shipped"
                " folder"
            )
    return bytes(data)


def fingerprint(root: bytes) -> str:
    """Return the SHA-256 of a first root as people compare it: eight groups of four digits."""
    digits = hashlib.sha256(root).hexdigest()[:_SHOWN_DIGITS]
    return " ".join(digits[n : n + 4] for n in range(0, _SHOWN_DIGITS, 4))


def check_fingerprint(root: bytes, expected: str) -> None:
    """Raise NotTrusted where `expected` (spaces and case do not matter) is not the root's, or too
    short to mean anything."""
    digits = "".join(expected.split()).lower().replace(":", "")
    if len(digits) < _SHOWN_DIGITS or not hashlib.sha256(root).hexdigest().startswith(digits):
        raise NotTrusted(
            f"the source's fingerprint is {fingerprint(root)}, not {expected}; this is not from those"
            " who gave you that fingerprint, or it was mistyped. Nothing was installed"
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """One release that a source offers. `share`: percent of devices that take it by `update`."""

    channel: str
    name: str
    version: str
    number: int
    target: str
    share: int


@dataclass(frozen=True, slots=True)
class Feed:
    """What a source says, verified. `scratch`: the Updater's folder, not yet kept. `signed`: ISO
    8601. `runtimes`: the targets that list wheels of Fieldpack."""

    source: Source
    offers: tuple[Offer, ...]
    recalls: tuple[Recall, ...]
    signed: str
    scratch: Path
    runtimes: frozenset[str]
    _updater: Updater

    def download(self, offer: Offer) -> tuple[Release, bytes]:
        """Return the release and its manifest's bytes. Raises NotTrusted, SourceFailed,
        BundleCorrupt, BundleUnsupported."""
        data = _target(self._updater, self.source, offer.target, MOST_BYTES)
        release = parse_manifest(data, f"{self.source.name}: {offer.target}")
        if (release.name, release.number) != (offer.name, offer.number):
            raise NotTrusted(
                f"{self.source.name}: {offer.target} is signed as {offer.name} release"
                f" {offer.number} and holds {release.name} release {release.number}; whoever signs"
                " made a mistake: ask for a new release"
            )
        return release, data

    def runtime(self, platform: str) -> RuntimeList | None:
        """Return the newest signed wheels of a platform; None where none were signed. Raises
        NotTrusted, SourceFailed, BundleCorrupt, BundleUnsupported."""
        path = runtime_target(platform)
        if path not in self.runtimes:
            return None
        data = _target(self._updater, self.source, path, MOST_LIST_BYTES)
        return parse_list(data, f"{self.source.name}: {path}")

    def carries(self, offer: Offer) -> bool:
        """Whether the source holds the release that it offers: the metadata names every bundle of
        these keys, a stick may carry one of them."""
        try:
            self.download(offer)
        except Missing:
            return False
        return True

    def keep(self, trust: Path) -> str:
        """Bring the verified metadata to the disk; return the folder's name in `trust`, to be
        written into state.json."""
        self.scratch.chmod(0o755)
        sync_tree(self.scratch)
        sync_folder(trust)
        return self.scratch.name


def read_feed(
    source: Source, trust: Path, known: str, root: bytes | None, *, allow_downgrade: bool = False
) -> Feed:
    """Verify a source's metadata against what this device has trusted so far. `known`: the folder
    in `trust` of that, "" for none; then `root` is the first root, which somebody vouched for.
    `allow_downgrade`: older metadata, rightly signed by keys that still count, is taken too.

    Raises NotTrusted, SourceFailed, Older."""
    from tuf.api import exceptions
    from tuf.ngclient import Updater

    scratch = Path(tempfile.mkdtemp(prefix="new-", dir=trust))
    if known:
        shutil.copytree(trust / known, scratch, symlinks=True, dirs_exist_ok=True)
        root = None
    if allow_downgrade:
        for name in ("timestamp", "snapshot", "targets"):
            (scratch / f"{name}.json").unlink(missing_ok=True)
    try:
        updater = Updater(
            str(scratch),
            f"{METADATA}/",
            fetcher=_fetcher(source),
            target_base_url=f"{TARGETS}/",
            bootstrap=root,
        )
        updater.refresh()
        signed, offers, runtimes = _read_targets(scratch / "targets.json")
        recalls = _read_recalls(updater, source)
    except (
        exceptions.RepositoryError,
        exceptions.DownloadError,
        NotTrusted,
        SourceFailed,
    ) as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise _in_words(error, source) from error
    return Feed(source, offers, recalls, signed, scratch, runtimes, updater)


def age_in_days(signed: str, now: datetime | None = None) -> int | None:
    """Return how long ago metadata was signed, by this device's clock; None where its clock or the
    time makes no sense."""
    try:
        days = ((now or datetime.now(UTC)) - datetime.fromisoformat(signed)).days
    except (ValueError, TypeError):
        return None
    return days if days >= 0 else None


def _fetcher(source: Source) -> Any:
    from tuf.api.exceptions import DownloadError, DownloadHTTPError
    from tuf.ngclient import FetcherInterface

    class Fetcher(FetcherInterface):
        def _fetch(self, url: str) -> Iterator[bytes]:
            """Read from our source; a file that is missing is the 404 by which the Updater knows
            the last root."""
            try:
                yield from source.read(url)
            except Missing as error:
                raise DownloadHTTPError(str(error), 404) from error
            except SourceFailed as error:
                raise DownloadError(str(error)) from error

    return Fetcher()


def _target(updater: Updater, source: Source, path: str, max_bytes: int) -> bytes:
    """Download one small target, checked by its signed length and hash. Raises NotTrusted,
    SourceFailed."""
    from tuf.api import exceptions

    try:
        info = updater.get_targetinfo(path)
        if info is None:
            raise NotTrusted(f"{source.name}: {path} is not signed; ask for a new release")
        if info.length > max_bytes:
            raise NotTrusted(
                f"{source.name}: {path} is signed with {info.length:,} bytes; at most {max_bytes:,} are"
                " taken"
            )
        descriptor, file = tempfile.mkstemp(prefix="fieldpack-")
        os.close(descriptor)
        try:
            updater.download_target(info, file)
            return Path(file).read_bytes()
        finally:
            Path(file).unlink()
    except (exceptions.RepositoryError, exceptions.DownloadError) as error:
        raise _in_words(error, source) from error


def _read_targets(path: Path) -> tuple[str, tuple[Offer, ...], frozenset[str]]:
    """Read the metadata that the Updater has just verified. Raises NotTrusted where it is not of
    our kind."""
    signed = json.loads(path.read_text(encoding="utf-8"))["signed"]
    try:
        offers, runtimes = [], set()
        for target, info in sorted(signed["targets"].items()):
            if target.startswith(f"{RUNTIME_TARGETS}/"):
                runtimes.add(str(target))
            elif target != RECALLS:
                custom = info["custom"]
                offers.append(typed(Offer, {**custom, "target": target}))
        return str(signed[SIGNED]), tuple(offers), frozenset(runtimes)
    except (KeyError, TypeError, ValueError) as error:
        raise NotTrusted(
            f"{path.name}: rightly signed, and no list of Fieldpack's releases ({error}); update"
            " Fieldpack, or ask for a new release"
        ) from None


def _read_recalls(updater: Updater, source: Source) -> tuple[Recall, ...]:
    data = _target(updater, source, RECALLS, MOST_BYTES)
    try:
        return tuple(typed(Recall, row) for row in json.loads(data)["recalls"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise NotTrusted(
            f"{source.name}: {RECALLS} is rightly signed and not readable ({error}); ask for a new"
            " release"
        ) from None


def _in_words(error: Exception, source: Source) -> Exception:
    """Return the error of ours that says what one of the Updater's means to the one at the
    device."""
    from tuf.api import exceptions

    where = source.name
    if isinstance(error, NotTrusted | SourceFailed):
        return error
    if isinstance(error, exceptions.UnsignedMetadataError):
        return NotTrusted(
            f"{where}: not signed by enough of the keys that this device trusts ({error}); do not"
            " use it, and ask those who make your releases. Nothing was changed"
        )
    if isinstance(error, exceptions.BadVersionNumberError | exceptions.EqualVersionNumberError):
        return Older(f"{where}: older than what this device has seen ({error}); nothing newer here")
    if isinstance(error, exceptions.ExpiredMetadataError):
        return NotTrusted(
            f"{where}: its signatures have expired by this device's clock"
            f" ({datetime.now(UTC):%Y-%m-%d}); set the clock if it is wrong, else ask for a newer"
            " release"
        )
    if isinstance(error, exceptions.DownloadLengthMismatchError):
        return NotTrusted(
            f"{where}: a file is longer than what was signed, or endless ({error}); do not use it"
        )
    if isinstance(error, exceptions.DownloadError):
        cause = error.__cause__ or error
        if isinstance(cause, SourceFailed):
            return cause
        return SourceFailed(f"{where}: {cause}; copy or ship the folder again")
    if isinstance(error, exceptions.LengthOrHashMismatchError):
        return NotTrusted(
            f"{where}: a file is not the one that was signed ({error}); it is damaged or was"
            " tampered with: copy or ship the folder again"
        )
    return NotTrusted(
        f"{where}: its metadata cannot be used ({type(error).__name__}: {str(error)[:200]}); ship"
        " the folder again"
    )
