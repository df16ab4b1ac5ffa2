"""What a log shows of a build, line by line."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fieldpack_build.console import BarConsole, PlainConsole, duration, make_console
from fieldpack_build.pipeline.events import ProgressEvent
from fieldpack_build.pipeline.plan import Step
from fieldpack_build.pipeline.run import Listener
from fieldpack_build.pipeline.store import Receipt, Store
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.stages.results import summary
from fieldpack_build.stages.table import make_plan

RECIPE = """\
name: tiny
version: 1.0.0
base: {model: ./model}
train: {method: lora, data: train.jsonl}
answer: {system: Answer.}
"""


@pytest.fixture
def steps(tmp_path: Path) -> dict[str, Step]:
    (tmp_path / "r.yaml").write_text(RECIPE)
    (tmp_path / "train.jsonl").write_text("{}")
    plan = make_plan(load_recipe(tmp_path / "r.yaml"), Store(tmp_path / "cache"))
    return {step.name: step for step in plan.steps}


def receipt(step: Step, seconds: float = 80.0, **result: Any) -> Receipt:
    return Receipt(step.name, "tiny", step.key, step.parts, {}, {}, seconds, 1234.5, result)


def play(console: Listener, steps: dict[str, Step]) -> None:
    """A build of three stages, the first done before."""
    done = Step(steps["base"].stage, "abcdef123456789", {}, receipt(steps["base"]), ())
    console.skipped(done)
    console.started(steps["train"], 1, 2)
    console.event(steps["train"], {"event": "note", "text": "loading"})
    console.event(steps["train"], {"event": "progress", "done": 1, "total": 75, "note": "steps"})
    console.event(steps["train"], {"event": "warning", "text": "no CUDA GPU here"})
    console.finished(
        steps["train"],
        receipt(steps["train"], examples=12, steps=3, tokens_per_s=None, first_loss=2.5),
    )
    console.skipped(steps["merge"])  # left out by --only
    console.started(steps["export"], 2, 2)
    console.stopped(steps["export"])


def test_plain_lines(steps: dict[str, Step], capsys: pytest.CaptureFixture[str]) -> None:
    play(PlainConsole(), steps)
    out, err = capsys.readouterr()
    assert out == ""  # stdout is for --json
    assert err.splitlines() == [
        "  base       done before (abcdef123456)",
        "  train      [1/2] tune an adapter on the recipe's examples",
        "  train      warning: no CUDA GPU here",
        "  train      done in 1 min 20 s, 1,234 MB; examples 12, steps 3, first loss 2.5",
        "  export     [2/2] export to quantized ONNX, open it, compare it with torch",
    ]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The console's clock, which stands still unless a test moves it: `now`, in seconds."""
    clock = SimpleNamespace(now=1000.0)
    time = SimpleNamespace(monotonic=lambda: clock.now)
    monkeypatch.setattr("fieldpack_build.console.time", time)
    return clock


def test_where_a_long_stage_is(
    steps: dict[str, Step], capsys: pytest.CaptureFixture[str], clock: SimpleNamespace
) -> None:
    console = PlainConsole()
    console.started(steps["train"], 1, 1)
    for done, seconds in ((0, 25.0), (25, 25.0), (26, 5.0)):  # the last too soon for a line
        clock.now += seconds
        console.event(
            steps["train"],
            {"event": "progress", "done": done, "total": 75, "note": "steps, loss 0.5"},
        )
    assert capsys.readouterr().err.splitlines()[1:] == [
        "  train      0/75 steps, loss 0.5",
        "  train      25/75 steps, loss 0.5, about 1 min 40 s left",
    ]


def test_the_time_left_is_that_of_what_is_counted(
    steps: dict[str, Step], capsys: pytest.CaptureFixture[str], clock: SimpleNamespace
) -> None:
    """An export that has rounded its one precision has not 0.0 s left, and what it counts then
    takes its own time."""
    console = PlainConsole()
    console.started(steps["export"], 1, 1)
    for done, total, note in (
        (1, 1, "precisions rounded"),
        (10, 30, "layers calibrated"),
        (20, 30, "layers calibrated"),
    ):
        clock.now += 50.0
        console.event(
            steps["export"], {"event": "progress", "done": done, "total": total, "note": note}
        )
    assert capsys.readouterr().err.splitlines()[1:] == [
        "  export     1/1 precisions rounded",
        "  export     10/30 layers calibrated",
        "  export     20/30 layers calibrated, about 25.0 s left",
    ]


def test_the_bar_says_no_less(steps: dict[str, Step], capsys: pytest.CaptureFixture[str]) -> None:
    play(BarConsole(), steps)
    err = capsys.readouterr().err
    for line in (
        "[1/2] tune an adapter",
        "warning: no CUDA GPU here",
        "done in 1 min 20 s",
        "[2/2] export to",
    ):
        assert line in err


def test_a_narrow_terminal_cuts_what_a_stage_is_at_and_not_the_time_left(
    steps: dict[str, Step], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich's word for: as on a terminal
    console = BarConsole()
    console.started(steps["export"], 1, 1)
    at: ProgressEvent = {
        "event": "progress",
        "done": 406.0,
        "total": 1_000.0,
        "count": "0/3",
        "note": "documents; page 812 of 2,000 of a-handbook-with-a-long-name.pdf",
        "left": 83.0,
    }
    console.event(steps["export"], at)
    console._progress.refresh()
    console.stopped(steps["export"])
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert "0/3 documents; page 812 of 2,000" in shown and "left 0:01:23" in shown


def test_a_pipe_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert type(make_console()) is PlainConsole


def test_an_evaluation_in_a_line(steps: dict[str, Step]) -> None:
    arm = {
        "f1": 0.4321,
        "value_match": 0.5,
        "refused_right": None,
        "refused_wrong": 0.0,
        "citations_valid": 1.0,
    }
    result = {"shipped": "tuned", "arms": {"tuned": arm}}
    assert summary("evaluate", result) == (
        "F1 0.4321, right value 0.5, refused wrong 0.0, citations valid 1.0"
    )


def test_a_fit_of_quotes_in_a_line() -> None:
    """Where there were rows enough to fit on, and where there were not."""
    rates = {"refused_right": 0.4, "refused_wrong": 0.1, "separation": 0.7, "refuse_below": None}
    fit = {"rows": 366, "fitted": True, "f1_plain": 0.47, "f1_fitted": 0.5, **rates}
    assert summary("quoting", fit) == (
        "rows 366, f1 plain 0.47, f1 fitted 0.5, refused right 0.4, refused wrong 0.1, "
        "weights fitted"
    )
    few = {"rows": 12, "answerable": 9, "fitted": False, **rates}
    assert summary("quoting", few) == (
        "rows 12, refused right 0.4, refused wrong 0.1, weights plain"
    )
    assert summary("quoting", {**few, "made_up": True, "refuse_below": 0.4}) == (
        "rows 12, refused right 0.4, refused wrong 0.1, weights plain, threshold 0.4, "
        "held against made-up questions, as there are no training rows"
    )
    assert "threshold none" in summary("quoting", {**few, "made_up": True})


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, "0.0 s"),
        (8.21, "8.2 s"),
        (59.9, "59.9 s"),
        (59.97, "1 min 00 s"),
        (60.0, "1 min 00 s"),
        (200.4, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (7500.0, "2 h 05 min"),
        (360_000.0, "100 h 00 min"),
    ],
)
def test_durations(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected
