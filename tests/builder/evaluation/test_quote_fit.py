"""Fitting how passages are quoted: plain weights unless others win by more than noise, a threshold
that keeps its promise."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from fieldpack.retrieval.quoting import QuoteSettings
from fieldpack_build.evaluation.quote_fit import MIN_ROWS, QuoteRow, fit, threshold, write_quoting
from fieldpack_build.recipe.runtime_settings import read_quoting


def row(
    signals: list[list[float]],
    worth: list[float],
    *,
    answerable: bool = True,
    lead: float = 0.0,
    **more: bool,
) -> QuoteRow:
    return QuoteRow(answerable, np.array(signals), np.array(worth), lead, **more)


def chosen_by_words(chance: random.Random) -> QuoteRow:
    """The right sentence shares the question's words; another one has the better cosine."""
    words = chance.uniform(0.5, 0.9)
    return row(
        [[0.5, words, 0.5, 0.0], [0.5 + chance.uniform(0.1, 0.15), words - 0.4, 0.5, 0.0]],
        [0.9, 0.1],
    )


def test_weights_that_win_on_held_out_rows_are_taken() -> None:
    chance = random.Random(1)
    settings, facts = fit([chosen_by_words(chance) for _ in range(60)], max_wrong=0.1)
    assert facts.fitted and settings.words > QuoteSettings().words
    assert facts.f1_fitted == 0.9 > facts.f1_plain + 0.3


def test_noise_and_few_rows_leave_the_plain_weights() -> None:
    chance = random.Random(2)
    noise = [
        row(
            [[chance.random() for _ in range(4)] for _ in range(6)],
            [chance.random() for _ in range(6)],
        )
        for _ in range(80)
    ]
    settings, facts = fit(noise, max_wrong=0.1)
    assert not facts.fitted and settings.weights == QuoteSettings().weights
    few, facts = fit([chosen_by_words(chance) for _ in range(MIN_ROWS - 1)], max_wrong=0.1)
    assert not facts.fitted and few == QuoteSettings()
    assert fit([], max_wrong=0.1)[0] == QuoteSettings()


def test_the_threshold_refuses_no_more_of_the_answerable_than_it_may() -> None:
    """Two in a hundred are refused by retrieval alone: they count."""
    chance = random.Random(3)
    yes = [
        row([[chance.gauss(0.7, 0.1), 0.5, 0.5, 0.0]], [1.0], unfounded=number < 2)
        for number in range(100)
    ]
    no = [
        row([[chance.gauss(0.5, 0.1), 0.5, 0.5, 0.0]], [0.0], answerable=False) for _ in range(100)
    ]
    settings, facts = fit([*yes, *no], max_wrong=0.1)
    assert settings.refuse_below is not None
    assert 0.05 <= facts.refused_wrong <= 0.1 < 0.4 < facts.refused_right
    assert facts.separation > 0.8


def test_no_threshold_without_both_kinds_or_where_it_would_not_tell_them_apart() -> None:
    yes = [row([[0.1 * n, 0.0, 0.0, 0.0]], [1.0]) for n in range(20)]
    better = [row([[5.0, 0.0, 0.0, 0.0]], [0.0], answerable=False)]
    assert threshold(yes, QuoteSettings(), max_wrong=0.1) is None
    assert threshold([*yes, *better], QuoteSettings(), max_wrong=0.1) is None


def test_the_lead_counts_into_sufficiency() -> None:
    yes = [row([[0.5, 0.0, 0.0, 0.0]], [1.0], lead=0.2) for _ in range(20)]
    no = [row([[0.5, 0.0, 0.0, 0.0]], [0.0], answerable=False, lead=0.05) for _ in range(20)]
    line = threshold([*yes, *no], QuoteSettings(), max_wrong=0.1)
    assert line is not None and 0.5 + 2 * 0.05 < line <= 0.5 + 2 * 0.2


def test_what_is_written_is_read(tmp_path: Path) -> None:
    settings = QuoteSettings(words=0.4, refuse_below=0.7)
    write_quoting(tmp_path, settings)
    assert read_quoting(tmp_path) == settings
