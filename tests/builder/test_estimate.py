"""What a build is said to need before it runs: for the stages that are still to be run."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from fieldpack_build import estimate
from fieldpack_build.errors import MachineError
from fieldpack_build.pipeline.plan import Plan
from fieldpack_build.pipeline.store import Receipt, Store
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.stages.table import make_plan

RECIPE = f"""\
name: large
version: 1.0.0
base: {{model: "hub:somebody/model-7B", revision: {"a" * 40}}}
knowledge: {{documents: documents, embedder: {{model: "hub:somebody/embedder", revision: {"b" * 40}}}}}
answer: {{system: Answer from the passages., refuse_below: auto}}
train: {{method: lora, data: [rows.jsonl]}}
evaluate: {{questions: questions.jsonl}}
"""


def plan_of(folder: Path, *overrides: str) -> Plan:
    (folder / "documents").mkdir(exist_ok=True)
    (folder / "documents" / "a.md").write_text("# A\n\nText.")
    for name in ("rows.jsonl", "questions.jsonl"):
        (folder / name).write_text('{"question": "q", "answer": "a"}\n')
    (folder / "large.yaml").write_text(RECIPE)
    return make_plan(load_recipe(folder / "large.yaml", overrides), Store(folder / "cache"))


def done_but(plan: Plan, *names: str) -> Plan:
    """Return the plan as it is when all stages but these have a receipt."""
    steps = [
        step
        if step.name in names
        else dataclasses.replace(
            step, receipt=Receipt(step.name, "large", step.key, {}, {}, {}, 1.0, 100.0)
        )
        for step in plan.steps
    ]
    return dataclasses.replace(plan, steps=tuple(steps))


def test_disk_is_asked_for_what_is_still_to_be_done(tmp_path: Path) -> None:
    """With only `package` to do it asked for the space of a whole build."""
    plan = plan_of(tmp_path)
    whole = estimate.forecast(plan)
    assert whole.disk_mb == round(sum(stage.disk_mb for stage in whole.stages))
    assert whole.disk_mb > 10 * 7e9 / 1e6  # base and merged model in float32, and more
    last = estimate.forecast(done_but(plan, "package"))
    assert {stage.stage: stage.disk_mb for stage in last.stages if stage.disk_mb} == {
        "package": pytest.approx(2 * whole.bundle_mb, rel=0.01)
    }
    assert estimate.forecast(done_but(plan)).disk_mb == 0


def test_a_disk_that_takes_the_rest_is_enough(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "base.model=hub:somebody/model-900000000M")
    free = shutil.disk_usage(tmp_path).free / 1e6
    assert estimate.forecast(plan).disk_mb > free
    with pytest.raises(MachineError, match=r"what this build has still to do needs about [\d,]+;"):
        estimate.check_machine(plan)
    estimate.check_machine(done_but(plan, "quoting", "calibrate"))


def test_stages_that_open_no_language_model_do_not_take_its_memory(tmp_path: Path) -> None:
    small, large = (
        {
            one.stage: one
            for one in estimate.forecast(plan_of(tmp_path, f"base.model={model}")).stages
        }
        for model in ("hub:somebody/model-135M", "hub:somebody/model-7B")
    )
    without = {"calibrate", "quoting", "embedder", "knowledge", "package"}
    assert without <= small.keys()
    for name in without:
        assert large[name].memory_mb == small[name].memory_mb <= 1000
    assert large["quoting"].seconds == small["quoting"].seconds
    assert all(large[name].memory_mb > small[name].memory_mb for name in small.keys() - without)
