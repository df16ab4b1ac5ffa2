"""Records of a file: JSON Lines, JSON (a list, or {"data": [...]}), CSV with a header, Parquet;
each with its line. A broken record is a problem with its line, and the next one is read. Knows
nothing of what the records mean."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from ..documents.text.csv_file import delimiter_of
from ..errors import DataError, MachineError

_TOO_MUCH = "not JSON that can be read: a number is too long or lists are too deep"
# Keys under which a JSON file's list of rows may stand.
_HOLDERS = ("data", "rows", "train", "examples")
_BLANK = " \t\r\n"
# Characters of one CSV cell; the module's own limit of 131,072 is less than a long conversation.
_MAX_CELL = 1 << 26


@dataclass(frozen=True, slots=True)
class Record:
    """A JSON object, and the line where it begins."""

    line: int
    value: dict[str, Any]


@dataclass(slots=True)
class Records:
    """The records that can be read. `problems`: (line, what). `columns`: they are of a table, where
    every record has the same keys."""

    good: list[Record] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)
    columns: bool = False

    def add(self, line: int, value: object) -> None:
        """Add a value; a problem where it is no object of text."""
        if not isinstance(value, dict):
            self.problems.append((line, "not a JSON object"))
        elif (half := half_pair(value)) is not None:
            self.problems.append((line, half))
        else:
            self.good.append(Record(line, value))


def half_pair(value: object) -> str | None:
    """Return what is wrong with the texts in a JSON value that hold one half of a UTF-16 surrogate
    pair, as a text does that was cut in the middle of an emoji and written with escapes; None where
    all of them are text. No tokenizer reads such a half."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            escape = f"\\u{ord(value[error.start]):04x}"
            return (
                f"holds {escape}, half of a surrogate pair (character {error.start + 1} of a "
                "text); write the whole one"
            )
        return None
    parts = (
        [*value.keys(), *value.values()]
        if isinstance(value, dict)
        else value
        if isinstance(value, list)
        else ()
    )
    return next((half for part in parts if (half := half_pair(part)) is not None), None)


def read_records(path: Path) -> Records:
    """Read a file by its name's ending; what is none of .json, .csv, .tsv, .parquet is read as JSON
    Lines. Raises DataError where the file as a whole cannot be read, MachineError where a library
    is missing."""
    kind = path.suffix.lower()
    if kind == ".parquet":
        return _read_parquet(path)
    data = _read_bytes(path)
    if kind == ".json":
        return _read_json(path, data)
    if kind in (".csv", ".tsv", ".tab"):
        return _read_csv(path, data)
    return _read_lines(data)


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: not UTF-8 but UTF-16; save it as UTF-8")
    return data.removeprefix(b"\xef\xbb\xbf")


def _decode(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: not UTF-8 (byte {error.start} of the file); save it as UTF-8"
        ) from None


# --- JSON Lines -----------------------------------------------------------------------------------


def _read_lines(data: bytes) -> Records:
    records = Records()
    # Not splitlines(): U+2028 and U+0085 may stand inside a JSON string, and end no line of JSON
    # Lines.
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            records.add(number, json.loads(line.decode("utf-8")))
        except UnicodeDecodeError as error:
            records.problems.append(
                (number, f"not UTF-8 (byte {error.start} of the line); save it as UTF-8")
            )
        except json.JSONDecodeError as error:
            records.problems.append((number, f"not JSON: {error.msg} (column {error.colno})"))
        except (ValueError, RecursionError):  # a number of 5,000 digits, a thousand brackets
            records.problems.append((number, _TOO_MUCH))
    return records


# --- JSON -----------------------------------------------------------------------------------------


