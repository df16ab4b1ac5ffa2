"""Bounds the JSON schema that an answer shall follow, before a grammar is compiled from it.

The compiler (llguidance, inside onnxruntime-genai) writes repetitions out: `minItems: 1e9` took 18
GB. It holds the interpreter's lock meanwhile and cannot be stopped, so what it is given must be
small. Within these bounds a compilation takes 0.1 s and some megabytes at most (measured in
tests/runtime/test_json_schemas.py). Knows nothing of models or HTTP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..errors import QuestionError

_MAX_CHARACTERS = 32_000
_MAX_DEPTH = 32
_MAX_WEIGHT = 20_000  # keywords, values and repetitions, written out
_MAX_LENGTH = 100_000  # characters of a string
_LENGTHS = ("minLength", "maxLength")
# The keywords that repeat another keyword's value.
_ITEMS, _PROPERTIES = ("minItems", "maxItems"), ("minProperties", "maxProperties")
_BOUNDS = (*_ITEMS, *_PROPERTIES)
_COUNTS = {
    "items": _ITEMS,
    "prefixItems": _ITEMS,
    "additionalItems": _ITEMS,
    "unevaluatedItems": _ITEMS,
    "additionalProperties": _PROPERTIES,
    "patternProperties": _PROPERTIES,
}
_ATOM = re.compile(r"\\[pP]\{[^}]*\}|\\x\{[^}]*\}|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[\s\S]", re.DOTALL)
_QUANTIFIER = re.compile(r"\{(\d*)(?:,(\d*))?\}|[*+?]")


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raise QuestionError, with the bound that it breaks, for a schema that would be too large once
    written out."""
    try:
        size = len(json.dumps(schema, allow_nan=False))
    except (RecursionError, ValueError, TypeError) as error:
        raise QuestionError(f"the JSON schema cannot be followed: {error}") from None
    if size > _MAX_CHARACTERS:
        raise _too_much("characters", size, _MAX_CHARACTERS)
    if _depth(schema) > _MAX_DEPTH:
        raise QuestionError(
            f"the JSON schema is nested too deeply; at most {_MAX_DEPTH} levels are taken"
        )
    weight = _Weights(schema).weigh(schema)
    if weight > _MAX_WEIGHT:
        raise _too_much("items, keywords and repetitions once written out", weight, _MAX_WEIGHT)


def pattern_size(pattern: str) -> int:
    """Return how many characters and classes `pattern` (a regular expression) has with its counted
    repetitions written out: "(ab{3}){10}" has 40. Unbounded repetitions count once. What is no
    regular expression is left to the compiler."""
    sizes, last = [0], [0]  # of each open group: what it holds, and its latest part
    at = 0
    while at < len(pattern):
        if match := _QUANTIFIER.match(pattern, at):
            times = max([int(number) for number in match.groups() if number] or [1])
            sizes[-1] += last[-1] * (times - 1) if times else 0
            last[-1] *= max(times, 1)
        elif pattern[at] == "(":
            sizes.append(0)
            last.append(0)
        elif pattern[at] == ")" and len(sizes) > 1:
            last.pop()
            last[-1] = sizes.pop()
            sizes[-1] += last[-1]
        else:
            match = _ATOM.match(pattern, at)
            sizes[-1] += 1
            last[-1] = 1
        at = match.end() if match else at + 1
    return sum(sizes)


class _Weights:
    """Weighs the parts of a schema: how many keywords, values and repetitions they are once written
    out. `$ref`s into the schema are followed; a recursive one counts 1."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._referred: dict[str, int] = {}

    def weigh(self, node: object) -> int:
        """Return the weight of a part of the schema. Raises QuestionError."""
        if isinstance(node, dict):
            return 1 + sum(self._keyword(node, name, value) for name, value in node.items())
        if isinstance(node, list):
            return 1 + sum(self.weigh(value) for value in node)
        return 1

    def _keyword(self, node: Mapping[str, Any], name: str, value: object) -> int:
        if name == "pattern" and isinstance(value, str):
            return pattern_size(value)
        if name == "$ref" and isinstance(value, str):
            if value not in self._referred:
                self._referred[value] = 1  # while it is weighed: what refers to itself
                target: Any = self._root if value.startswith("#") else None
                for part in value.removeprefix("#").split("/")[1:]:
                    part = part.replace("~1", "/").replace("~0", "~")
                    target = target.get(part) if isinstance(target, dict) else None
                self._referred[value] = self.weigh(target)
            return self._referred[value]
        if name in _LENGTHS and isinstance(value, int | float) and value > _MAX_LENGTH:
            raise _too_much(f"characters in a string ({name})", value, _MAX_LENGTH)
        if name in ("$defs", "definitions"):
            return 0  # counts where it is referred to
        weight = self.weigh(value)
        if name == "patternProperties" and isinstance(value, dict):
            weight += sum(pattern_size(pattern) for pattern in value)
        times = [
            node[count]
            for count in _COUNTS.get(name, ())
            if isinstance(node.get(count), int | float)
        ]
        if name in _BOUNDS and isinstance(value, int | float):
            weight += max(int(min(value, 2 * _MAX_WEIGHT)), 0)
        return weight * max([1, *(int(min(count, 2 * _MAX_WEIGHT)) for count in times)])


def _depth(node: object) -> int:
    """Return how deeply a schema is nested, or a little more than _MAX_DEPTH."""
    deepest, level = 0, [node]
    while level and deepest <= _MAX_DEPTH:
        deepest += 1
        level = [
            value
            for one in level
            if isinstance(one, dict | list)
            for value in (one.values() if isinstance(one, dict) else one)
        ]
    return deepest


def _too_much(what: str, number: float, limit: int) -> QuestionError:
    shown = f"{number:,.0f}" if number < 1e15 else "far more"
    return QuestionError(
        f"the JSON schema is too large: {shown} {what}, at most {limit:,} are taken; ask for less"
    )
