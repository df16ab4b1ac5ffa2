"""Gates read as written, teach when they do not, and are held against figures, other arms and
intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fieldpack_build.evaluation.bootstrap import PairedBootstrap
from fieldpack_build.evaluation.gates import check_gates
from fieldpack_build.evaluation.report_file import QuestionRow
from fieldpack_build.recipe.gates import Gate, parse_gate
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.recipe.scaffold import write_scaffold


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("f1 >= rag.f1 + 0.1", Gate("", None, "f1", ">=", 0.1, "rag", "f1")),
        ("f1>=rag.f1-0.05", Gate("", None, "f1", ">=", -0.05, "rag", "f1")),
        ("f1 >= 1.5 * rag.f1", Gate("", None, "f1", ">=", 0.0, "rag", "f1", 1.5)),
        (
            "tuned.first_token_ms <= 2 * tuned+rag.total_ms + 10",
            Gate("", "tuned", "first_token_ms", "<=", 10.0, "tuned+rag", "total_ms", 2.0),
        ),
        (
            "surely tuned+rag.refused_right >= rag.refused_right + 0.3",
            Gate("", "tuned+rag", "refused_right", ">=", 0.3, "rag", "refused_right", 1.0, True),
        ),
        ("surely f1 >= 0.4", Gate("", None, "f1", ">=", 0.4, sure=True)),
    ],
)
def test_a_gate_against_another_arm(text: str, gate: Gate) -> None:
    found = parse_gate(text)
    assert found == Gate(text, *(getattr(gate, name) for name in Gate.__slots__[1:]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f1 > 0.4", "write `metric >= number`"),
        ("f1 >= 40%", "shares go from 0 to 1; write 0.4"),
        ("f1 >= rgg.f1", r"unknown arm rgg; one of quote, base, rag, tuned, tuned\+rag"),
        ("f1 >= rag.value_mach", r"unknown metric value_mach \(did you mean value_match\?\)"),
        ("zzz >= 1", "unknown metric zzz; one of f1, exact_match"),
        ("f1 >= rag.f1 * 1.5", "'rag.f1 \\* 1.5' is neither a number nor a figure of an arm"),
        ("possibly mrr >= 0.5", "mrr has no interval; leave `possibly` away"),
        ("surely mrr >= 0.5", "mrr has no interval; leave `surely` away"),
        ("f1 >=", "write `metric >= number`"),
    ],
)
def test_a_gate_that_does_not_read(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_gate(text)


def rows(*f1: tuple[float, float]) -> list[QuestionRow]:
    return [
        QuestionRow.model_validate(
            {
                "expected": "x",
                "arms": {
                    "rag": {"refused": False, "f1": rag},
                    "tuned+rag": {"refused": False, "f1": both},
                },
            }
        )
        for rag, both in f1
    ]


def held(text: str, *pairs: tuple[float, float]) -> dict[str, Any]:
    asked = rows(*pairs)
    arms = {
        arm: {"f1": sum(row.arms[arm].f1 or 0.0 for row in asked) / len(asked)}
        for arm in ("rag", "tuned+rag")
    }
    bootstrap = PairedBootstrap(asked, ("rag", "tuned+rag"), resamples=500)
    (result,) = check_gates(
        [text], shipped="tuned+rag", arms=arms, retrieval={"mrr": 0.7}, bootstrap=bootstrap
    )
    return result.to_dict()


def test_a_gate_is_held_against_what_was_measured() -> None:
    pairs = [(0.2, 0.5), (0.4, 0.7), (0.3, 0.6)]
    assert held("f1 >= rag.f1 + 0.3", *pairs)["passed"], (
        "0.3 + 0.3 is 0.6, whatever floating point says"
    )
    missed = held("f1 >= rag.f1 + 0.31", *pairs)
    assert not missed["passed"] and missed["wanted"] == pytest.approx(0.61)
    assert (
        held("f1 >= 2 * rag.f1", *pairs)["passed"]
        and not held("f1 >= 2.1 * rag.f1", *pairs)["passed"]
    )
    assert held("mrr >= 0.7", *pairs)["passed"]
    assert held("tuned.f1 >= 0", *pairs) == {
        "gate": "tuned.f1 >= 0",
        "measured": None,
        "wanted": 0.0,
        "passed": False,
    }


def test_surely_asks_for_the_whole_interval() -> None:
    noisy = [(0.0, 1.0), (1.0, 0.0)] * 5 + [(0.0, 1.0)]
    assert held("f1 >= rag.f1", *noisy)["passed"]
    unsure = held("surely f1 >= rag.f1", *noisy)
    assert not unsure["passed"] and unsure["low"] < 0 < unsure["high"]
    assert held("surely f1 >= rag.f1 + 0.2", *[(0.2, 0.5), (0.1, 0.6)] * 10)["passed"]
    assert not held("surely f1 >= 3.5 * rag.f1", *[(0.2, 0.5), (0.1, 0.6)] * 10)["passed"]


def shares(hits_of: tuple[int, int], *, text: str) -> dict[str, Any]:
    """A gate on the share of answerable questions that are refused."""
    hits, of = hits_of
    asked = [
        QuestionRow.model_validate({"expected": "x", "arms": {"rag": {"refused": n < hits}}})
        for n in range(of)
    ]
    (result,) = check_gates(
        [text],
        shipped="rag",
        arms={"rag": {"refused_wrong": hits / of}},
        retrieval=None,
        bootstrap=PairedBootstrap(asked, ("rag",)),
    )
    return result.to_dict()


def test_possibly_is_missed_only_by_more_than_noise() -> None:
    """One or two wrong refusals of five do not say that more than 15 of 100 are wrong."""
    gate = "possibly refused_wrong <= 0.15"
    assert not shares((1, 5), text="refused_wrong <= 0.15")["passed"]
    assert shares((1, 5), text=gate)["passed"] and shares((2, 5), text=gate)["passed"]
    missed = shares((5, 5), text=gate)
    assert not missed["passed"] and missed["low"] > 0
    assert not shares((30, 100), text=gate)["passed"] and shares((10, 100), text=gate)["passed"]
    assert shares((0, 5), text=gate) == {
        "gate": gate,
        "measured": 0.0,
        "wanted": 0.15,
        "passed": True,
    }


def test_the_gates_of_a_new_recipe_stop_an_expert_that_is_of_no_use(tmp_path: Path) -> None:
    """One that answers where the documents say nothing, is wrong, or answers nothing does not
    ship."""

    def missed(recipe: str, **figures: float) -> list[str]:
        gates = load_recipe(tmp_path / recipe).evaluate.gates  # type: ignore[union-attr]
        asked = [
            QuestionRow.model_validate(
                {"expected": "x", "arms": {"quote": {"refused": n < 13 * figures["refused_wrong"]}}}
            )
            for n in range(13)
        ]
        measured = {"citations_valid": 1.0, "f1": 0.4, **figures}
        results = check_gates(
            gates,
            shipped="quote",
            arms={"quote": measured, "rag": {"f1": 0.3}},
            retrieval={"recall_at_5": 1.0},
            bootstrap=PairedBootstrap(asked, ("quote",)),
        )
        return [one.gate for one in results if not one.passed]

    write_scaffold("ward", tmp_path, quotes=True)
    write_scaffold("clinic", tmp_path)
    for recipe in ("ward.yaml", "clinic.yaml"):
        good = {"value_match": 0.8, "refused_right": 0.8, "refused_wrong": 0.1}
        assert missed(recipe, **good) == []
        assert missed(recipe, **{**good, "refused_right": 2 / 7}) == ["refused_right >= 0.5"]
        assert missed(recipe, **{**good, "value_match": 0.3}) == ["value_match >= 0.5"]
        assert missed(recipe, value_match=0.0, refused_right=1.0, refused_wrong=1.0) == [
            "value_match >= 0.5",
            "possibly refused_wrong <= 0.15",
        ]
