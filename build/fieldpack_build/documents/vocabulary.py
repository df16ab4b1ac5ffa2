"""What readers know of a language and of a kind of document, as data: `vocabularies.toml`.

Knows nothing of formats. The words are all in the file; here is only how they become patterns.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypedDict

from fieldpack.language import PLAIN

_FILE = Path(__file__).with_name("vocabularies.toml")
NONE = "none"
AUTO = "auto"
DEFAULT = "en-us-filings"
_LINE_BREAKS = (",", "—", "–", "-")  # a label that ends with one goes on, in every language


class _Section(TypedDict, total=False):
    extends: str
    table_units: list[str]
    head_units: list[str]
    periods: list[str]
    period_counts: list[str]
    openings: list[str]
    articles: list[str]
    unfinished: list[str]
    statements: list[str]
    generic_lines: list[str]
    empty_titles: list[str]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Patterns made of a section's words; one without words matches nothing.

    `table_unit` is searched in a cell, `statement` in a line; `head`, `generic_line` and
    `empty_title` must match the whole of it. `unfinished` are endings of a label that goes on.
    """

    table_unit: re.Pattern[str]
    head: re.Pattern[str]
    statement: re.Pattern[str]
    generic_line: re.Pattern[str]
    empty_title: re.Pattern[str]
    unfinished: tuple[str, ...]


def vocabulary_names() -> tuple[str, ...]:
    """Return the names that `read_vocabulary` takes: the file's sections, and "none"."""
    return (*_sections(), NONE)


def vocabulary_for(name: str, language: str) -> str:
    """Return the name of the vocabulary for a document in `language` (as `fieldpack.language` has
    it), where `name` is "auto"; any other name itself."""
    if name != AUTO:
        return name
    if language == PLAIN:
        return DEFAULT
    return language if language in _sections() else NONE


@cache
def read_vocabulary(name: str = DEFAULT) -> Vocabulary:
    """Return the vocabulary of a section of the file, or the empty one for "none"; the default's for
    "auto", as long as a document's language is not known.

    Raises KeyError for a name that is none of `vocabulary_names`.
    """
    words: dict[str, list[str]] = {}
    section: str | None = {NONE: None, AUTO: DEFAULT}.get(name, name)
    while section is not None:
        entries = dict(_sections()[section])
        section = str(entries.pop("extends")) if "extends" in entries else None
        for key, values in entries.items():
            assert isinstance(values, list)
            words[key] = [*words.get(key, ()), *values]

    def any_of(*keys: str) -> str:
        """A pattern of the plain words under `keys`; one that never matches if there are none."""
        plain = [re.escape(word) for key in keys for word in words.get(key, ())]
        return f"(?:{'|'.join(plain)})" if plain else "(?!)"

    unit = rf"\(?.{{0,40}}\b{any_of('table_units', 'head_units')}\b.*"
    period = (
        rf"(?:{any_of('openings')}\s)?(?:{any_of('articles')}\s)?(?:{any_of('period_counts')} )?"
        rf"{any_of('periods')}\b.{{0,80}}"
    )
    return Vocabulary(
        table_unit=_pattern([rf"\b{any_of('table_units')}\b"]),
        head=_pattern([unit, period]),
        statement=_pattern([rf"\b(?:{one})\b" for one in words.get("statements", ())]),
        generic_line=_pattern(words.get("generic_lines", ())),
        empty_title=_pattern(words.get("empty_titles", ())),
        unfinished=(*_LINE_BREAKS, *(f" {word}" for word in words.get("unfinished", ()))),
    )


def _pattern(alternatives: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(alternatives) or "(?!)", re.IGNORECASE)


@cache
def _sections() -> dict[str, _Section]:
    sections: dict[str, _Section] = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return sections
