"""The refusal thresholds: where the line is drawn, that no measured question draws it, and that the
device obeys it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

import fakes
import fieldpack
from fieldpack.retrieval.retriever import similarity_margin
from fieldpack_build.data import TestQuestion
from fieldpack_build.evaluation.calibration import (
    Signals,
    curve,
    describe,
    learn,
    refused,
    separation,
)
from fieldpack_build.evaluation.question_split import (
    calibration_part,
    measured_part,
    sampled_part,
)
from fieldpack_build.recipe.load import load_recipe

RECIPE = """\
name: tiny
version: 1.0.0
base: {model: ./model}
knowledge: {documents: documents, embedder: {model: ./embedder}}
train: {method: lora, data: t.jsonl}
answer: {system: Answer., refuse_below: auto}
evaluate: {questions: q.jsonl}
"""


def signals(yes: list[float], no: list[float]) -> list[Signals]:
    return [Signals(True, 0.5 + x, x) for x in yes] + [Signals(False, 0.4 + x, x) for x in no]


def test_the_line_refuses_most_at_an_allowed_cost() -> None:
    some = signals(
        [0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99], [0.05, 0.15, 0.2, 0.35, 0.36]
    )
    strict, lax = learn(some, max_wrong=0.1), learn(some, max_wrong=0.2)
    assert strict.lead == pytest.approx(0.25), (
        "0.38 refuses all five, but 2 of 10 answerable ones too"
    )
    assert lax.lead == pytest.approx(0.38)
    facts = describe(some, strict)
    assert (facts.refused_right, facts.refused_wrong) == (0.6, 0.1)
    assert learn(some, max_wrong=0.0).lead == pytest.approx(0.075)
    assert strict.cosine == pytest.approx(0.58), "just below the farthest answerable question"
    assert refused(Signals(True, 0.5, 0.9), strict) and not refused(
        Signals(False, 0.6, 0.26), strict
    )


def test_no_line_where_there_is_nothing_to_tell() -> None:
    assert learn(signals([0.1, 0.2, 0.3], [0.5, 0.6]), max_wrong=0.5).lead is None


def test_the_curve_goes_from_nothing_to_everything() -> None:
    points = curve(signals([0.3, 0.5], [0.1, 0.3]), "lead")
    assert points[0][1:] == (0.0, 0.0) and points[-1][1:] == (1.0, 1.0)
    assert [p[1] for p in points] == sorted(p[1] for p in points)
    assert separation([0.2, 0.5, 0.9], [0.1, 0.3]) == pytest.approx(5 / 6)


def test_a_lead_is_what_the_closest_has_over_the_rest() -> None:
    assert similarity_margin([0.5] * 20) == 0 and similarity_margin(
        [0.4] * 19 + [0.9]
    ) == pytest.approx(0.5)
    assert similarity_margin([0.9, 0.8, 0.1]) == pytest.approx(0.45), (
        "of a small library the others"
    )
    assert similarity_margin([0.9]) == similarity_margin([]) == 2.0


def test_what_is_set_aside_is_never_measured(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    recipe = load_recipe(tmp_path / "r.yaml")
    every = [
        TestQuestion(f"What of {n}?", None if n % 4 == 0 else "this", None, None, n)
        for n in range(1, 101)
    ]
    aside, measured = calibration_part(recipe, every), measured_part(recipe, every)
    assert len(aside) == 30 and sum(q.answer is None for q in aside) in (7, 8)
    assert sorted(q.line for q in (*aside, *measured)) == list(range(1, 101))
    assert not {q.line for q in sampled_part(recipe, every, 40)} & {q.line for q in aside}
    shuffled = random.Random(0).sample(every, 100)
    assert calibration_part(recipe, shuffled) == aside, "the order of the file says nothing"
    more = [*every, TestQuestion("Another?", "yes", None, None, 101)]
    assert len({q.line for q in calibration_part(recipe, more)} ^ {q.line for q in aside}) <= 2
    from_rows = load_recipe(tmp_path / "r.yaml", ["evaluate.calibration=train"])
    assert calibration_part(from_rows, every) == [] and measured_part(from_rows, every) == every


def test_the_device_refuses_below_the_lead(exported_llama: Path, tmp_path: Path) -> None:
    question = "What does the A class of the Global Equity Fund cost a year?"
    for name, lead in (("low", 0.0), ("high", 1.9)):
        settings = replace(fakes.SETTINGS, refuse_below=-1.0, refuse_lead_below=lead)
        folder = fakes.write_bundle(tmp_path / name, model=exported_llama, settings=settings)
        with fieldpack.open(folder, threads=1) as expert:
            answer = expert.ask(question)
        assert answer.refused == (name == "high") and (answer.timings.tokens == 0) == answer.refused


def test_a_bundle_without_a_lead_is_what_it_was(exported_llama: Path, tmp_path: Path) -> None:
    folder = fakes.write_bundle(tmp_path / "plain", model=exported_llama)
    assert "refuse_lead_below" not in (folder / "prompt.json").read_text(encoding="utf-8")
