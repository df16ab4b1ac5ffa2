"""How the code reads, in figures: the same script before and after a change of the layout.

    python benchmarks/code_figures.py [CHECKOUT] [--json FILE]

Counts by the syntax tree of the three packages. Imports nothing of them, except in a child process
that opens a bundle's door: `import fieldpack`, then the modules that a question needs. The lines of
the runtime that `fieldpack ask` imports are those of the modules below `runtime/` that are loaded
in the end.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import fmean, median
from typing import Any

PACKAGES = {
    "runtime": "runtime/fieldpack",
    "build": "build/fieldpack_build",
    "app": "edge_app/fieldpack_app",
}
_SHORT = 8  # lines
_UNTYPED = re.compile(r"dict\[str, Any\]")
_SKIPPED = re.compile(r"# fmt: skip")
# What a question loads, under whichever name the layout has for it: the module behind `Expert` and
# those that it imports late.
_ASKED = """
import sys, pathlib, fieldpack
with fieldpack.open(sys.argv[1], threads=1) as expert:
    expert.ask("zz")
here = pathlib.Path(fieldpack.__file__).parent
files = {m.__file__ for n, m in list(sys.modules.items()) if n.split(".")[0] == "fieldpack" and getattr(m, "__file__", None)}
print(sum(len(pathlib.Path(f).read_text(encoding="utf-8").splitlines()) for f in files if pathlib.Path(f).is_relative_to(here)))
"""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(tree: ast.AST) -> list[Function]:
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def _length(function: Function) -> int:
    """Lines of a function from `def` to its end, the docstring's included, decorators not."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _public_without_docstring(tree: ast.Module) -> int:
    """Functions and methods that are public, their class too, and have no docstring; overloads and
    stubs of `...` aside."""

    def count(body: list[ast.stmt]) -> int:
        total = 0
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                total += count(node.body)
            elif isinstance(node, Function) and not node.name.startswith("_"):
                total += ast.get_docstring(node) is None
        return total

    return count(tree.body)


def figures(folders: list[Path]) -> dict[str, Any]:
    """The figures of all Python files below `folders` together."""
    lines = called_once = short = untyped = skipped = bare = 0
    lengths: list[int] = []
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    for path in paths:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        lines += len(text.splitlines())
        functions = _functions(tree)
        lengths += map(_length, functions)
        named = Counter(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
        named += Counter(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))
        for function in functions:
            if (
                function.name.startswith("_")
                and not function.name.startswith("__")
                and named[function.name] == 1
            ):
                called_once += 1
                short += _length(function) <= _SHORT
        untyped += len(_UNTYPED.findall(text))
        skipped += len(_SKIPPED.findall(text))
        bare += _public_without_docstring(tree)
    return {
        "files": len(paths),
        "lines": lines,
        "functions": len(lengths),
        "functions_per_1000_lines": round(1000 * len(lengths) / lines, 1),
        "mean_function": round(fmean(lengths), 1),
        "median_function": median(lengths),
        "private_called_once": called_once,
        "private_called_once_short": short,
        "dict_str_any": untyped,
        "fmt_skip": skipped,
        "public_without_docstring": bare,
    }


def lines_of_a_question(checkout: Path, bundle: Path) -> int:
    """Lines of the runtime that are loaded once a bundle has answered."""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "runtime")}
    command = [sys.executable, "-c", _ASKED, str(bundle)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description="Figures of how the code reads.")
    parser.add_argument("checkout", nargs="?", type=Path, default=Path(__file__).parents[1])
    parser.add_argument(
        "--bundle",
        type=Path,
        help="a bundle to ask, for the lines of the runtime that a question loads",
    )
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    found = {name: figures([options.checkout / folder]) for name, folder in PACKAGES.items()}
    found["all"] = figures([options.checkout / folder for folder in PACKAGES.values()])
    if options.bundle:
        found["runtime"]["lines_of_a_question"] = lines_of_a_question(
            options.checkout, options.bundle
        )
    print(f"{'':28}" + "".join(f"{name:>10}" for name in found))
    for key in found["runtime"]:
        print(f"{key:28}" + "".join(f"{values.get(key, ''):>10}" for values in found.values()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
