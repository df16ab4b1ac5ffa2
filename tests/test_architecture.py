"""The floors of the house, drawn from the source: which room may import which, no circle, no flat
root.

A room is a package of the first level (`fieldpack.index`) or a module beside it (`fieldpack.rag`).
Every import counts, also one inside a function and one for a type checker.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOMES = {"fieldpack": "runtime", "fieldpack_build": "build", "fieldpack_app": "edge_app"}
MOST_IN_A_ROOT = 12

# Floors from the ground up: a room imports only what lies on floors below its own. What may be
# imported of another package is in DOORS. The app sees the build nowhere and the build not the app;
# the runtime sees neither.
FLOORS: dict[str, tuple[str, ...]] = {
    "fieldpack": (
        "errors child figures",
        "untrusted",
        "passages devices language",
        "citations index generation",
        "retrieval",
        "prompt answers",
        "bundle",
        "memory rag targets",
        "expert",
        "fieldpack",
    ),
    "fieldpack_app": (
        "fieldpack_app locks",
        "durable",
        "state info originals",
        "terminal",
        "batch feedback install lan",
        "diagnostics server mcp service",
        "cli",
    ),
    "fieldpack_build": (
        "fieldpack_build errors gpu index process_limits",
        "uncaught documents recipe",
        "child_process",
        "toolchains chunking models",
        "pipeline",
        "ingest data",
        "evaluation training synthesis export",
        "embedding report bundle base_model device_budget",
        "stages estimate check",
        "console",
        "api ship",
        "cli",
    ),
}
DOORS: dict[str, Set[str]] = {
    "fieldpack": set(),
    "fieldpack_app": {"fieldpack"},
    "fieldpack_build": {"fieldpack"},
}


def sources() -> dict[str, Path]:
    """Every module of the three packages: dotted name -> file."""
    found = {}
    for package, home in HOMES.items():
        for path in sorted((ROOT / home / package).rglob("*.py")):
            parts = path.relative_to(ROOT / home).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = sources()


def imports_of(module: str, path: Path, *, types: bool) -> Iterator[str]:
    """Modules of ours that a module imports. `types`: those under `if TYPE_CHECKING` too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(tree):
        if id(node) in guarded and not types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                if full in MODULES or base in MODULES:
                    yield full if full in MODULES else base


def graph(*, types: bool) -> dict[str, set[str]]:
    return {
        name: set(imports_of(name, path, types=types)) - {name} for name, path in MODULES.items()
    }


def room_of(module: str) -> tuple[str, str]:
    """(package, room); a package's own `__init__` is a room of the package's name."""
    package, *rest = module.split(".")
    return package, rest[0] if rest else package


def floor_of(package: str, room: str) -> int:
    found = [number for number, rooms in enumerate(FLOORS[package]) if room in rooms.split()]
    assert found, (
        f"{package}.{room} stands on no floor: put it into FLOORS, above all that it imports"
    )
    return found[0]


def circles(arrows: Mapping[str, Set[str]]) -> list[list[str]]:
    """What is left of the modules when those that import nothing that is left are taken away again
    and again, and then those that nothing imports."""
    left = {name: set(targets) for name, targets in arrows.items()}
    while free := [name for name, targets in left.items() if not targets & set(left)]:
        for name in free:
            del left[name]
    while free := [name for name in left if not any(name in targets for targets in left.values())]:
        for name in free:
            del left[name]
    return [[name, *sorted(targets & set(left))] for name, targets in left.items()]


def uphill(arrows: Mapping[str, Set[str]]) -> list[str]:
    """Imports that go up, or sideways to another room of the same floor, or through no door."""
    wrong = []
    for module, targets in sorted(arrows.items()):
        package, room = room_of(module)
        for target in sorted(targets):
            other, there = room_of(target)
            if other != package:
                allowed = other in DOORS[package]
            else:
                allowed = there == room or floor_of(other, there) < floor_of(package, room)
            if not allowed:
                wrong.append(f"{module} -> {target}")
    return wrong


def test_imports_go_downhill() -> None:
    assert uphill(graph(types=True)) == []


def test_no_module_is_in_a_circle() -> None:
    assert circles(graph(types=False)) == []


@pytest.mark.parametrize("package", sorted(HOMES))
def test_a_root_holds_at_most_a_dozen_modules(package: str) -> None:
    modules = [
        path.name
        for path in (ROOT / HOMES[package] / package).glob("*.py")
        if path.name != "__init__.py"
    ]
    assert len(modules) <= MOST_IN_A_ROOT, modules


def test_every_floor_names_rooms_that_there_are() -> None:
    rooms = {room_of(module) for module in MODULES}
    named = {
        (package, room)
        for package, floors in FLOORS.items()
        for floor in floors
        for room in floor.split()
    }
    assert named == rooms


def test_an_import_that_goes_up_is_seen() -> None:
    """The proof that the tests above can fail."""
    arrows = graph(types=True)
    arrows["fieldpack.passages"] |= {"fieldpack.rag"}
    arrows["fieldpack_build.models.sources"] |= {"fieldpack_build.stages.train"}
    arrows["fieldpack.expert"] |= {"fieldpack_build.errors"}
    arrows["fieldpack_app.info"] |= {"fieldpack_build.errors"}
    assert uphill(arrows) == [
        "fieldpack.expert -> fieldpack_build.errors",
        "fieldpack.passages -> fieldpack.rag",
        "fieldpack_app.info -> fieldpack_build.errors",
        "fieldpack_build.models.sources -> fieldpack_build.stages.train",
    ]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["b", "c"], ["c", "b"]]
