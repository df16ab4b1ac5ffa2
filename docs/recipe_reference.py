"""Write docs/recipe.md: every key of a recipe with its type, default, bounds and a sentence, from
`fieldpack_build.recipe.schema` alone.

    python docs/recipe_reference.py            write it
    python docs/recipe_reference.py --check    end with 1 where it is not what would be written

The sentences are the strings below the fields in the schema's source.
"""

from __future__ import annotations

import ast
import inspect
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from fieldpack_build.recipe import gates, schema
from fieldpack_build.recipe.renamed import section_at
from fieldpack_build.recipe.schema import NOT_IN_FILE, Recipe, Section
from fieldpack_build.recipe.schema.base import OneOf

PAGE = Path(__file__).with_name("recipe.md")
_INTRODUCTION = """\
# The recipe

Every key of a recipe. This page is written by `python docs/recipe_reference.py` from the recipe's own types; change it
there (build/fieldpack_build/recipe/schema).

- A recipe is YAML 1.2. Paths are relative to its file.
- Unknown keys are refused, and everything wrong is said at once, with its line.
- Every value can be overridden on the command line: `--set train.epochs=2`.
- `build init NAME` writes a commented recipe to begin with; `build check RECIPE` says what is wrong with one.
- A key that had another name is still read by it; the build says so.
"""
_PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def sentences(section: type[Section]) -> dict[str, str]:
    """Return what stands below each field of a section, its parents' fields included."""
    found: dict[str, str] = {}
    for kind in reversed(section.__mro__):
        if not (issubclass(kind, Section) and kind is not Section):
            continue
        tree = ast.parse(inspect.getsource(kind)).body[0]
        assert isinstance(tree, ast.ClassDef)
        for field, below in zip(tree.body, tree.body[1:], strict=False):
            if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
                continue
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                found[field.target.id] = " ".join(inspect.cleandoc(str(below.value.value)).split())
    return found


def type_of(annotation: Any, metadata: tuple[Any, ...] = ()) -> str:
    """Return a type in words, None left out: whoever leaves a key away has it."""
    if said := [item.what for item in metadata if isinstance(item, OneOf)]:
        return str(said[0])
    kind, parts = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        return type_of(parts[0], parts[1:])
    if kind is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if kind in (Union, types.UnionType):
        options = [part for part in parts if part is not type(None)]
        return ", ".join(type_of(part) for part in options)
    if kind is list:
        return f"list of {type_of(parts[0])}"
    if kind is dict:
        return f"mapping of {type_of(parts[0])} to {type_of(parts[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "section"
    return _PLAIN[annotation]


def bounds_of(field: FieldInfo) -> str:
    """Return the limits of a number, or the pattern of a text; nothing where there are none."""
    signs = {Ge: ("ge", "≥"), Gt: ("gt", ">"), Le: ("le", "≤"), Lt: ("lt", "<")}
    limits = []
    for item in _constraints(field.annotation, field.metadata):
        for kind, (name, sign) in signs.items():
            if isinstance(item, kind):
                limits.append(f"{sign} {getattr(item, name):,}")
        if pattern := getattr(item, "pattern", None):
            limits.append(f"`{pattern}`".replace("|", "\\|"))
    return ", ".join(limits)


def _constraints(annotation: Any, metadata: list[Any]) -> Iterator[Any]:
    """Those of a field, and those within `Annotated[...] | None`."""
    yield from metadata
    for part in get_args(annotation) if get_origin(annotation) is not Literal else ():
        for item in getattr(part, "__metadata__", ()):
            yield from item.metadata if isinstance(item, FieldInfo) else (item,)


def default_of(field: FieldInfo) -> str:
    """Return a key's default as a recipe would write it, or that it is required."""
    value = field.default
    if field.is_required() or value is PydanticUndefined:
        return "required"
    if value is None:
        return ""
    if isinstance(value, Section):
        return "" if value == type(value).model_construct() else "`none`"
    return f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_yaml(item)}' for key, item in value.items())}}}"
    return '""' if value == "" else str(value)


def rows_of(section: type[Section]) -> list[tuple[str, str, str, str, str]]:
    """Return (key, type, default, bounds, what it is) of each key of a section."""
    said = sentences(section)
    old = {new: name for name, new in section.renamed.items()}
    rows = []
    for name, field in section.model_fields.items():
        if section is Recipe and name in NOT_IN_FILE:
            continue
        more = f" (once `{old[name]}`)" if name in old else ""
        words = said.get(name, "").replace("|", "\\|")
        rows.append(
            (
                f"`{name}`{more}",
                type_of(field.annotation, tuple(field.metadata)),
                default_of(field),
                bounds_of(field),
                words,
            )
        )
    return rows


def sections(path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type[Section]]]:
    """Yield each section of a recipe with its path, from the top down."""
    section = section_at(path)
    assert section is not None
    yield path, section
    for name in section.model_fields:
        if section_at((*path, name)) is not None:
            yield from sections((*path, name))


def page() -> str:
    """Return docs/recipe.md."""
    parts = [_INTRODUCTION]
    for path, section in sections():
        doc = " ".join((inspect.getdoc(section) or "").replace("\n\n", "\0").split()).replace(
            "\0", "\n\n"
        )
        lines = [f"## {'.'.join(path) or 'At the top'}", "", doc, ""]
        lines += ["| key | type | default | bounds | |", "|---|---|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for row in rows_of(section)]
        parts.append("\n".join(lines) + "\n")
    shapes = inspect.cleandoc(str(gates.__doc__)).split("\n\n")[1]
    figures = ", ".join(f"`{metric}`" for metric in gates.METRICS)
    parts.append(f"## Gates\n\nWhat `evaluate.gates` may say:\n\n{shapes}\n\nFigures: {figures}.\n")
    return "\n".join(parts)


def main() -> None:
    """Write the page, or compare it with what is there."""
    written = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(written, encoding="utf-8")
        return
    if PAGE.read_text(encoding="utf-8") != written:
        sys.exit(f"{PAGE} is not what {schema.__file__} says: run python {sys.argv[0]}")


if __name__ == "__main__":
    main()
