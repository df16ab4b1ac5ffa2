"""Fitting how passages are quoted: plain weights unless others win by more than noise, figures that
judge a quote, a threshold that keeps its promise."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from fieldpack.retrieval.quoting import QuoteSettings
from fieldpack.retrieval.sufficiency import ANSWERABLE, FEATURES, weigh
from fieldpack_build.evaluation.quote_fit import (
    CARRIED_OVER,
    FOLDS,
    MIN_REFUSALS,
    MIN_ROWS,
    QuoteRow,
    carry_over,
    features_of_row,
    fit,
    folds_of,
    logistic,
    most_refused,
    threshold,
    write_quoting,
)
from fieldpack_build.recipe.runtime_settings import read_quoting


def row(
    signals: list[list[float]],
    worth: list[float],
    *,
    answerable: bool = True,
    margin: float = 0.0,
    missing: float = 0.0,
    **more: bool | str,
) -> QuoteRow:
    lacking = np.array([[missing, 0.0]] * len(signals)).reshape(-1, 2)
    return QuoteRow(
        answerable,
        np.array(signals).reshape(-1, 5),
        np.array(worth),
        margin,
        lacking,
        says=(np.array(worth) >= 0.5).astype(float),
        **more,  # type: ignore[arg-type]
    )


def chosen_by_words(chance: random.Random) -> QuoteRow:
    """The right sentence shares the question's words; another one has nearer tokens."""
    words, tokens = chance.uniform(0.5, 0.9), chance.uniform(0.1, 0.11)
    both = [
        ([0.5, words, 0.5, 0.0, 0.5], 0.9),
        ([0.5, words - 0.4, 0.5, 0.0, 0.5 + tokens], 0.1),
    ]
    chance.shuffle(both)
    return row([signals for signals, _ in both], [worth for _, worth in both])


def test_weights_that_win_on_held_out_rows_are_taken() -> None:
    chance = random.Random(1)
    settings, facts = fit([chosen_by_words(chance) for _ in range(60)], max_wrong=0.1)
    assert facts.fitted
    assert settings.words * 0.4 > settings.tokens * 0.11
    assert facts.f1_fitted == 0.9 > facts.f1_plain + 0.3  # type: ignore[operator]


def test_noise_and_few_rows_leave_the_plain_weights() -> None:
    chance = random.Random(2)
    noise = [
        row(
            [[chance.random() for _ in range(5)] for _ in range(6)],
            [chance.random() for _ in range(6)],
        )
        for _ in range(80)
    ]
    settings, facts = fit(noise, max_wrong=0.1)
    assert not facts.fitted and settings.weights == QuoteSettings().weights
    few, facts = fit([chosen_by_words(chance) for _ in range(MIN_ROWS - 1)], max_wrong=0.1)
    assert not facts.fitted and few == QuoteSettings()
    assert fit([], max_wrong=0.1)[0] == QuoteSettings()


def mixed(chance: random.Random, *, yes: int = 100, no: int = 100) -> list[QuoteRow]:
    """Questions without an answer name something that their passage has not."""
    answerable = [
        row(
            [[chance.gauss(0.7, 0.1), 0.5, 0.5, 0.0, 0.5]],
            [1.0],
            missing=float(chance.random() < 0.1),
            unfounded=n < 2,
        )
        for n in range(yes)
    ]
    return answerable + [
        row(
            [[chance.gauss(0.7, 0.1), 0.5, 0.5, 0.0, 0.5]],
            [0.0],
            answerable=False,
            missing=float(chance.random() < 0.8),
        )
        for _ in range(no)
    ]


def test_the_threshold_refuses_no_more_of_the_answerable_than_it_may() -> None:
    """Two in a hundred are refused by retrieval alone: they count."""
    settings, facts = fit(mixed(random.Random(3)), max_wrong=0.15)
    assert settings.refuse_below is not None and facts.judged
    assert 0.05 <= facts.refused_wrong <= 0.15 < 0.6 < facts.refused_right  # type: ignore[operator]
    assert facts.separation > 0.8  # type: ignore[operator]


def test_what_a_quote_lacks_is_learned_and_plain_weights_judge_where_rows_are_few() -> None:
    settings, _ = fit(mixed(random.Random(4)), max_wrong=0.1)
    missing = FEATURES.index("missing")
    assert settings.answerable[missing] < -2 < 0 <= settings.answerable[FEATURES.index("score")]
    assert settings.answerable[FEATURES.index("margin")] == 0.0, "the same for all rows"
    few, facts = fit(mixed(random.Random(5), no=MIN_REFUSALS - 1), max_wrong=0.1)
    assert few.answerable == ANSWERABLE and not facts.judged and few.refuse_below is not None


def test_a_figure_never_gets_the_wrong_sign() -> None:
    """In these rows the passages of answerable questions lack names more often, by accident."""
    chance = np.random.default_rng(6)
    labels = np.array([True] * 60 + [False] * 60)
    features = chance.normal(size=(120, len(FEATURES)))
    features[:, FEATURES.index("missing")] += labels
    assert logistic(features, labels)[FEATURES.index("missing")] == 0.0


def test_the_regression_finds_the_proportions_of_the_weights_that_made_the_labels() -> None:
    chance = np.random.default_rng(7)
    features = chance.normal(size=(20_000, len(FEATURES))) * [1.0, 0.1, 1.0, 1.0, 1.0]
    true = (1.0, 5.0, 0.0, -2.0, 0.0, 0.5)
    odds = np.array([weigh(one, true) for one in features])
    found = logistic(features, chance.random(len(odds)) < 1 / (1 + np.exp(-odds)))
    # The penalty makes all weights smaller, in about the same proportion.
    assert 0.7 < found[0] < 1.0
    assert np.array(found) / found[0] == pytest.approx(true, rel=0.1, abs=0.1)


