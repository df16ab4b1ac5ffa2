"""What the recipe's sections are made of: their settings, and values that may be of two kinds, such as a number or the word
`auto`. Knows no section."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, PlainValidator

# Of every section: unknown keys are refused, values are held to their types.
STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _one_of(what: str, fits: Callable[[Any], bool]) -> PlainValidator:
    """For a value that may be of two kinds: one sentence, where pydantic says one for each kind."""

    def check(value: object) -> object:
        if not fits(value):
            raise ValueError(f"must be {what}, not {value!r}")
        return value

    return PlainValidator(check)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1


CountOrAuto = Annotated[
    int | Literal["auto"], _one_of("a whole number from 1, or auto", lambda v: v == "auto" or _is_count(v))
]
LimitOrAuto = Annotated[
    float | Literal["auto"],
    _one_of("a number from 0, or auto", lambda v: v == "auto" or (type(v) in (int, float) and 0 <= v < float("inf"))),
]
ShareOrAuto = Annotated[
    float | Literal["auto"],
    _one_of("a share from 0 to 1, or auto", lambda v: v == "auto" or (type(v) in (int, float) and 0 <= v <= 1)),
]
SwitchOrAuto = Annotated[bool | Literal["auto"], _one_of("true, false or auto", lambda v: v == "auto" or type(v) is bool)]
Targets = Annotated[
    list[str] | Literal["all-linear"],
    _one_of("all-linear or a list of layer names", lambda v: v == "all-linear"
            or (type(v) is list and len(v) > 0 and all(isinstance(name, str) and name for name in v))),
]  # fmt: skip
Part = Annotated[
    float,
    _one_of("a share under 1 or a whole number of rows",
            lambda v: (type(v) is float and 0 <= v < 1) or (type(v) is int and v >= 0)),
]  # fmt: skip
