"""Keys of a recipe that once had another name: the old spelling is read and said to be old. Knows
nothing of YAML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .schema import Recipe, Section


@dataclass(frozen=True, slots=True)
class Renamed:
    """A key that was given by its old name; `section` is the path of what it stands in."""

    section: tuple[str, ...]
    old: str
    new: str

    @property
    def path(self) -> tuple[str, ...]:
        """The key's path by its new name."""
        return (*self.section, self.new)

    def __str__(self) -> str:
        name = ".".join((*self.section, self.old))
        return f"{name}: is called {self.new} now; the old name still works"


def section_at(path: tuple[str | int, ...]) -> type[Section] | None:
    """Return the section of a recipe at `path`; None where that is none."""
    section: type[Section] = Recipe
    for part in path:
        if isinstance(part, int):  # a place in a list, whose sections are all of one kind
            continue
        field = section.model_fields.get(str(part))
        annotation: Any = field.annotation if field else None
        kinds = (annotation, *getattr(annotation, "__args__", ()))
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)]
        if not inner:
            return None
        section = inner[0]
    return section


def rename_keys(data: dict[str, Any], section: tuple[str, ...] = ()) -> list[Renamed]:
    """Put today's names in the place of old ones in a recipe's mapping, and return which these were.

    An old name whose new one is there too stays: a section refuses it as a key that it does not
    know."""
    kind = section_at(section)
    if kind is None:
        return []
    renamed = []
    for old, new in kind.renamed.items():
        if old in data and new not in data:
            data[new] = data.pop(old)
            renamed.append(Renamed(section, old, new))
    for name, value in list(data.items()):  # an anchor can make a section its own key
        if isinstance(value, dict):
            renamed += rename_keys(value, (*section, name))
    return renamed


def new_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return a key's path with its last part by today's name."""
    kind = section_at(path[:-1])
    return (*path[:-1], kind.renamed.get(path[-1], path[-1])) if kind else path