def test_rows_of_a_document_stay_in_one_fold() -> None:
    rows = [row([[1.0] * 5], [1.0], group=f"{n % 7}.md") for n in range(70)]
    folds = folds_of(rows)
    assert all(len({folds[i] for i in range(n, 70, 7)}) == 1 for n in range(7))
    assert set(folds) == set(range(FOLDS))


def test_no_threshold_without_both_kinds_or_where_it_would_not_tell_them_apart() -> None:
    yes = [row([[0.1 * n, 0, 0, 0, 0]], [1.0]) for n in range(20)]
    better = row([[5.0, 0, 0, 0, 0]], [0.0], answerable=False)
    values = [0.1 * n for n in range(20)]
    assert threshold(yes, values, max_wrong=0.25) is None
    assert threshold([*yes, better], [*values, 5.0], max_wrong=0.25) is None
    assert threshold([*yes, better], [*values, -1.0], max_wrong=0.25) == 0.2
    assert threshold([*yes, better], [*values, -1.0], max_wrong=0.1) is None, "too few to be sure"


@pytest.mark.parametrize(("rows", "max_wrong"), [(40, 0.1), (100, 0.1), (366, 0.1), (60, 0.3)])
def test_wrong_refusals_are_bounded_with_certainty(rows: int, max_wrong: float) -> None:
    """Drawn from questions of which just `max_wrong` would be refused, so few are seen in less than
    a tenth of the draws; one more is not that rare."""
    most = most_refused(rows, max_wrong)
    draws = np.random.default_rng(8).binomial(rows, max_wrong, size=200_000)
    # 0.002: three standard errors of a share of so many draws.
    assert (draws <= most).mean() - 0.002 < 0.1 < (draws <= most + 1).mean() + 0.002
    assert 0 < most < max_wrong * rows


def made_up(chance: random.Random, count: int, *, missing: float) -> list[QuoteRow]:
    """Questions of which a share names two years that their passage has not."""
    return [
        row(
            [[chance.gauss(0.9, 0.1), 1.0, 1.0, 0.0, chance.gauss(0.9, 0.1)]],
            [1.0],
            margin=0.1,
            missing=2.0 * (chance.random() < missing),
        )
        for _ in range(count)
    ]


def without_source(chance: random.Random, count: int) -> list[QuoteRow]:
    return [
        row([[0.3, 0.2, 0.2, 0.0, 0.3]], [0.0], answerable=False, missing=chance.choice((1.0, 3.0)))
        for _ in range(count)
    ]


def test_without_rows_the_threshold_is_carried_over_as_it_is_or_not_at_all() -> None:
    """It stays where made-up questions pass it, however much higher they would let it be; where it
    would refuse a quarter of them, there is none."""
    chance = random.Random(9)
    easy, masked = made_up(chance, 100, missing=0.0), without_source(chance, 100)
    settings, facts = carry_over(easy, masked, max_wrong=0.1)
    assert settings == QuoteSettings(refuse_below=CARRIED_OVER)
    assert facts.made_up and (facts.rows, facts.answerable) == (200, 100)
    assert facts.refused_wrong == 0.0 < 0.5 < facts.refused_right  # type: ignore[operator]

    hard = made_up(chance, 100, missing=0.25)
    assert carry_over(hard, masked, max_wrong=0.5)[0].refuse_below == CARRIED_OVER
    settings, facts = carry_over(hard, masked, max_wrong=0.1)
    assert settings == QuoteSettings() and facts.refuse_below is None
    assert facts.refused_wrong > 0.15  # type: ignore[operator]


def test_without_rows_too_few_questions_give_no_threshold() -> None:
    chance = random.Random(10)
    few = made_up(chance, 20, missing=0.0), without_source(chance, 20)
    settings, facts = carry_over(*few, max_wrong=0.1)
    assert settings.refuse_below is None and facts.made_up and facts.refused_wrong == 0.0
    settings, facts = carry_over([], [], max_wrong=0.1)
    assert settings.refuse_below is None and facts.refused_wrong is None
    bare = row([], [])
    assert carry_over([bare] * 60, [bare] * 60, max_wrong=0.1)[0].refuse_below is None


def test_the_threshold_carried_over_refuses_no_quote_that_has_all() -> None:
    """A quote that has every word of the question, names and all, in a library of one kind (no
    margin), is none that the finance recipe's rows would have refused."""
    settings = QuoteSettings()
    whole = row([[1.0, 1.0, 1.0, 0.0, 1.0]], [1.0], margin=0.0)
    assert weigh(features_of_row(whole, settings), settings.answerable) > CARRIED_OVER


def test_a_row_has_the_figures_of_its_best_candidate() -> None:
    one = row([[0.5, 0, 0, 0, 0], [1.0, 0, 0, 0, 0]], [0.0, 1.0], margin=0.2)
    one.lacking[:] = [[3, 1], [2, 0]]
    settings = QuoteSettings(cosine=1.0)
    assert features_of_row(one, settings) == pytest.approx([1.0, 0.2, 0.5, 2.0, 0.0])
    alone = row([[1.0, 0, 0, 0, 0]], [1.0])
    assert features_of_row(alone, settings)[2] == 0.0


def test_what_is_written_is_read(tmp_path: Path) -> None:
    settings = QuoteSettings(words=0.4, refuse_below=0.7)
    write_quoting(tmp_path, settings)
    assert read_quoting(tmp_path) == settings
