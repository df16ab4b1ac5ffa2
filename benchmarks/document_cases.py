"""How documents are read, against what must and must not stand in their text: a table by kind, and
JSON.

    python benchmarks/document_cases.py ../shared/cases/documents -o cases.json

The folder holds the documents and `expected.jsonl`, a line for each: {"file", "kind", "text_has":
[...], "text_lacks": [...], "or_named": [...], "note"}. A line holds if all of `text_has` stands in
the text and nothing of `text_lacks` does, or, where there is `or_named`, if the document's "read in
part" lines name one of its words in the place of what the text has not. A line with a `note` alone
is for a person: its text is printed with --texts, and it counts neither as held nor as failed.
Check out another commit to have figures of before.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from fieldpack_build.documents import Document, read_document
from fieldpack_build.errors import DocumentError


def judge(case: dict[str, Any], text: str, named: str) -> tuple[bool | None, list[str]]:
    """Whether a case holds, None for one that only a person can judge; and what is wrong."""
    missing = [words for words in case.get("text_has", ()) if words not in text]
    wrong = [f"has {words!r}" for words in case.get("text_lacks", ()) if words in text]
    if missing and any(word.lower() in named.lower() for word in case.get("or_named", ())):
        missing = []
    elif (
        not case.get("text_has")
        and case.get("or_named")
        and not any(w.lower() in named.lower() for w in case["or_named"])
    ):
        wrong.append(f"names none of {case['or_named']}")
    wrong += [f"lacks {words!r}" for words in missing]
    checked = any(case.get(key) for key in ("text_has", "text_lacks", "or_named"))
    return (not wrong if checked else None), wrong


def run(folder: Path) -> list[dict[str, Any]]:
    """One row a case: its kind, whether it holds, what is wrong, seconds, the lines of "read in
    part", the text."""
    rows = []
    for line in (folder / "expected.jsonl").read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        case = json.loads(line)
        started = time.perf_counter()
        try:
            document: Document | None = read_document(folder / case["file"], case["file"])
            refused = ""
        except DocumentError as error:
            document, refused = None, str(error)
        seconds = time.perf_counter() - started
        text = "\n\n".join(page.text for page in document.pages) if document else ""
        named = [*document.warnings] if document else [refused]
        holds, wrong = judge(case, text, "\n".join(named))
        rows.append(
            {
                "file": case["file"],
                "kind": case["kind"],
                "holds": holds,
                "wrong": wrong,
                "seconds": round(seconds, 3),
                "read_in_part": named,
                "note": case.get("note", ""),
                "text": text,
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Kinds with how many of their cases hold, those that fail first."""
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        kinds[row["kind"]].append(row)
    width = max(len(kind) for kind in kinds)
    lines = [f"{'kind':<{width}}  holds  what is wrong"]
    for kind, cases in kinds.items():
        judged = [case for case in cases if case["holds"] is not None]
        held = f"{sum(case['holds'] for case in judged)}/{len(judged)}" if judged else "look"
        lines.append(
            f"{kind:<{width}}  {held:>5}  "
            f"{'; '.join(word for case in cases for word in case['wrong'])}".rstrip()
        )
    judged = [row for row in rows if row["holds"] is not None]
    lines.append(f"{'all':<{width}}  {sum(row['holds'] for row in judged)}/{len(judged)}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="documents and expected.jsonl")
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    parser.add_argument(
        "--texts", action="store_true", help="print the text of cases that only a person can judge"
    )
    arguments = parser.parse_args()
    rows = run(arguments.folder)
    print("\n".join(table(rows)))
    for row in rows if arguments.texts else ():
        if row["holds"] is None:
            print(f"\n--- {row['file']}: {row['note']}\n{row['text']}")
            print("\n".join(f"({line})" for line in row["read_in_part"]))
    if arguments.output:
        result = {"machine": platform.machine(), "python": platform.python_version(), "cases": rows}
        arguments.output.write_text(
            json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
