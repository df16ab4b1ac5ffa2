"""Fingerprints, stage folders that appear whole or not at all, and receipts. Knows nothing of what
a stage does.

A cache is one folder:

    stages/<stage>/<key>/            finished: the stage's files and receipt.json
    stages/<stage>/<key>.partial/    in work, or left by an interrupted build
    models/, toolchains/             fetched once, shared by all recipes
    rehearsals/                      bundles of rehearsals
    missed/                          reports of builds whose gates were missed
    hashes.sqlite                    SHA-256 of source files by (path, size, mtime): a 4 GB model is
                                     read once
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from fieldpack.bundle.manifest import sha256_file

from ..errors import MachineError
from .events import StageResult

RECEIPT = "receipt.json"
LOG = "log.txt"  # all that the stage's process printed
# What an interrupted stage leaves in its partial folder if it wants to be found by a later one:
# what it began with, and a line for each thing that it has done.
BEGUN = "begun.json"
JOURNAL = "journal.jsonl"
_AT_ONCE = 500  # files; sqlite takes 999 values in one statement on old builds


def default_cache() -> Path:
    """Return $FIELDPACK_CACHE, else fieldpack/ in the user's cache folder."""
    if named := os.environ.get("FIELDPACK_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fieldpack"


def fingerprint(value: object) -> str:
    """Return the SHA-256 (hex) of a JSON value, the same for the same content."""
    return sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ).hexdigest()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a finished stage was made of, and what it took. `recipe`: the name of the one that made
    it. `seen`: stages it read that are not part of its key."""

    stage: str
    recipe: str
    key: str
    parts: Mapping[str, Any]
    seen: Mapping[str, str]
    files: Mapping[str, int]
    seconds: float
    peak_rss_mb: float
    result: StageResult = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Store:
    """The cache: finished stages by key, those in work, and what recipes share."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.models = root / "models"
        self.toolchains = root / "toolchains"
        self.rehearsals = root / "rehearsals"
        self.missed = root / "missed"

    def folder(self, stage: str, key: str) -> Path:
        """Return where a stage lies when it is finished."""
        return self.root / "stages" / stage / key[:20]

    def partial(self, stage: str, key: str) -> Path:
        """Return where a stage is worked on."""
        return self.folder(stage, key).with_name(key[:20] + ".partial")

    def find(self, stage: str, key: str) -> Receipt | None:
        """Return the receipt of a finished stage whose files are all there with their sizes; None
        otherwise."""
        receipt = read_receipt(self.folder(stage, key))
        return receipt if receipt and receipt.key == key else None

    def newest(self, stage: str, fits: Callable[[Receipt], bool]) -> Path | None:
        """Return the folder of the newest finished run of `stage` whose receipt fits; None where
        there is none."""
        folders = [path.parent for path in (self.root / "stages" / stage).glob(f"*/{RECEIPT}")]
        for folder in sorted(
            folders, key=lambda path: (path / RECEIPT).stat().st_mtime_ns, reverse=True
        ):
            receipt = read_receipt(folder) if folder.suffix != ".partial" else None
            if receipt and fits(receipt):
                return folder
        return None

    def begin(self, stage: str, key: str, *, keep: bool) -> Path:
        """Make and return the partial folder to work in; with `keep`, what an interrupted run left
        there stays (checkpoints). Raises MachineError where it cannot be made."""
        partial = self.partial(stage, key)
        if not keep and partial.exists():
            shutil.rmtree(partial)
        self._make(partial)
        return partial

    def commit(self, partial: Path, receipt: Receipt) -> Path:
        """Finish a stage and return its folder. The receipt is written last, then one rename: before
        it nothing is visible, after it everything."""
        final = self.folder(receipt.stage, receipt.key)
        text = json.dumps(asdict(receipt), indent=2, sort_keys=True, ensure_ascii=False)
        (partial / RECEIPT).write_text(text + "\n", encoding="utf-8")
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        return final

    def discard(self, stage: str, key: str) -> None:
        """Remove a stage, finished or not."""
        shutil.rmtree(self.folder(stage, key), ignore_errors=True)
        shutil.rmtree(self.partial(stage, key), ignore_errors=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One build at a time in a cache; the lock goes with the process, however it ends."""
        from filelock import FileLock, Timeout

        self._make(self.root)
        lock = FileLock(self.root / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise MachineError(
                f"{self.root}: another build is using this cache; wait for it or name --cache"
            ) from None
        except OSError as error:
            raise self._refused(self.root / "lock", error) from None
        try:
            yield
        finally:
            lock.release()

    def hash_files(self, paths: Iterable[Path]) -> dict[str, str]:
        """Return the SHA-256 of each file by its path as given. A file is read again only when its
        size or modification time changed. Raises OSError for one that cannot be read, MachineError
        where the cache cannot be written."""
        files = list(paths)
        self._make(self.root)
        database = self.root / "hashes.sqlite"
        try:
            return self._hash_files(files)
        except sqlite3.DatabaseError:
            pass  # damaged, or locked by another process for long: it only saves time
        try:
            database.unlink(missing_ok=True)
        except OSError as error:
            raise self._refused(database, error) from None
        try:
            return self._hash_files(files)
        except sqlite3.DatabaseError as error:
            raise self._refused(database, error) from None

    def _make(self, folder: Path) -> None:
        """Raises MachineError where the folder is not there and cannot be made."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._refused(folder, error) from None

    def _refused(self, path: Path, error: OSError | sqlite3.Error) -> MachineError:
        why = error.strerror if isinstance(error, OSError) else str(error)
        return MachineError(
            f"{path}: {why}; the cache must be a folder that can be written: name another with "
            "--cache"
        )

    def _hash_files(self, paths: Sequence[Path]) -> dict[str, str]:
        """50,000 unchanged files in 0.5 s: one look-up for 500 of them, and no walk up the folders
        of each."""
        with closing(sqlite3.connect(self.root / "hashes.sqlite")) as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS hashes (path TEXT PRIMARY KEY, size INT, mtime INT, "
                "sha256 TEXT)"
            )
            hashes: dict[str, str] = {}
            resolve = _Resolver()
            for at in range(0, len(paths), _AT_ONCE):
                hashes |= _hash_some(database, paths[at : at + _AT_ONCE], resolve)
                # what is hashed stays hashed when a first build of terabytes is interrupted
                database.commit()
        return hashes


def _hash_some(
    database: sqlite3.Connection, paths: Sequence[Path], resolve: _Resolver
) -> dict[str, str]:
    real = [resolve(path) for path in paths]
    marks = ",".join("?" * len(real))
    rows = database.execute(
        f"SELECT path, size, mtime, sha256 FROM hashes WHERE path IN ({marks})", real
    )
    known = {row[0]: row[1:] for row in rows}
    hashes, new = {}, []
    for path, name in zip(paths, real, strict=True):
        stat = path.stat()
        size, mtime, digest = known.get(name, (None, None, ""))
        if (size, mtime) != (stat.st_size, stat.st_mtime_ns):
            digest = sha256_file(path)
            new.append((name, stat.st_size, stat.st_mtime_ns, digest))
        hashes[str(path)] = digest
    database.executemany("INSERT OR REPLACE INTO hashes VALUES (?,?,?,?)", new)
    return hashes


class _Resolver:
    """Path -> its real path as text. A folder is resolved once, not for each of its files."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def __call__(self, path: Path) -> str:
        folder, name = os.path.split(path)
        if name in ("", ".", "..") or os.path.islink(path):  # noqa: PTH114 (Path's own takes three times as long)
            return os.path.realpath(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return os.path.join(self._folders[folder], name)  # noqa: PTH118


def read_receipt(folder: Path) -> Receipt | None:
    """Read the receipt of a finished stage; None where there is none, or files are missing or have
    other sizes than it says."""
    try:
        data = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
        receipt = Receipt(**{**data, "warnings": tuple(data["warnings"])})
        whole = all((folder / name).stat().st_size == size for name, size in receipt.files.items())
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return receipt if whole else None


def files_of(folder: Path) -> dict[str, int]:
    """Return relative path -> size in bytes of every file below a folder, links followed, the
    receipt and the log left out."""
    sizes = {}
    for root, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = Path(root) / name
            sizes[path.relative_to(folder).as_posix()] = path.stat().st_size
    return {name: sizes[name] for name in sorted(sizes) if name not in (RECEIPT, LOG)}


def place_link(source: str, target: str) -> None:
    """Make `target` a hard link to `source`, or a copy on another disk: for folders that nobody
    edits."""
    try:
        os.link(Path(source).resolve(), target)
    except OSError:
        shutil.copy2(source, target)


def interrupted(stage: Path, lineage: str) -> Path | None:
    """Return the folder of the interrupted run below `stage` that got furthest last, of the same
    lineage; None where there is none."""
    folders = []
    for begun in stage.glob(f"*.partial/{BEGUN}"):
        try:
            same = json.loads(begun.read_text(encoding="utf-8"))["lineage"] == lineage
        except (OSError, ValueError, KeyError):
            continue
        if same and lineage and (begun.parent / JOURNAL).exists():
            folders.append(begun.parent)
    return max(folders, key=lambda folder: (folder / JOURNAL).stat().st_mtime_ns, default=None)
