"""Turns what libraries raise over a damaged or hostile file of a bundle into BundleCorrupt with a
sentence; reads and writes settings as JSON, held to the types of their dataclass. Knows nothing of
what the files are for."""

from __future__ import annotations

import dataclasses
import errno
import json
import re
import sqlite3
import threading
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from .errors import BundleCorrupt, FieldpackError, OutOfMemory

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_T = TypeVar("_T")
# What our own code meets where it opens or parses a file that holds other values than the build
# writes.
_WRONG_VALUES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    sqlite3.Error,
)
# How libraries say that memory, or address space for a mapping or a thread, was refused.
_NO_MEMORY = re.compile(
    r"bad_?\W?alloc|out of memory|(cannot|failed to|unable to) allocate|failed to map segment|"
    r"can't start new thread",
    re.IGNORECASE,
)
_STORED_AS = "stored_as"  # in a dataclass field's metadata, see `stored_as`
# `limit.reached`: a statement of this thread was ended for taking too long (see index/schema.py).
limit = threading.local()


class WrongValue(ValueError):
    """A file of a bundle holds a value that the build does not write. Raised while the bundle is
    read, where the file's name is not known; `reading` makes BundleCorrupt of it."""


@contextmanager
def untrusted(path: Path) -> Iterator[None]:
    """Turn what opening or parsing `path` (a file or folder of a bundle) can raise into
    BundleCorrupt, which names it, or OutOfMemory. Our own errors pass.

    Keep to it the lines that take the file apart: a bug in any other line would be reported as
    damage of the bundle, too."""
    with _translated(path, _WRONG_VALUES):
        yield


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what libraries raise over the files of the bundle `path` while a whole call reads them
    (SQLite, onnxruntime, tokenizers, the disk) into BundleCorrupt or OutOfMemory, and WrongValue
    into BundleCorrupt. What else Python raises is a bug of ours or of the caller, and passes."""
    with _translated(path, (OSError, sqlite3.DatabaseError, WrongValue)):
        yield


@contextmanager
def _translated(path: Path, wrong: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turn errors of the kinds `wrong`, and those of libraries that have none of Python's kinds,
    into BundleCorrupt; a shortage of memory, as which any kind may come, into OutOfMemory."""
    try:
        yield
    except FieldpackError:
        raise
    except BaseException as error:
        if (
            isinstance(error, sqlite3.OperationalError)
            and str(error) == "interrupted"
            and not getattr(limit, "reached", False)
        ):
            raise KeyboardInterrupt from None  # raised where SQLite calls us, which swallows it
        if is_out_of_memory(error):
            raise out_of_memory(error, str(path)) from error
        # A wrong number or kind of parameters: only our own code gives any.
        ours = isinstance(error, sqlite3.ProgrammingError)
        if ours or not (isinstance(error, wrong) or _from_library(error)):
            raise
        raise BundleCorrupt(
            f"{path}: cannot be used ({_kind_and_words(error)}); copy the bundle again, and if it "
            "stays, do not use it"
        ) from error


def _from_library(error: BaseException) -> bool:
    """Whether an error is of a kind that only a library raises: onnxruntime's have no base class of
    their own, tokenizers raises a bare Exception, and its panics are no Exception."""
    module = type(error).__module__
    return type(error) is Exception or module.startswith("onnxruntime.") or module == "pyo3_runtime"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that this machine has too little memory, in the words of any
    library."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    # An OSError without a number is ctypes', for a library that could not be loaded.
    kinds = (RuntimeError, ImportError, OSError, sqlite3.Error)
    may_say_so = isinstance(error, kinds) or _from_library(error)
    return may_say_so and _NO_MEMORY.search(str(error)) is not None


def out_of_memory(error: BaseException, what: str) -> OutOfMemory:
    """Return the error for a shortage of memory while `what` was opened or used."""
    return OutOfMemory(
        f"{what}: this machine has too little memory for it ({_kind_and_words(error)}); close other "
        "programs or allow this one more; a bundle with a smaller model, or built for the memory "
        "there is (device.ram_mb), takes less"
    )


def _kind_and_words(error: BaseException) -> str:
    """Return the kind of an error and its first line, or the one that speaks of memory: numpy's
    errors begin with a page of advice."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    first = next(filter(_NO_MEMORY.search, lines), lines[0] if lines else "").strip()[:300]
    if isinstance(error, WrongValue):
        return first
    return f"{type(error).__name__}{': ' if first else ''}{first}"


def read_json(path: Path) -> Any:
    """Return what a JSON file holds. Raises BundleCorrupt (no JSON, no UTF-8, nested too deeply),
    FileNotFoundError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise BundleCorrupt(f"{path}: {error}; copy the bundle again") from None


def read_settings(path: Path, kind: type[_T]) -> _T:
    """Return the dataclass `kind` that the JSON object in a file of a bundle stands for. Raises
    BundleCorrupt where the file is missing or damaged, or a value cannot be."""
    try:
        return typed(kind, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise BundleCorrupt(f"{path}: {error}; copy the bundle again") from None


def write_settings(path: Path, settings: DataclassInstance) -> None:
    """Write a dataclass as a JSON object, its keys (`stored_as`) in alphabetical order."""
    keys = {field.name: _key(field) for field in dataclasses.fields(settings)}
    data = {keys[name]: value for name, value in dataclasses.asdict(settings).items()}
    text = json.dumps(data, indent=2, sort_keys=True) + "\n"
    path.write_text(text, encoding="utf-8")


def stored_as(key: str) -> dict[str, str]:
    """Return the `metadata` of a dataclass field that a file calls otherwise than the code does: files
    of older bundles must be read, whatever the field is called since."""
    return {_STORED_AS: key}


def _key(field: dataclasses.Field[Any]) -> str:
    """Return what a file calls a field."""
    return str(field.metadata.get(_STORED_AS, field.name))


def typed(kind: type[_T], data: object) -> _T:
    """Return the dataclass `kind` made of a JSON object whose values have the types of its fields:
    a whole number is a float too, a list is a tuple. A field's key is its name, or what `stored_as`
    says. Raises TypeError, which names the key, and whatever `kind` raises."""
    if not isinstance(data, Mapping):
        raise TypeError(f"want an object, not {data!r:.80}")
    hints = get_type_hints(kind)
    names = {_key(field): field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(data) - set(names)):
        raise TypeError(f"{unknown[0]}: unknown setting")
    return kind(
        **{names[key]: _checked(key, hints[names[key]], value) for key, value in data.items()}
    )


def _checked(name: str, kind: Any, value: object) -> object:
    """Return `value` as the type `kind`. Raises TypeError, which names the key."""
    origin = get_origin(kind)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_checked(name, get_args(kind)[0], one) for one in value)
    if origin is Literal and any(
        value == one and type(value) is type(one) for one in get_args(kind)
    ):
        return value
    if origin in (Union, types.UnionType):
        for one in get_args(kind):
            if (value is None) == (one is types.NoneType):
                return _checked(name, one, value) if value is not None else None
    if (
        kind is float
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < 1e300
    ):
        return float(value)  # neither NaN nor Infinity, which JSON's reader takes
    if kind is int and type(value) is int and abs(value) < 1 << 62:
        return value
    if kind in (str, bool) and type(value) is kind:
        return value
    raise TypeError(f"{name}: want {getattr(kind, '__name__', kind)}, not {value!r:.80}")
