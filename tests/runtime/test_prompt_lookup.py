"""Drafts come from the longest match; their length from what steps cost and how often drafts were
right."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fieldpack.generation.prompt_lookup import MAX_DRAFT, DraftLengthController, NgramIndex


def test_the_longest_match_that_was_last_tells_what_comes_next() -> None:
    ngrams = NgramIndex([1, 2, 3, 4, 9, 2, 3, 5, 1, 2, 3])
    assert ngrams.find() == (3, 3)  # behind 1 2 3
    assert ngrams.draft(3, 3) == [4, 9, 2]
    ngrams.add(7)
    assert ngrams.find() == (0, 0)  # 7 is new
    ngrams.add(2)
    ngrams.add(3)
    assert ngrams.find() == (2, 11) and ngrams.draft(11, 8) == [
        7,
        2,
        3,
    ]  # the last 2 3, and no further than the text


@given(st.lists(st.integers(0, 5), max_size=60))
def test_a_draft_is_what_stood_behind_an_equal_end(ids: list[int]) -> None:
    order, at = NgramIndex(ids).find()
    if order:
        assert (
            order < at + 1 <= len(ids) and ids[at - order : at] == ids[-order:] and ids[at : at + 1]
        )
    else:
        assert ids[-1:] not in ([i] for i in ids[:-1])


def controller(base: float, slope: float, right: bool) -> DraftLengthController:
    lengths = DraftLengthController()
    lengths.record_prefill(64, 64 * slope)
    for _ in range(60):
        lengths.record_step(3, base + 3 * slope)
        lengths.record_acceptance(3, 2, 2 if right else 0)
    return lengths


def test_drafts_grow_where_they_are_right_and_cheap_and_shrink_where_not() -> None:
    assert controller(10, 0.5, right=True).length(3) == MAX_DRAFT
    assert controller(10, 0.5, right=False).length(3) == 1
    assert controller(1, 10, right=True).length(3) > controller(1, 10, right=False).length(3) == 1
