"""Each step's model is asked through the same runtime: what torch says agrees with the exports, and
a kill loses nothing."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from fieldpack_build.evaluation.attribution import attribute, steps_of
from fieldpack_build.evaluation.report_file import QuestionRow
from fieldpack_build.pipeline.task import Task
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.report.charts.waterfall import attribution_paths
from fieldpack_build.stages import attribute as stage
from toys import Project

pytest_plugins = ["toys"]


def test_steps_are_compared_in_their_order() -> None:
    chance = random.Random(0)
    gains = {"base": 0.1, "tuned": 0.5, "merged": 0.5, "exported": 0.5, "quantized": 0.4}
    rows = [
        QuestionRow.model_validate(
            {
                "expected": "x",
                "arms": {
                    step: {"f1": gain + noise, "refused": False} for step, gain in gains.items()
                },
            }
        )
        for noise in (chance.random() / 4 for _ in range(30))
    ]
    found = attribute(rows, steps_of(tuned=True), retrieval=False)
    moves = {step: move["f1"] for step, move in found.without_retrieval.moves.items()}
    assert moves["tuned"].value == pytest.approx(0.4) and moves["tuned"].low > 0.3
    assert moves["merged"].low == moves["merged"].high == 0 and moves["quantized"].high < 0
    chart = attribution_paths(found)[0].chart
    assert chart and [step.tone for step in chart.steps] == [
        "whole",
        "good",
        "noise",
        "noise",
        "bad",
        "whole",
    ]


def test_every_model_is_asked_and_an_interrupted_run_goes_on(
    toy: Project, built: dict[str, Any], tmp_path: Path
) -> None:
    recipe = load_recipe(toy.recipe, ["evaluate.attribution={questions: 3}"])
    names = ("base", "embedder", "knowledge", "train", "merge", "export")
    inputs = {name: toy.store.folder(name, built["keys"][name]) for name in names}
    said: list[dict[str, Any]] = []
    task = Task(recipe, inputs, tmp_path / "out", toy.store, send=said.append)
    task.out.mkdir()
    assert stage.run(task) == {
        "questions": 3,
        "steps": ["base", "tuned", "merged", "exported", "quantized"],
    }
    found = json.loads((task.out / stage.RESULT).read_text(encoding="utf-8"))
    for path in ("with_retrieval", "without_retrieval"):
        perplexity = {
            step: figures["perplexity"] for step, figures in found[path]["figures"].items()
        }
        assert perplexity["tuned"] == pytest.approx(perplexity["merged"], rel=1e-3)
        assert perplexity["exported"] == pytest.approx(perplexity["merged"], rel=1e-3), (
            "torch and the runtime read one prompt"
        )
        assert perplexity["base"] != pytest.approx(perplexity["tuned"], rel=2e-3)
    answers = {
        path.stem: path.read_text(encoding="utf-8").splitlines()
        for path in (task.out / stage.ANSWERS).iterdir()
    }
    assert len(answers) == 10 and {len(lines) for lines in answers.values()} == {3}
    texts = {arm: [json.loads(line)["answer"] for line in lines] for arm, lines in answers.items()}
    assert texts["merged+rag"] == texts["tuned+rag"] == texts["exported+rag"] != texts["base+rag"]
    assert not (task.out / "staged").exists() and not (task.out / "full").exists()

    cut = task.out / stage.ANSWERS / "quantized+rag.jsonl"
    cut.write_text(
        answers["quantized+rag"][0] + "\n" + answers["quantized+rag"][1][:20], encoding="utf-8"
    )
    said.clear()
    stage.run(task)
    assert [event["note"] for event in said if event["event"] == "progress"] == [
        "questions asked (quantized+rag)"
    ] * 2
    again = [json.loads(line)["answer"] for line in cut.read_text(encoding="utf-8").splitlines()]
    assert again == texts["quantized+rag"]
