"""What the recipe's sections are made of: their common base, and values with bounds or of two kinds,
such as a number or the word `auto`. Knows none of the sections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class Section(BaseModel):
    """A part of a recipe: frozen, its unknown keys refused. `renamed`: old names of keys and the
    new ones; a recipe may still have the old (`recipe.renamed`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    renamed: ClassVar[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class OneOf:
    """Checks a value that may be of several kinds and says so in one sentence, where pydantic has
    one for each kind. `what` finishes "must be ...", and stands in the recipe's reference."""

    what: str
    fits: Callable[[Any], bool]

    def check(self, value: object) -> object:
        """Return `value` as it is; raises ValueError where it does not fit."""
        if not self.fits(value):
            raise ValueError(f"must be {self.what}, not {value!r}")
        return value

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)


def _is_number(value: object, low: float, high: float) -> bool:
    return type(value) in (int, float) and low <= value <= high  # type: ignore[operator]


def _are_paths(value: object) -> bool:
    paths = value if isinstance(value, list) else [value]
    return bool(paths) and all(isinstance(path, str) and path for path in paths)


Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
CountOrAuto = Annotated[
    int | Literal["auto"],
    OneOf("a whole number from 1, or auto", lambda v: v == "auto" or (type(v) is int and v >= 1)),
]
LimitOrAuto = Annotated[
    float | Literal["auto"],
    OneOf(
        "a number from 0, or auto",
        lambda v: v == "auto" or (_is_number(v, 0, float("inf")) and v < float("inf")),
    ),
]
ShareOrAuto = Annotated[
    float | Literal["auto"],
    OneOf("a share from 0 to 1, or auto", lambda v: v == "auto" or _is_number(v, 0, 1)),
]
CosineOrAuto = Annotated[
    float | Literal["auto"],
    OneOf("auto, or a number from -1 to 1", lambda v: v == "auto" or _is_number(v, -1, 1)),
]
ShareOrTrain = Annotated[
    float | Literal["train"],
    OneOf(
        "train, or a share above 0 and at most 0.8",
        lambda v: v == "train" or (_is_number(v, 0, 0.8) and v > 0),
    ),
]
SwitchOrAuto = Annotated[
    bool | Literal["auto"], OneOf("true, false or auto", lambda v: v == "auto" or type(v) is bool)
]
Paths = Annotated[str | list[str], OneOf("a folder, a file or a list of them", _are_paths)]
Targets = Annotated[
    list[str] | Literal["all-linear"],
    OneOf(
        "all-linear or a list of layer names",
        lambda v: v == "all-linear" or (type(v) is list and _are_paths(v)),
    ),
]
Part = Annotated[
    float,
    OneOf(
        "a share under 1 or a whole number of rows",
        lambda v: (type(v) is float and 0 <= v < 1) or (type(v) is int and v >= 0),
    ),
]
