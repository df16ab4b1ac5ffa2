"""Reads a recipe's YAML and says what is wrong with it: every error at once, each with its line and
YAML path. Knows nothing of what the sections mean; `recipe` does.

YAML is read as 1.2: `1e-4` is a number, `no` is a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ..errors import RecipeError, suggest
from .renamed import Renamed, new_path, rename_keys, section_at
from .schema import NOT_IN_FILE, Recipe

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def find_recipe(name: str) -> Path:
    """Return the file of a recipe that is named by its path, or by its name in recipes/ with or
    without the ending. Raises RecipeError where there is none."""
    tried = [Path(name), Path("recipes") / name, Path("recipes") / f"{name}.yaml"]
    for path in tried:
        if path.is_file():
            return path
    known = sorted(Path("recipes").glob("*.yaml"))
    listed = (
        f"; in recipes/: {', '.join(p.name for p in known)}"
        if known
        else "; `build init NAME` writes one"
    )
    hint = suggest(Path(name).stem, [p.stem for p in known]) or listed
    raise RecipeError(f"{name}: no such recipe{hint}")


def load_recipe(
    path: Path,
    overrides: Iterable[str] = (),
    *,
    lacking: Mapping[str, Mapping[str, Any]] | None = None,
) -> Recipe:
    """Read a recipe from its file, with `overrides` such as `train.epochs=2`.

    Raises RecipeError with one line for each problem: `file:line: yaml.path: what (next step)`; a
    value that came with an override has `--set` in the place of file and line. `lacking`: sections
    and keys for a file that has none of that name, where a half of the recipe is enough. Old names of keys
    are read; `Recipe.notes` says so."""
    data = _read_yaml(path)
    for name, section in (lacking or {}).items():
        stated = data.setdefault(name, {})
        for key, value in section.items() if isinstance(stated, dict) else ():
            stated.setdefault(key, value)
    renamed = rename_keys(data)
    overridden = [_override(data, override) for override in overrides]
    paths = [new_path(given) for given in overridden]
    in_overrides = rename_keys(data)  # in a section that an override brought whole
    lines = _Lines(path, paths, renamed)
    data["places"] = lines.places(data)
    data["folder"] = str(path.resolve().parent)
    data["notes"] = [
        *(lines.note(one) for one in renamed),
        *(
            f"--set: {Renamed(old[:-1], old[-1], new[-1])}"
            for old, new in zip(overridden, paths, strict=True)
            if old != new
        ),
        *(f"--set: {one}" for one in in_overrides),
    ]
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise RecipeError([lines.say(problem) for problem in error.errors()]) from None


class _NotYaml(Exception):
    """`line` counts from 1; 0 where the parser names none."""

    def __init__(self, what: str, line: int = 0) -> None:
        super().__init__(what)
        self.line = line


def _parse(text: str, typ: str = "safe") -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ=typ, pure=True).load(text)
    except MarkedYAMLError as error:
        raise _NotYaml(
            str(error.problem or error.context),
            error.problem_mark.line + 1 if error.problem_mark else 0,
        ) from None
    except (YAMLError, ValueError) as error:  # ValueError: no such day, a number of 5,000 digits
        raise _NotYaml((str(error).splitlines() or ["?"])[0]) from None
    except (
        LookupError,
        AttributeError,
        TypeError,
    ):  # ruamel's constructors, at `!!int` without a number
        raise _NotYaml("a tag that does not fit its value") from None
    except RecursionError:
        raise _NotYaml("nested too deeply") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}") from None
    try:
        data = _parse(text)
    except _NotYaml as error:
        raise RecipeError(
            f"{path}:{error.line}: not YAML: {error}"
            if error.line
            else f"{path}: not YAML: {error}"
        ) from None
    if data is None:
        raise RecipeError(f"{path}: empty; `build init NAME` writes a commented recipe")
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise RecipeError(f"{path}: a recipe is a mapping of sections (name, version, base, ...)")
    for key in NOT_IN_FILE:
        if key in data:
            raise RecipeError(f"{path}: {key}: unknown key")
    return data


def _override(data: dict[str, Any], text: str) -> tuple[str, ...]:
    """Set one value in `data`, `train.epochs=2`, which is read as YAML; gives the key's parts as
    they were given. An old name of a key sets what has the new one."""
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise RecipeError(f"--set {text}: write section.key=value")
    if key in NOT_IN_FILE:
        raise RecipeError(f"--set: {key}: unknown key")
    node = data
    given = tuple(key.split("."))
    *parents, last = new_path(given)
    for parent in parents:
        child = node.setdefault(parent, {})
        if not isinstance(child, dict):
            child = node[parent] = {}
        node = child
    try:
        node[last] = _parse(value)
    except _NotYaml as error:
        raise RecipeError(f"--set {text}: the value is not YAML: {error}") from None
    return given


class _Lines:
    """Says a pydantic error as one line of ours, with the line of the YAML it is about."""

    def __init__(
        self, path: Path, overridden: Sequence[tuple[str, ...]], renamed: Sequence[Renamed]
    ) -> None:
        self._path = path
        self._overridden = overridden
        self._old_names = {one.path: one.old for one in renamed}
        self._root = _parse(path.read_text(encoding="utf-8"), "rt")

    def note(self, renamed: Renamed) -> str:
        """Return the line for a key that the file has by its old name."""
        return f"{self._path}:{self._line(renamed.path)}: {renamed}"

    def say(self, problem: ErrorDetails) -> str:
        """Return the line for what pydantic says of one value."""
        location = tuple(part for part in problem["loc"] if part != "function-after")
        known = _MESSAGES.get(problem["type"])
        message = (
            known.format(**problem.get("ctx", {}))
            if known
            else problem["msg"].removeprefix("Value error, ")
        )
        if problem["type"] == "value_error" and (named := re.match(r"([a-z0-9_.]+): ", message)):
            location, message = (*location, *named[1].split(".")), message[named.end() :]
        name = ".".join(str(part) for part in location)
        if problem["type"] == "extra_forbidden":
            message += self._near(location)
        elif problem["type"] not in ("missing", "value_error"):
            message += f", not {problem['input']!r}"
        where = self._place(location)
        return f"{where}: {name}: {message}" if name else f"{where}: {message}"

    def places(self, data: Mapping[str, Any], above: tuple[str, ...] = ()) -> dict[str, str]:
        """Return where each key of `data` is written, by its path: {"train.rank": "x.yaml:12"}."""
        found: dict[str, str] = {}
        for key, value in data.items():
            location = (*above, str(key))  # YAML has keys that are numbers
            found[".".join(location)] = self._place(location)
            if isinstance(value, Mapping):
                found |= self.places(value, location)
        return found

    def _place(self, location: tuple[str | int, ...]) -> str:
        """`file:line` of a key, `--set` for what came with an override."""
        line = self._line(location)
        if any(location[: len(key)] == key for key in self._overridden):
            return "--set"
        if (
            not line
            and location
            and any(key[: len(location)] == location for key in self._overridden)
        ):
            return "--set"  # a section that only an override made
        return f"{self._path}:{line}" if line else str(self._path)

    def _line(self, location: Sequence[str | int]) -> int:
        node: Any = self._root
        line = 0
        for depth, part in enumerate(location, 1):
            name = self._old_names.get(tuple(map(str, location[:depth])), part)
            # Positions by key or index; a key that came through a merge (`<<: *base`) has none.
            position = (node.lc.data or {}).get(name) if hasattr(node, "lc") else None
            if position is None:
                break
            line, node = position[0] + 1, node[name]
        return line

    def _near(self, location: Sequence[str | int]) -> str:
        """What an unknown key was meant to be, if that can be told."""
        section, key = section_at(tuple(location[:-1])), str(location[-1])
        if section is None:
            return ""
        if key in section.renamed:
            return f"; it is the old name of {section.renamed[key]}, which is there too"
        return suggest(key, [name for name in section.model_fields if name not in NOT_IN_FILE])


_MESSAGES = {
    "extra_forbidden": "unknown key",
    "missing": "missing",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "model_type": "must be a mapping of keys",
    "model_attributes_type": "must be a mapping of keys",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must not be empty",
    "finite_number": "must be a finite number",
}
