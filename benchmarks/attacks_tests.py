"""The attacks that the tests hold: hostile bundles, pairing, MCP, hidden letters, what a power cut
and a full disk leave. Each test is a line of the table."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

_ROOT = Path(__file__).parent.parent
FILES = (
    "tests/runtime/test_hostile_bundle.py",
    "tests/app/server/test_server_auth.py",
    "tests/app/server/test_server_limits.py",
    "tests/app/server/test_server_lan.py",
    "tests/app/test_mcp.py",
    "tests/app/test_hidden_text.py",
    "tests/app/test_feedback.py",
    "tests/app/test_state.py",
)


def in_the_tests() -> list[dict[str, Any]]:
    """Run the tests; of a test with several cases one row says how many held and which did not."""
    with tempfile.TemporaryDirectory(prefix="fieldpack-attacks-") as name:
        report = Path(name) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *FILES]
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
        if not report.exists():
            raise SystemExit(f"the tests did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    rows: dict[str, list[ElementTree.Element]] = {}
    for case in cases:
        test = case.get("name", "").partition("[")[0].removeprefix("test_").replace("_", " ")
        rows.setdefault(f"{case.get('classname', '').rpartition('.')[2]}: {test}", []).append(case)
    return [_row(name, cases) for name, cases in rows.items()]


def _row(name: str, cases: list[ElementTree.Element]) -> dict[str, Any]:
    ends = Counter(_end(case) for case in cases)
    fell = [case.get("name", "") for case in cases if _end(case) == "fell"]
    seconds = max(float(case.get("time", 0)) for case in cases)
    happened = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
    return {
        "attack": name,
        "happened": f"{happened}; the slowest took {seconds:.1f} s{': ' if fell else ''}"
        + ", ".join(fell),
        # Where all were left out (no strace, no browser), nothing was seen.
        "held": False if fell else True if ends["held"] else None,
    }


def _end(case: ElementTree.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "fell"
    return "left out" if case.find("skipped") is not None else "held"
