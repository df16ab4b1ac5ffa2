"""PDF libraries on the same pages: speed, words found, figures in the line of their label, figures
in cells, size.

Takes every n-th page of each file and all pages that the questions name, writes them into one PDF a
file, and lets each library read those in a process of its own. Libraries that Fieldpack does not
use come from another environment:

    python -m venv /tmp/readers && /tmp/readers/bin/pip install pypdf pdfminer.six pdfplumber
    pypdfium2 pdf_oxide pdftext python benchmarks/readers.py --data FOLDER --python
    /tmp/readers/bin/python --json readers.json

FOLDER has docs/*.pdf and eval.jsonl with "document" and "pages". What is measured, and against
what:

- pages/s: of processor time, one process, files in memory; compare within one run only.
- words: a page's words (two letters or digits at least) that two engines of different origin agree
  on, and how many
  of those the library has.
- in line: visual lines of the pages named by the questions, put together from pdfplumber's word
  boxes (which is why
  it has them all): a label, and figures and nothing but figures right of it. Found is a figure if
  one line of the
  library's text has it and the last word of its label.
- in cells: the same figures, each alone in a cell of a row of a table whose other cells have the
  label's last word.

pdfplumber's words have raised figures glued to what stands before them ("Health4"); a library that
says them apart ("Health⁴", "Health^4") has both of them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

from measuring import machine, machine_line, table, write_json

_CHILD = Path(__file__).with_name("readers_child.py")
_ORIGIN = {
    "pypdfium2": "pdfium",
    "pypdf": "pypdf",
    "pdfminer.six": "pdfminer",
    "pdf_oxide": "pdf_oxide",
}
_FIGURE = re.compile(r"\d[\d,]*\.?\d*")
_ROW_WORD = re.compile(
    r"[-$€£()%—–,.\d*]+"
)  # of a row of figures; with other words it is a sentence
_WORD = re.compile(r"\w{2,}")
_SCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾₀₁₂₃₄₅₆₇₈₉", "0123456789+-=()0123456789")
Pages = dict[str, list[dict[str, Any]]]  # file -> pages of text, and of rows of tables


def main() -> None:
    options = _options()
    facts = machine(("pypdfium2",))
    with tempfile.TemporaryDirectory(prefix="fieldpack-readers-") as folder:
        evidence = _sample(options.data, Path(folder), options.every)
        found = {name: _run(name, Path(folder), options) for name in options.readers}
    found = {name: result for name, result in found.items() if result}
    words, rows = _agreed(found), _rows(found.get("pdfplumber"), evidence)
    results = {name: _measured(result, words, rows) for name, result in found.items()}
    named, count = sum(map(len, evidence.values())), sum(map(len, words.values()))
    print(f"{machine_line(facts)}\n{count} pages, {named} of them named by questions\n")
    print(
        table(
            ("library", "version", "pages/s", "words", "in line", "in cells", "MB"),
            [(n, *r.values()) for n, r in results.items()],
        )
    )
    write_json(options.json, {"benchmark": "readers", "machine": facts, "results": results})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with docs/*.pdf and eval.jsonl")
    add(
        "--python",
        type=Path,
        default=Path(sys.executable),
        help="interpreter that has the other libraries",
    )
    add("--every", type=int, default=15, help="take every n-th page (default: %(default)s)")
    names = (
        "fieldpack",
        "pypdfium2",
        "pypdf",
        "pdfminer.six",
        "pdfplumber",
        "pdf_oxide",
        "pdftext",
    )
    add("--readers", nargs="+", choices=names, default=names)
    add("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


def _sample(data: Path, folder: Path, every: int) -> dict[str, list[int]]:
    """Writes the sampled PDFs; returns the places of the pages named by questions, counted within
    those."""
    import pypdfium2

    named: dict[str, set[int]] = {}
    for line in (data / "eval.jsonl").read_text(encoding="utf-8").splitlines():
        question = json.loads(line)
        named.setdefault(question["document"], set()).update(page - 1 for page in question["pages"])
    evidence: dict[str, list[int]] = {}
    for path in sorted((data / "docs").glob("*.pdf")):
        source, part = pypdfium2.PdfDocument(path), pypdfium2.PdfDocument.new()
        taken = sorted({*range(0, len(source), every), *named.get(path.name, ())})
        part.import_pages(source, taken)
        part.save(folder / path.name)
        evidence[path.name] = [
            i for i, page in enumerate(taken) if page in named.get(path.name, ())
        ]
    return evidence


def _run(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any] | None:
    python = sys.executable if name == "fieldpack" else str(options.python)
    out = folder / f"{name}.json"
    # pypdf says on every page that it wants fontTools, 1.4 kB each time; an error is said by the
    # exit code.
    done = subprocess.run(
        [python, str(_CHILD), name, str(folder), str(out)],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=False,
        stderr=subprocess.DEVNULL,
    )
    if done.returncode:
        print(
            f"{name}: failed with {done.returncode}; is it installed for {python}?", file=sys.stderr
        )
        return None
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return result


def _agreed(found: dict[str, Any]) -> dict[str, list[Counter[str]]]:
    """By file and page, the words that two engines of different origin have."""
    engines = [_bags(found[name]["pages"]) for name in _ORIGIN if name in found]
    agreed: dict[str, list[Counter[str]]] = {}
    for file, pages in (engines[0] if engines else {}).items():
        for i in range(len(pages)):
            bag: Counter[str] = Counter()
            for a, b in combinations(engines, 2):
                bag |= a[file][i] & b[file][i]
            agreed.setdefault(file, []).append(bag)
    return agreed


def _bags(pages: Pages) -> dict[str, list[Counter[str]]]:
    return {
        file: [Counter(_WORD.findall(page["text"])) for page in own] for file, own in pages.items()
    }


def _rows(
    plumber: dict[str, Any] | None, evidence: dict[str, list[int]]
) -> list[tuple[str, int, str, list[str]]]:
    """File, page, last word of a label, figures right of it."""
    rows = []
    for file, places in evidence.items():
        for i in places:
            for line in plumber["pages"][file][i]["lines"] if plumber else ():
                first = next(
                    (k for k, word in enumerate(line) if _FIGURE.fullmatch(word.strip("$()%"))), 0
                )
                label = [word for word in line[:first] if _WORD.fullmatch(word)]
                figures = [word.strip("$()%") for word in line[first:]]
                figures = [
                    figure for figure in figures if _FIGURE.fullmatch(figure) and len(figure) > 1
                ]
                if label and len(figures) > 1 and all(map(_ROW_WORD.fullmatch, line[first:])):
                    rows.append((file, i, label[-1], figures))
    return rows


def _glued(text: str) -> str:
    return text.translate(_SCRIPTS).replace("^", "")


def _tokens(line: str) -> set[str]:
    return set(re.findall(r"\w+|\d[\d,]*\.?\d*", line)) | set(_FIGURE.findall(line))


def _alone(row: list[str]) -> set[str]:
    return {cell.strip("$()% ") for cell in row}


def _measured(
    result: dict[str, Any],
    words: dict[str, list[Counter[str]]],
    rows: list[tuple[str, int, str, list[str]]],
) -> dict[str, Any]:
    bags = _bags(result["pages"])
    has = sum(
        (bags[file][i] & bag).total()
        for file, pages in words.items()
        for i, bag in enumerate(pages)
    )
    in_line, in_cells, total = 0, 0, 0
    for file, i, label, figures in rows:
        page = result["pages"][file][i]
        lines = [_tokens(line) | _tokens(_glued(line)) for line in page["text"].split("\n")]
        cells = [
            (" ".join([*row, *map(_glued, row)]), _alone([*row, *map(_glued, row)]))
            for row in page["rows"]
        ]
        for figure in figures:
            total += 1
            in_line += any(label in line and figure in line for line in lines)
            in_cells += any(label in text and figure in row for text, row in cells)
    share = sum(bag.total() for pages in words.values() for bag in pages)
    count = sum(map(len, result["pages"].values()))
    return {
        "version": result["version"],
        "pages_s": round(count / result["seconds"], 1),
        "words": f"{has / share:.1%}" if share else None,
        "in_line": f"{in_line / total:.1%}" if total else None,
        "in_cells": f"{in_cells / total:.1%}" if total and result["tables"] else None,
        "mb": result["mb"],
    }


if __name__ == "__main__":
    main()
