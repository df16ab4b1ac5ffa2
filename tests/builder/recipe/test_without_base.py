"""A recipe that names no language model: quotes alone, and what it must not ask for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fieldpack_build.evaluation.arms import arms_of, fixed_arm, has_model
from fieldpack_build.recipe.schema import Recipe


def recipe(**more: Any) -> Recipe:
    written = {
        "name": "a",
        "version": "1.0.0",
        "knowledge": {"documents": "docs", "embedder": {"model": "./embedder"}},
        "answer": {},
    }
    return Recipe.model_validate({**written, **more})


def test_it_quotes_and_builds_no_model() -> None:
    bare = recipe()
    assert (bare.whole_arm, fixed_arm(bare), has_model(bare)) == ("quote", "quote", False)
    asked = recipe(evaluate={"questions": "q.jsonl"})
    assert arms_of(asked) == ["quote"] and not has_model(asked)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"train": {"method": "lora", "data": "t.jsonl"}}, "train.method: needs a language model"),
        ({"device": {"ram_mb": 512}}, "device: needs a language model; name one under `base`"),
        ({"targets": ["openvino"]}, "targets: needs a language model"),
        (
            {"evaluate": {"questions": "q.jsonl", "gates": ["f1 >= rag.f1"]}},
            "this recipe has no arm rag; take the gate out, or give the recipe",
        ),
        ({"evaluate": {"questions": "q.jsonl", "ship": "rag"}}, "this recipe has no arm rag"),
        ({"base": {"model": "./model"}}, "answer.system: missing"),
        ({"knowledge": None}, "nothing to do: neither knowledge.documents nor train.method"),
    ],
)
def test_what_needs_a_model_says_so(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        recipe(**more)
    assert said in str(caught.value)
