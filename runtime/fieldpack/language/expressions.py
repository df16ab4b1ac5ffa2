"""Reads the words of each language, which are TOML files beside this module."""

from __future__ import annotations

import pkgutil
import tomllib
from functools import cache
from typing import Any

from .folding import fold


def read_words(file: str) -> dict[str, Any]:
    """Return what a TOML file of this package holds. Not read by its path: a wheel that is imported
    as it is, a zip, has none."""
    data = pkgutil.get_data(__package__, file)
    assert data is not None
    return tomllib.loads(data.decode("utf-8"))


@cache
def read_expressions(file: str) -> dict[str, dict[str, str]]:
    """Return the regular expressions of such a file by language and kind, folded and in one line."""
    sections: dict[str, dict[str, str]] = read_words(file)
    return {
        language: {kind: fold(text.replace("\n", "")) for kind, text in kinds.items()}
        for language, kinds in sections.items()
    }
