"""A training is told how many held-out questions its model refuses, and keeps an adapter that
refuses few enough."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import training
from fieldpack_build.data.prompts import IGNORED, Tokenized
from fieldpack_build.models import causal_lm
from fieldpack_build.training.dataset import Collator, SequenceDataset
from fieldpack_build.training.refusals import count_refused, limit_refusals, refusal_rows

LENGTH = 3


def _row(prompt: list[int], answer: list[int], group: int | None = None) -> Tokenized:
    return Tokenized(prompt + answer, [IGNORED] * len(prompt) + answer, group=group)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.write_home(tmp_path_factory.mktemp("refusals"))


@pytest.mark.parametrize("shared", [False, True], ids=["apart", "shared prompt"])
def test_a_refusal_is_counted_where_the_model_would_write_it(home: Path, shared: bool) -> None:
    """The yardstick is the model's own greedy decoding, over prompts of which one is sure to be
    answered with the refusal: the refusal is what the model writes behind it."""
    model = causal_lm.load_model(home / "base" / "model", dtype=torch.float32).eval()
    passages = [5, 9, 3, 7, 7, 2] if shared else []
    prompts = [[*passages, *range(10 + n, 16 + n)] for n in range(6)]

    def written(prompt: list[int]) -> list[int]:
        with torch.no_grad():
            ids = model.generate(
                torch.tensor([prompt]),
                max_new_tokens=LENGTH,
                min_new_tokens=LENGTH,
                do_sample=False,
            )
        return list(ids[0, len(prompt) :].tolist())

    refusal = written(prompts[0])
    group = 1 if shared else None
    rows = [_row(prompt, [40, 41], group) for prompt in prompts] + [_row(prompts[0], refusal)]
    parts = refusal_rows(rows, refusal)
    assert len(parts.answerable) == len(prompts) and len(parts.unanswerable) == 1

    def counted(asked: list[Tokenized]) -> list[float]:
        sequences = SequenceDataset.with_shared_prompts(asked)
        batch = Collator(0)([sequences[at] for at in range(len(sequences))])
        counts: list[float] = count_refused(model, [batch], LENGTH).tolist()
        return counts

    wrong = sum(written(prompt) == refusal for prompt in prompts)
    assert 0 < wrong < len(prompts)
    assert counted(parts.answerable) == [wrong, len(prompts)]
    assert counted(parts.unanswerable) == [1, 1]


def test_without_a_refusal_nothing_is_asked() -> None:
    parts = refusal_rows([_row([1, 2], [3])], ())
    assert not parts.answerable and not parts.unanswerable


@given(st.lists(st.booleans(), max_size=40), st.floats(0, 1), st.integers(0, 5))
def test_rows_that_refuse_are_left_out_down_to_a_share(
    refusing: list[bool], share: float, seed: int
) -> None:
    rows = [_row([5, n], [7, 8, 0] if yes else [n]) for n, yes in enumerate(refusing)]
    kept = limit_refusals(rows, (7, 8), share, seed=seed)
    left = sum(row.ids[2:] == [7, 8, 0] for row in kept)
    assert [row for row in rows if row in kept] == kept  # in their order
    assert [row for row in rows if row.ids[2:] != [7, 8, 0]] == [
        row for row in kept if row.ids[2:] != [7, 8, 0]
    ]
    assert left <= share * len(kept) + 1e-9 or share == 1
    # no more than need be
    assert left == sum(refusing) or left + 1 > share * (len(kept) + 1) - 1e-9


def _rows_that_refuse(home: Path) -> None:
    """Most rows refuse, so that a short training learns to refuse whatever is asked."""
    rows: list[dict[str, Any]] = [
        {
            "question": f"What is item {n} called?",
            "answer": f"item{n}" if n % 4 == 0 else None,
            "document": f"{n}.md",
        }
        for n in range(32)
    ]
    training.write_rows(home, rows)


def test_a_checkpoint_that_refuses_too_much_is_passed_over(tmp_path: Path) -> None:
    """The least loss on held-out rows of which most refuse is a model's that refuses everything;
    the limit keeps an earlier one."""
    home = training.write_home(tmp_path / "home")
    _rows_that_refuse(home)
    settings = {
        "validation": 0.5,
        "evaluate_steps": 2,
        "epochs": 20,
        "learning_rate": 0.01,
        "rank": 32,
        "alpha": 64,
    }
    free = training.run(home, tmp_path / "free", **settings, max_wrong_refusals=1)
    log = training.log(tmp_path / "free")["validation"]
    refused = {entry["step"]: entry["wrong_refusals"] for entry in log}
    assert free["held_out_wrong_refusals"] == refused[free["kept_step"]] > 0.5
    assert all(0 <= entry["right_refusals"] <= 1 for entry in log)

    limited = training.run(home, tmp_path / "limited", **settings, max_wrong_refusals=0.15)
    assert limited["held_out_wrong_refusals"] <= 0.15
    assert limited["held_out_loss"] >= free["held_out_loss"]
    best = min(
        (entry for entry in log if entry["wrong_refusals"] <= 0.15), key=lambda one: one["loss"]
    )
    assert limited["kept_step"] == best["step"]


def test_where_every_checkpoint_refuses_too_much_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a toy learned on this CPU: every held-out question counts as refused."""
    from fieldpack_build.stages import train
    from fieldpack_build.training import trainer

    home = training.write_home(tmp_path / "home")
    _rows_that_refuse(home)
    monkeypatch.setattr(
        trainer, "count_refused", lambda *_: torch.tensor([1, 1], dtype=torch.float64)
    )
    task = training.task_of(home, tmp_path / "out", validation=0.5, evaluate_steps=4, epochs=1)
    train.run(task)
    entries = json.loads((tmp_path / "out" / "log.json").read_text())["validation"]
    assert entries and all(entry["wrong_refusals"] == 1 for entry in entries)
    assert any("train.max_wrong_refusals" in warning for warning in task.warnings)
