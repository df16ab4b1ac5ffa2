"""Gates read as written, teach when they do not, and are held against figures, other arms and
intervals."""

from __future__ import annotations

from typing import Any

import pytest

from fieldpack_build.evaluation.bootstrap import PairedBootstrap
from fieldpack_build.evaluation.gates import check_gates
from fieldpack_build.evaluation.report_file import QuestionRow
from fieldpack_build.recipe.gates import Gate, parse_gate


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