def _read_json(path: Path, data: bytes) -> Records:
    """Element by element, so that each has its line, and what stands before a mistake is read."""
    text = _decode(path, data)
    scanner = _Scanner(text)
    records = Records()
    try:
        start = scanner.skip(0)
        if text[start : start + 1] == "{":
            value, end = scanner.value(start)
            if text[scanner.skip(end) :]:
                return _read_lines(data)  # JSON Lines under another name
            held = next((key for key in _HOLDERS if isinstance(value.get(key), list)), None)
            if held is None:
                records.add(scanner.line(start), value)
                return records
            start = scanner.member(start, held)
        elif text[start : start + 1] != "[":
            begins = repr(text[start : start + 12])
            raise DataError(
                f'{path}: neither a list of rows nor {{"data": [...]}}; it begins with {begins}'
            )
        for line, value in scanner.elements(start):
            records.add(line, value)
    except json.JSONDecodeError as error:
        first = text[scanner.skip(0) :].split("\n", 1)[0]
        if first.startswith("{") and first.rstrip().endswith("}"):
            return _read_lines(data)
        records.problems.append((error.lineno, f"not JSON: {error.msg} (column {error.colno})"))
    except (ValueError, RecursionError):
        records.problems.append((scanner.line(scanner.at), _TOO_MUCH))
    return records


class _Scanner:
    """Reads the values of a JSON text one after the other, with their lines. `at`: where the last
    one began."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._decoder = json.JSONDecoder()
        self._counted, self._lines = 0, 1
        self.at = 0

    def skip(self, at: int) -> int:
        """Return the place of the next sign that is not blank."""
        while at < len(self._text) and self._text[at] in _BLANK:
            at += 1
        return at

    def line(self, at: int) -> int:
        """Return the line of a place. Counts on from where it last counted to: quick as long as it
        is asked forwards."""
        if at < self._counted:
            self._counted, self._lines = 0, 1
        self._lines += self._text.count("\n", self._counted, at)
        self._counted = at
        return self._lines

    def value(self, at: int) -> tuple[Any, int]:
        """Return the value at a place, and where it ends. Raises json.JSONDecodeError."""
        self.at = at
        return self._decoder.raw_decode(self._text, at)

    def elements(self, at: int) -> Iterator[tuple[int, Any]]:
        """Yield (line, value) of the list that begins at `at`, which is a bracket."""
        at = self.skip(at + 1)
        while self._text[at : at + 1] != "]":
            value, end = self.value(at)
            yield self.line(at), value
            at = self._next(end, "]")

    def member(self, at: int, name: str) -> int:
        """Return where the value of `name` begins in the object at `at`."""
        at = self.skip(at + 1)
        while True:
            key, end = self.value(at)
            at = self.skip(self.skip(end) + 1)
            if key == name:
                return at
            _, end = self.value(at)
            at = self._next(end, "}")

    def _next(self, at: int, closing: str) -> int:
        at = self.skip(at)
        if self._text[at : at + 1] == closing:
            return at
        if self._text[at : at + 1] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", self._text, at)
        return self.skip(at + 1)


# --- tables ---------------------------------------------------------------------------------------


def _read_csv(path: Path, data: bytes) -> Records:
    text = _decode(path, data)
    # The header alone decides: names hold no commas, questions and answers do.
    delimiter = (
        "\t" if path.suffix.lower() != ".csv" else delimiter_of(text.lstrip().split("\n", 1)[0])
    )
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records = Records(columns=True)
    header: list[str] | None = None
    line = 1
    before = csv.field_size_limit(_MAX_CELL)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if header is None:
                    header = [cell.strip() for cell in cells]
                elif len(cells) != len(header):
                    records.problems.append(
                        (line, f"{len(cells)} cells, the header has {len(header)}")
                    )
                else:
                    records.good.append(
                        Record(line, {k: v for k, v in zip(header, cells, strict=True) if k})
                    )
            line = reader.line_num + 1
    except csv.Error as error:
        records.problems.append(
            (line, f"not CSV from here on: {error}; is a quotation mark left open?")
        )
    finally:
        csv.field_size_limit(before)  # the whole process has one, and documents are read with less
    return records


def _read_parquet(path: Path) -> Records:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError:
        raise MachineError(
            f'{path}: reading Parquet needs pyarrow: pip install "fieldpack[data]"'
        ) from None
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    records = Records(columns=True)
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    records.good.append(Record(len(records.good) + 1, row))
    except (ArrowException, OSError) as error:
        raise DataError(
            f"{path}: no Parquet file, or a damaged one: {str(error).splitlines()[0]}"
        ) from None
    return records
