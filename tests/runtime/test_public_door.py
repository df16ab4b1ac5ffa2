"""The public door: complete, light, offline, and one-way."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fieldpack
from fieldpack import errors

ROOT = Path(__file__).parents[2]
HEAVY = {
    "torch",
    "transformers",
    "numpy",
    "onnxruntime",
    "onnxruntime_genai",
    "usearch",
    "tokenizers",
}


def imports_of(path: Path) -> set[str]:
    """Top-level names of all absolute imports in a file, those inside functions and type checks
    too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_everything_public_is_named_and_nothing_else() -> None:
    modules = {name for name, value in vars(fieldpack).items() if inspect.ismodule(value)}
    public = (
        {name for name in vars(fieldpack) if not name.startswith("_")} - modules - {"annotations"}
    )
    assert public == set(fieldpack.__all__)
    assert len(fieldpack.__all__) == len(set(fieldpack.__all__))


def test_every_error_is_public_and_drawn_with_its_exit_code() -> None:
    tree = [
        v
        for v in vars(errors).values()
        if inspect.isclass(v) and issubclass(v, fieldpack.FieldpackError)
    ]
    assert {error.__name__ for error in tree} <= set(fieldpack.__all__)
    for error in tree:
        assert error.__name__ in (errors.__doc__ or "")
        assert error.exit_code in (1, 3, 4, 130)


@pytest.mark.parametrize("module", ["fieldpack", "fieldpack_app.cli"])
def test_a_fresh_import_is_light_and_switches_telemetry_off(module: str) -> None:
    seen = f"os.environ['ORT_DISABLE_TELEMETRY'], *sorted(set(sys.modules) & {HEAVY!r})"
    code = f"import {module}, os, sys; print({seen})"
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1"]


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("runtime/fieldpack", {"torch", "transformers", "fieldpack_build", "fieldpack_app"}),
        ("edge_app/fieldpack_app", {"torch", "transformers", "fieldpack_build"}),
    ],
)
def test_imports_go_one_way(folder: str, forbidden: set[str]) -> None:
    paths = sorted((ROOT / folder).rglob("*.py"))
    assert paths
    assert {
        str(path): sorted(imports_of(path) & forbidden)
        for path in paths
        if imports_of(path) & forbidden
    } == {}


WRITER = {
    "fieldpack_build.index.writer",
    "fieldpack_build.index.rebuild",
    "fieldpack_build.index.staging",
    "fieldpack_build.index.snapshot",
    "fieldpack_build.index.hnsw",
    "fieldpack_build.index.minhash",
}


def test_a_question_loads_nothing_that_writes_an_index(sealed: Path) -> None:
    """The device reads an index; what makes one is the build's."""
    code = (
        "import sys, fieldpack\n"
        "with fieldpack.open(sys.argv[1], threads=1) as expert:\n"
        "    assert expert.search('zz', 1)\n"
        "    expert.ask('zz zebra')\n"
        f"print(sorted(name for name in sys.modules if name in {WRITER!r} or "
        "name.startswith('fieldpack_build')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(sealed)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
