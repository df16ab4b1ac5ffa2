"""docs/targets.md's table is made from manifests, and says no more of a target than was seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
import targets as targets_benchmark

from fieldpack.bundle.targets import Target, targets_to_json

RAN = Target(
    "openvino-cpu",
    "openvino",
    "CPU",
    "variants/openvino-int4-64",
    "executed",
    machine="a processor, 2 cores",
    packages={"openvino": "2026.4.1"},
    figures={"f1": 0.25, "questions": 40.0, "tokens_per_s": 36.4, "golden": 5, "golden_right": 4},
)


def row_of(target: Target) -> list[str]:
    lines = targets_benchmark.table({"toy 1.0.0": targets_to_json([target])}).splitlines()
    heads, row = ([cell.strip() for cell in line.split("|")[1:-1]] for line in (lines[0], lines[3]))
    assert len(heads) == len(row) and "**toy 1.0.0**" in lines[2]
    return row


def test_what_was_executed_shows_its_figures() -> None:
    row = row_of(RAN)
    assert row[0] == "`openvino-cpu`" and row[2:4] == ["executed", "4 of 5"]
    assert "0.250" in row and "36" in row and row[-1] == "a processor, 2 cores"
    assert row[1] == "`variants/openvino-int4-64` on CPU; openvino 2026.4.1"


def test_an_emulation_s_speed_is_not_shown() -> None:
    npu = replace(
        RAN, name="openvino-npu", proof="emulated", prompt_limit=1024, note="ran on the CPU"
    )
    row = row_of(npu)
    assert row[2:4] == ["emulated", "4 of 5"] and not any(row[4:-1])
    assert "prompts to 1,024" in row[1] and row[-1].endswith("ran on the CPU")


def test_the_page_s_table_is_exchanged() -> None:
    begin, end = targets_benchmark.BEGIN, targets_benchmark.END
    page = f"Before.\n\n{begin}\nold\n{end}\n\nBehind.\n"
    once = targets_benchmark.with_table(page, "| new |")
    assert once == f"Before.\n\n{begin}\n\n| new |\n\n{end}\n\nBehind.\n"
    assert targets_benchmark.with_table(once, "| new |") == once
    with pytest.raises(ValueError, match="the page has no"):
        targets_benchmark.with_table("Before.", "| new |")


def test_quality_that_changes_from_round_to_round_is_an_error() -> None:
    first = {"proof": "executed", "figures": {"f1": 0.2, "load_s": 1.0, "peak_mb": 500.0}}
    slower = {"proof": "executed", "figures": {"f1": 0.2, "load_s": 3.0, "peak_mb": 510.0}}
    summary = targets_benchmark.summarize([first, slower])  # type: ignore[list-item]
    assert summary["f1"] == 0.2 and summary["load_s"] == 2.0
    slower["figures"]["f1"] = 0.3
    with pytest.raises(targets_benchmark.click.ClickException, match="f1 differs"):
        targets_benchmark.summarize([first, slower])  # type: ignore[list-item]
