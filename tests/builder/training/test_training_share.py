"""Questions that share a prompt's passages learn what they would learn apart, and read nothing of
each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import fakes
from fieldpack_build.data.prompts import IGNORED, Tokenized
from fieldpack_build.errors import CheckFailed, RecipeError
from fieldpack_build.models import causal_lm
from fieldpack_build.training.dataset import (
    Collator,
    SequenceDataset,
    attention_mask,
    concatenate,
    share_prompt,
)
from fieldpack_build.training.isolation import prove_rows_isolated, refuse_windowed_sharing
from fieldpack_build.training.loss import answer_loss

PASSAGES = [5, 9, 3, 7, 7, 2]


def row(
    question: list[int], answer: list[int], *, group: int | None = 1, passages: list[int] = PASSAGES
) -> Tokenized:
    prompt = passages + question
    return Tokenized(prompt + answer, [IGNORED] * len(prompt) + answer, group=group)


ROWS = [row([11, 12], [21, 22, 23]), row([13], [24]), row([11, 14, 15], [25, 26])]


def test_what_rows_begin_with_stands_there_once() -> None:
    one = share_prompt(ROWS)
    assert one["input_ids"] == [*PASSAGES, 11, 12, 21, 22, 23, 13, 24, 11, 14, 15, 25, 26]
    assert one["position_ids"] == [*range(6), 6, 7, 8, 9, 10, 6, 7, 6, 7, 8, 9, 10]
    assert one["segments"] == [0] * 6 + [1] * 5 + [2] * 2 + [3] * 5
    assert [label for label in one["labels"] if label != IGNORED] == [21, 22, 23, 24, 25, 26]


_TOKENS = st.integers(1, 3)
PARTS = st.lists(
    st.tuples(st.lists(_TOKENS, max_size=4), st.lists(_TOKENS, min_size=1, max_size=3)), min_size=2
)


@given(PARTS)
def test_every_row_is_there_whole_and_keeps_the_end_of_its_prompt(
    parts: list[tuple[list[int], list[int]]],
) -> None:
    rows = [row(question, answer) for question, answer in parts]
    one = share_prompt(rows)
    for number, source in enumerate(rows, 1):
        mine = [at for at, segment in enumerate(one["segments"]) if segment in (0, number)]
        assert [one["input_ids"][at] for at in mine] == source.ids
        assert [one["position_ids"][at] for at in mine] == list(range(len(source.ids)))
        own = [at for at in mine if one["segments"][at] == number]
        assert [one["labels"][at] for at in own] == source.labels[-len(own) :]
        assert one["labels"][own[0]] == IGNORED


def test_rows_of_a_group_are_one_item_and_others_their_own() -> None:
    rows = SequenceDataset.with_shared_prompts(
        [ROWS[0], row([1], [2], group=None), ROWS[1], row([1], [2], group=9)]
    )
    assert rows.lengths == [13, 8, 8]
    assert sum(supervised for _, supervised in rows.sizes) == 6


def test_a_token_sees_what_is_shared_and_its_own_row() -> None:
    visible = attention_mask(torch.tensor([[0, 1, 1, 1, 1]]), [[0, 1, 2, 2]])[0, 0]
    assert visible.int().tolist() == [
        [1, 0, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 1, 0, 1, 0],
        [0, 1, 0, 1, 1],
    ]


@pytest.mark.parametrize("architecture", ["llama", "phi3", "qwen2", "qwen3", "gemma", "gemma2"])
def test_loss_and_gradients_are_those_of_the_rows_apart(tmp_path: Path, architecture: str) -> None:
    """Padded, too: a longer row of one question stands beside them in the batch."""
    model = causal_lm.load_model(
        fakes.write_tiny_model(tmp_path / "m", architecture), dtype=torch.float32
    )
    alone = row([8] * 14, [31, 32], group=None)
    together = _learned(model, [share_prompt(ROWS), concatenate([alone])])
    apart = _learned(model, [concatenate([one]) for one in [*ROWS, alone]])
    assert together[0] == pytest.approx(apart[0], rel=1e-5)
    for one, other in zip(together[1], apart[1], strict=True):
        assert torch.allclose(one, other, atol=1e-6 + 1e-4 * float(other.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_model_that_reads_across_rows_is_refused(tmp_path: Path, dtype: Any) -> None:
    """In every dtype: what rounding explains is measured with the model at hand."""
    model = causal_lm.load_model(fakes.write_tiny_model(tmp_path / "m", "llama"), dtype=dtype)
    prove_rows_isolated(model, ROWS, 0, packed=False)

    class Blind(torch.nn.Module):
        """Sees every token before, whatever the mask says."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, attention_mask: Any = None, **inputs: Any) -> Any:
            return self.model(**inputs)

    with pytest.raises(
        CheckFailed, match=r"train\.questions_per_prompt: this model reads across rows"
    ):
        prove_rows_isolated(Blind(), ROWS, 0, packed=False)


def test_a_window_that_a_row_outgrows_is_refused(tmp_path: Path) -> None:
    config = causal_lm.load_model(fakes.write_tiny_model(tmp_path / "m", "gemma2")).config
    fits = row([8] * (config.sliding_window - len(PASSAGES) - 1), [31])
    refuse_windowed_sharing(config, [fits])
    refuse_windowed_sharing(config, [row([8] * config.sliding_window, [31], group=None)])
    with pytest.raises(
        RecipeError,
        match=rf"last {config.sliding_window} tokens and a row has {config.sliding_window + 1}",
    ):
        refuse_windowed_sharing(config, [row([8] * (config.sliding_window - len(PASSAGES)), [31])])


def _learned(model: Any, items: list[Any]) -> tuple[float, list[torch.Tensor]]:
    model.zero_grad()
    loss = answer_loss(model, Collator(0)(items))
    loss.backward()
    return float(loss.detach()), [p.grad.clone() for p in model.parameters() if p.grad is not None]
