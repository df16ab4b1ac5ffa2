"""`build compare`: two bundles by their own records, on bundles of a manifest and a report."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_report import rows_of, sample_report, text_of, with_rows

from fieldpack.bundle.manifest import Manifest, describe_files, write_manifest
from fieldpack_build.cli import cli
from fieldpack_build.errors import DataError, GateMissed
from fieldpack_build.evaluation import compare
from fieldpack_build.report import render_comparison

RECIPE = {
    "train": {"rank": 16, "data": "t.jsonl"},
    "evaluate": {"weights": {"f1": 1.0, "refused_right": 0.5}},
}
SOURCES = {"documents/fees.md": "1", "documents/old.md": "2", "documents/plan.md": "3"}


def compare_bundles(one: Path, other: Path) -> dict[str, Any]:
    """As `build compare --json` prints it."""
    return compare.compare_bundles(one, other).to_dict()


def write(
    folder: Path,
    report: dict[str, Any],
    *,
    recipe: dict[str, Any],
    sources: dict[str, str],
    key: str = "k",
) -> Path:
    (folder / "report").mkdir(parents=True)
    (folder / "report" / "report.json").write_text(json.dumps(report), encoding="utf-8")
    (folder / "model").mkdir()
    (folder / "model" / "model.onnx").write_bytes(b"0" * (2_000_000 if key == "k" else 3_000_000))
    stages = {
        "knowledge": {"key": "k", "sources": sources, "tools": {"usearch": "2.26"}},
        "train": {"key": key, "sources": {}, "tools": {"peft": "0.21"}},
    }
    provenance = {"recipe": recipe, "stages": stages}
    write_manifest(
        folder, Manifest("finance", "1.0.0", files=describe_files(folder), provenance=provenance)
    )
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """B is worse: of 60 questions it gets 40 right, A 55; two documents changed and a setting."""
    root = tmp_path_factory.mktemp("pair")
    a = with_rows(
        sample_report(),
        rows_of((40, "wrwr", True), (15, "wrwr", True), (5, "wwww", True), (10, "wxwx", False)),
    )
    b = with_rows(
        sample_report(),
        rows_of((40, "wrwr", True), (15, "wrww", True), (5, "wwww", True), (10, "wxww", False)),
    )
    b["questions"][-1] |= {"question": "Another?"}
    b["questions"][0] |= {"expected": "Something else now."}
    changed = copy.deepcopy(RECIPE)
    changed["train"]["rank"] = 32
    sources = {"documents/fees.md": "1", "documents/plan.md": "9", "documents/new.md": "4"}
    return write(root / "a", a, recipe=RECIPE, sources=SOURCES), write(
        root / "b", b, recipe=changed, sources=sources, key="n"
    )


def test_what_differs_is_told(pair: tuple[Path, Path]) -> None:
    found = compare_bundles(*pair)
    assert found["questions"] == {"common": 68, "changed": 1, "only_a": 1, "only_b": 1}
    assert found["recipe"] == {"train.rank": [16, 32]}
    assert found["documents"] == {
        "added": ["documents/new.md"],
        "removed": ["documents/old.md"],
        "changed": ["documents/plan.md"],
    }
    assert found["stages"] == {"knowledge": "same", "train": "another"} and found["tools"] == {}
    assert found["sizes"]["model"] == [2.0, 3.0]
    by_key = {row["figure"]: row for row in found["figures"]}
    assert by_key["value_match"]["tone"] == "worse" and by_key["value_match"]["high"] < 0
    assert by_key["refused_wrong"]["tone"] == "noise" and by_key["size_mb"]["difference"] > 0.9
    assert len(found["turned"]["worse"]) == 15 + 9 and found["turned"]["better"] == []
    assert found["score"]["high"] < 0


def test_a_bundle_is_as_good_as_itself(pair: tuple[Path, Path]) -> None:
    found = compare_bundles(pair[0], pair[0])
    assert (
        found["turned"] == {"worse": [], "better": []}
        and not found["recipe"]
        and not found["documents"]["changed"]
    )
    assert {row["tone"] for row in found["figures"]} <= {"noise", ""}
    done = CliRunner().invoke(cli, ["compare", str(pair[0]), str(pair[0]), "--fail-if-worse"])
    assert done.exit_code == 0 and "built alike" in done.output and "neither better" in done.output


def test_the_command(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = map(str, pair)
    done = CliRunner().invoke(cli, ["compare", a, b, "--page", str(tmp_path / "out" / "c.html")])
    assert done.exit_code == 0
    for told in ("B is worse:", "right in A, not in B: 24", "  train.rank: 16 -> 32"):
        assert told in done.output
    assert (
        "Left out: 1 expect another answer now, 1 were asked of A alone, 1 were asked of B alone."
        in done.output
    )
    seen = text_of((tmp_path / "out" / "c.html").read_text(encoding="utf-8"))
    assert "Right in A, not in B: 24" in seen and "documents/new.md – added" in seen
    as_json = json.loads(CliRunner().invoke(cli, ["compare", a, b, "--json"]).output)
    assert as_json == json.loads(json.dumps(compare_bundles(*pair)))
    failed = CliRunner().invoke(cli, ["compare", a, b, "--fail-if-worse"])
    assert isinstance(failed.exception, GateMissed) and failed.exception.exit_code == 9
    assert not CliRunner().invoke(cli, ["compare", b, a, "--fail-if-worse"]).exception


def test_as_markdown_it_is_one_comment(pair: tuple[Path, Path]) -> None:
    a, b = map(str, pair)
    said = CliRunner().invoke(cli, ["compare", a, b, "--markdown"]).output
    assert said.startswith("### ") and "B is worse:" in said and "| | A | B | B - A |" in said
    table = [line for line in said.splitlines() if line.startswith("|")]
    assert len(table) > 5 and {line.count("|") for line in table} == {7}
    assert said.count("<details") == said.count("</details>") >= 3
    assert "<details open><summary>24 right in A, not in B" in said


def test_a_question_cannot_write_into_the_comment(pair: tuple[Path, Path], tmp_path: Path) -> None:
    report = json.loads((pair[0] / "report" / "report.json").read_text(encoding="utf-8"))
    named = "</details> | <img src=x> @all #1 [a](http://x) `c`"
    other = write(tmp_path / "d", report, recipe=RECIPE, sources={**SOURCES, named: "0" * 64})
    said = CliRunner().invoke(cli, ["compare", str(pair[0]), str(other), "--markdown"]).output
    assert "img src=x" in said and "all" in said  # it is there, and is text
    assert not [mark for mark in ("<img", "@all", " #1", "](http", "`c`") if mark in said]


def test_nothing_in_common_is_said(pair: tuple[Path, Path], tmp_path: Path) -> None:
    report = json.loads((pair[0] / "report" / "report.json").read_text(encoding="utf-8"))
    for number, row in enumerate(report["questions"]):
        row["question"] = f"New {number}?"
    other = write(tmp_path / "c", report, recipe=RECIPE, sources=SOURCES)
    found = compare_bundles(pair[0], other)
    assert found["questions"]["common"] == 0 and found["score"] is None
    page = render_comparison(compare.compare_bundles(pair[0], other))
    assert "cannot be compared" in text_of(page)
    failed = CliRunner().invoke(cli, ["compare", str(pair[0]), str(other), "--fail-if-worse"])
    assert isinstance(failed.exception, DataError) and "no question in common" in str(
        failed.exception
    )


def test_a_bundle_without_a_report_is_a_sentence(pair: tuple[Path, Path], tmp_path: Path) -> None:
    write_manifest(tmp_path, Manifest("plain", "1.0.0"))
    with pytest.raises(DataError, match="no report in it; give its recipe `evaluate`"):
        compare_bundles(pair[0], tmp_path)


def test_a_new_name_of_a_recipes_key_is_no_difference(tmp_path: Path) -> None:
    """A bundle of before has the old names in its manifest."""
    recipes = (
        {"knowledge": {"retrieval": {"weight": 0.5}}, "train": {"share": 3}},
        {"knowledge": {"retrieval": {"vector_weight": 0.5}}, "train": {"questions_per_prompt": 2}},
    )
    a, b = (
        write(tmp_path / name, sample_report(), recipe=recipe, sources=SOURCES)
        for name, recipe in zip("ab", recipes, strict=True)
    )
    assert compare_bundles(a, b)["recipe"] == {"train.questions_per_prompt": [3, 2]}


def test_a_bundle_that_answers_nothing_is_said_and_worse(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """Also by the report of an older build, whose answers the risk held back after they were
    measured."""
    report = json.loads((pair[0] / "report" / "report.json").read_text(encoding="utf-8"))
    none = {"questions": 9, "answered": 0, "wrong": 0}
    report["risk"] = {"wrong": 0.1, "sure": 0.95, "sure_from": None, "missing": 38}
    report["risk"] |= {"learned": none, "measured": none}
    silent = write(tmp_path / "silent", report, recipe=RECIPE, sources=SOURCES)
    command = ["compare", str(pair[0]), str(silent)]
    said = CliRunner().invoke(cli, command).output
    assert "\nB answers none of its 70 questions. B is worse" in said
    assert isinstance(CliRunner().invoke(cli, [*command, "--fail-if-worse"]).exception, GateMissed)
    other = CliRunner().invoke(cli, ["compare", str(silent), str(pair[0]), "--markdown"]).output
    assert "A answers none of its 70 questions." in other
