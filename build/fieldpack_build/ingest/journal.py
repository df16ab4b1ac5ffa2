"""What a knowledge stage at work has done so far, in its partial folder: where it began, and a row
for each document.

An interrupted stage finds both again; a finished one leaves library.json, from which the next
begins.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..pipeline.store import BEGUN, JOURNAL, LOG, RECEIPT
from .read import ReadDocument, ReadFailure
from .summary import DocumentRow, Library

LIBRARY = "library.json"
_NOT_COPIED = (RECEIPT, LOG, LIBRARY, BEGUN)
# linux/fs.h: a copy that shares its blocks until one of them changes (XFS, btrfs)
_FICLONE = 0x40049409


class Journal:
    """The rows of a stage at work, by document.

    `resumed`: an interrupted stage goes on. `copied`: it began with a copy of an earlier library.
    """

    def __init__(self, out: Path, *, resumed: bool, copied: bool) -> None:
        self.resumed, self.copied = resumed, copied
        self._out = out
        self.rows = _read_rows(out / JOURNAL)
        self._file = (out / JOURNAL).open("a", encoding="utf-8")

    @classmethod
    def begin(cls, out: Path, earlier: Path | None, lineage: str = "") -> Journal:
        """Go on with what is in `out`, or begin with a copy of `earlier`, or with nothing.

        A copy has the index and rows of a finished stage, or of one that was interrupted, as files
        of its own: they are edited in place. `lineage`: see Task.
        """
        begun = out / BEGUN
        resumed = begun.exists()
        if not resumed:
            for path in out.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != LOG:
                    path.unlink()
            for path in sorted(earlier.iterdir()) if earlier is not None else ():
                if path.is_file() and path.name not in _NOT_COPIED:
                    copy_file(path, out / path.name)
            if earlier is not None and (earlier / LIBRARY).exists():
                rows = [row for row in read_library_file(earlier)["documents"] if "sha256" in row]
                lines = "".join(f"{_line(row)}\n" for row in rows)
                (out / JOURNAL).write_text(lines, encoding="utf-8")
            # Last: without it, whatever is there is half a copy.
            state = {"copied": earlier is not None, "lineage": lineage}
            _write_text(begun, json.dumps(state) + "\n")
        data = json.loads(begun.read_text(encoding="utf-8"))
        return cls(out, resumed=resumed, copied=data["copied"])

    def note(self, outcome: ReadDocument | ReadFailure, sha256: str) -> None:
        """Write a document's row at once, before the document is in the index.

        A row without its document is not believed.
        """
        row = _row_of(outcome, sha256)
        self.rows[row["document"]] = row
        self._file.write(_line(row) + "\n")
        self._file.flush()

    def finish(self, library: Library) -> None:
        """Leave library.json, and nothing else of what was here for a resumption."""
        self._file.close()
        # A document a line: 50,000 indented ones take ten times as long.
        head = _line({name: value for name, value in library.items() if name != "documents"})
        rows = ",\n".join(map(_line, library["documents"]))
        text = f'{head[:-1]}, "documents": [\n{rows}\n]}}\n'
        _write_text(self._out / LIBRARY, text)
        for name in (JOURNAL, BEGUN):
            (self._out / name).unlink()

    def close(self) -> None:
        """Close the file of rows; an interrupted stage finds it again."""
        self._file.close()


def read_library_file(folder: Path) -> dict[str, Any]:
    """Return library.json of a finished knowledge stage: a `summary.Library`."""
    data: dict[str, Any] = json.loads((folder / LIBRARY).read_text(encoding="utf-8"))
    return data


def _row_of(outcome: ReadDocument | ReadFailure, sha256: str) -> DocumentRow:
    if isinstance(outcome, ReadFailure):
        return {
            "document": outcome.path,
            "skipped": outcome.reason,
            "sha256": sha256,
            "lasting": outcome.lasting,
        }
    record = outcome.record
    row: DocumentRow = {
        "document": record.path,
        "title": record.title,
        "date": record.date,
        "tags": list(record.tags),
        "own_tags": list(outcome.own_tags),
        "pages": record.pages,
        "chunks": len(outcome.chunks),
        "characters": outcome.characters,
        "sha256": record.sha256,
    }
    if record.language:
        row["language"] = record.language
    if outcome.warnings:
        row["warnings"] = list(outcome.warnings)
    return row


def _read_rows(path: Path) -> dict[str, DocumentRow]:
    """The last row of each document; half a line at the end is what a killed build was writing."""
    rows: dict[str, DocumentRow] = {}
    if not path.exists():
        return rows
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        path.write_bytes(whole)
    for line in whole.decode("utf-8").split("\n")[:-1]:
        row = json.loads(line)
        rows[row["document"]] = row
    return rows


def copy_file(source: Path, target: Path) -> None:
    """Copy a file: share its blocks where the file system can, copy them elsewhere."""
    with source.open("rb") as old, target.open("wb") as new:
        try:
            fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
        except OSError:
            shutil.copyfileobj(old, new, 1 << 24)


def _line(row: Mapping[str, object]) -> str:
    return json.dumps(row, ensure_ascii=False)


def _write_text(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
