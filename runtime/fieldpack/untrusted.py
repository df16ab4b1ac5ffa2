"""Turns what libraries raise over a damaged or hostile file of a bundle into BundleCorrupt with a
sentence; reads and writes settings as JSON, held to the types of their dataclass. Knows nothing of
what the files are for."""

from __future__ import annotations

import dataclasses
import json
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

from .errors import BundleCorrupt

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_T = TypeVar("_T")
# What our own code meets where a file holds other values than the build writes.
_WRONG_VALUES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    sqlite3.Error,
)
# `limit.reached`: a statement of this thread was ended for taking too long (see index/schema.py).
limit = threading.local()


@contextmanager
def untrusted(path: Path) -> Iterator[None]:
    """Turn what reading `path` (a file or folder of a bundle) can raise into BundleCorrupt, which
    names it. Our own errors pass, and so does all that no file can cause."""
    try:
        yield
    except Exception as error:
        if (
            isinstance(error, sqlite3.OperationalError)
            and str(error) == "interrupted"
            and not getattr(limit, "reached", False)
        ):
            raise KeyboardInterrupt from None  # raised where SQLite calls us, which swallows it
        # onnxruntime's errors have no base class of their own, tokenizers raises a bare Exception.
        from_library = type(error) is Exception or type(error).__module__.startswith("onnxruntime.")
        if not isinstance(error, _WRONG_VALUES) and not from_library:
            raise
        raise BundleCorrupt(
            f"{path}: {_reason(error)}; copy the bundle again, and if it stays, do not use it"
        ) from error
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime":  # a panic of tokenizers, which is no Exception
            raise
        raise BundleCorrupt(
            f"{path}: {_reason(error)}; copy the bundle again, and if it stays, do not use it"
        ) from None


def _reason(error: BaseException) -> str:
    """Return "cannot be used", with the kind of the error and its first line."""
    first = (str(error).splitlines() or [""])[0][:300]
    return f"cannot be used ({type(error).__name__}{': ' if first else ''}{first})"


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
    """Write a dataclass as a JSON object, its keys in alphabetical order."""
    text = json.dumps(dataclasses.asdict(settings), indent=2, sort_keys=True) + "\n"
    path.write_text(text, encoding="utf-8")


def typed(kind: type[_T], data: object) -> _T:
    """Return the dataclass `kind` made of a JSON object whose values have the types of its fields:
    a whole number is a float too, a list is a tuple. Raises TypeError, which names the field, and
    whatever `kind` raises."""
    if not isinstance(data, Mapping):
        raise TypeError(f"want an object, not {data!r:.80}")
    hints = get_type_hints(kind)
    kinds = {field.name: hints[field.name] for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(data) - set(kinds)):
        raise TypeError(f"{unknown[0]}: unknown setting")
    return kind(**{name: _checked(name, kinds[name], value) for name, value in data.items()})


def _checked(name: str, kind: Any, value: object) -> object:
    """Return `value` as the type `kind`. Raises TypeError, which names the field."""
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
