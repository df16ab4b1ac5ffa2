"""What report.json promises follows from its rows; the benchmark that checks it counts right."""

from __future__ import annotations

import json
from pathlib import Path

import guarantee as benchmark

from fieldpack.answers import Answer, Timings
from fieldpack_build import data
from fieldpack_build.evaluation.guarantee import least_share
from fieldpack_build.evaluation.guarantee_part import (
    MADE_UP,
    judge_answers,
    make_guarantee,
    make_risk,
)
from fieldpack_build.evaluation.metrics import score
from fieldpack_build.evaluation.report_file import ArmAnswer, Guarantee, QuestionRow, Report
from fieldpack_build.report.promises import risk_in_words


def row(*, expected: bool = True, **answer: bool | float | None) -> QuestionRow:
    """A question, answered by `rag` alone."""
    said = ArmAnswer.model_validate(answer)
    return QuestionRow(question="?", expected="yes" if expected else None, arms={"rag": said})


RIGHT = row(value_match=True, cites_right=True)
WRONG = row(value_match=False, cites_right=True)
OTHER_SOURCE = row(value_match=True, cites_right=False)
WRONG_REFUSAL = row(value_match=False, refused=True)
RIGHT_REFUSAL = row(expected=False, refused=True)
NOT_REFUSED = row(expected=False)
NO_VALUE = row(value_match=None)
NO_VALUE_REFUSED = row(value_match=None, refused=True)


def test_only_answers_count_and_only_right_ones_as_right() -> None:
    rows = [RIGHT, WRONG, OTHER_SOURCE, WRONG_REFUSAL, RIGHT_REFUSAL, NOT_REFUSED]
    judged = [(one.answered, one.right) for one in judge_answers(rows, "rag")]
    assert judged == [
        (True, True),
        (True, False),
        (True, False),
        (False, False),
        (False, True),
        (True, False),
    ]
    assert judge_answers(rows, "tuned") == []


def test_a_question_that_nothing_can_be_compared_with_is_left_out_refused_or_not() -> None:
    assert len(judge_answers([RIGHT, NO_VALUE, NO_VALUE_REFUSED], "rag")) == 1
    assert make_guarantee([NO_VALUE], "rag", arms=1) is None


def test_the_card_says_when_a_quote_s_threshold_comes_of_made_up_questions() -> None:
    """Only of an arm that quotes: another refuses by its model."""
    quoted = QuestionRow(question="?", expected="yes", arms={"quote": RIGHT.arms["rag"]})
    card = make_guarantee([quoted], "quote", arms=1, made_up=True)
    assert card and card.made_up and card.sentence.endswith(MADE_UP)
    with_rows = make_guarantee([quoted], "quote", arms=1)
    assert with_rows and card.sentence == f"{with_rows.sentence} {MADE_UP}"
    assert "made_up" not in with_rows.to_dict()
    written = make_guarantee([RIGHT], "rag", arms=1, made_up=True)
    assert written and MADE_UP not in written.sentence and not written.made_up


def test_right_answers_without_a_value_are_promised_as_right() -> None:
    """Answers in other words than the expected ones are right if they say the same."""
    question = data.TestQuestion(
        "What does a flu vaccination cost?", "It costs 25 euros.", None, None, 1
    )
    timings = Timings(1, 1, 1, 1, 1.0, 1)
    rows = []
    for text in ("A flu vaccination costs 25 euros. [1]", "€25", "Thirty euros.", "25 days"):
        answer = Answer(question.question, text, False, (), (), timings)
        scored = score(answer, question, {}, languages=("",)).to_row(text, ())
        rows.append(QuestionRow(expected=question.answer, arms={"rag": scored}))
    promised = make_guarantee(rows, "rag", arms=1)
    assert promised and (promised.questions, promised.answered, promised.right) == (4, 4, 2)
    assert promised.right_of_100 > 0


def sure(count: int, sureness: float, *, right: bool = True) -> list[QuestionRow]:
    return [row(value_match=right, cites_right=True, sureness=sureness)] * count


def test_a_risk_is_learned_on_some_questions_and_held_against_others() -> None:
    aside = [*sure(200, 0.9), *sure(100, 0.4, right=False), WRONG_REFUSAL]
    measured = [*sure(20, 0.95), *sure(1, 0.9, right=False), *sure(5, 0.5), RIGHT_REFUSAL, RIGHT]
    risk = make_risk(aside, measured, "rag", wrong=0.05, sure=0.95)
    assert risk.sure_from == 0.9 == risk.threshold and risk.missing == 0
    assert (risk.learned.questions, risk.learned.answered, risk.learned.wrong) == (301, 200, 0)
    # An answer without a sureness is none that the bundle would give.
    assert (risk.measured.questions, risk.measured.answered, risk.measured.wrong) == (28, 21, 1)
    assert "from a sureness of 0.90 on" in risk_in_words(risk)
    assert "of the 28 test questions 21 get one, 1 wrong" in risk_in_words(risk)


def test_where_nothing_can_be_promised_no_answer_is_sure_enough() -> None:
    risk = make_risk(sure(40, 0.9), sure(10, 1.0), "rag", wrong=0.05, sure=0.95)
    assert risk.sure_from is None and risk.threshold > 1
    assert risk.missing == 50, "90 without a wrong one show it: 0.95^90 is below a fifth of 5%"
    assert (risk.measured.answered, risk.learned.answered) == (0, 0)
    assert "At least 50 more answers" in risk_in_words(risk)
    unsure = make_risk([RIGHT] * 500, [RIGHT], "rag", wrong=0.05, sure=0.95)
    assert unsure.sure_from is None, "answers that say nothing of how sure they are"


def test_the_card_of_a_report() -> None:
    rows = [RIGHT] * 80 + [WRONG] * 10 + [WRONG_REFUSAL] * 10
    card = make_guarantee(rows, "rag", arms=1)
    assert card is not None and card.passages is None
    assert (card.questions, card.answered, card.right) == (100, 90, 80)
    assert card.answered_of_100 <= 100 * least_share(90, 100, sure=0.975) < card.answered_of_100 + 1
    assert "at least 82 are answered" in card.sentence  # 82.38, of Clopper and Pearson's tables
    assert "of 100 answers at least 80 are right" in card.sentence
    chosen = make_guarantee(rows, "rag", arms=5)
    assert chosen is not None and chosen.right_of_100 < card.right_of_100


def test_where_nothing_was_answered_nothing_is_promised() -> None:
    card = make_guarantee([WRONG_REFUSAL] * 9 + [RIGHT_REFUSAL] * 3, "rag", arms=1)
    assert card and card.sentence.startswith("None of the test's 12 questions was answered")


def test_how_many_passages_must_be_shown_is_in_the_report() -> None:
    ranks: list[int | None] = [1] * 95 + [4] * 5
    card = make_guarantee([RIGHT], "rag", arms=1, ranks=ranks, depth=20, shown=3)
    assert card is not None and card.passages is not None
    assert (card.passages.needed, card.passages.shown, card.passages.depth) == (4, 3, 20)
    assert card.passages.shown_of_100 < 95
    none = make_guarantee([RIGHT], "rag", arms=1, ranks=[1] * 20, depth=20, shown=3)
    assert none is not None and none.passages is not None and none.passages.needed is None


def test_a_report_of_an_older_build_opens_without_a_card(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps({"shipped": "rag", "arms": {"rag": {}}}))
    assert Report.read(tmp_path).guarantee is None
    card = make_guarantee([RIGHT] * 9, "rag", arms=2, ranks=[1, None], depth=20, shown=4)
    report = Report(shipped="rag", arms={"rag": {}}, guarantee=card)
    report.write(tmp_path)
    assert isinstance(card, Guarantee) and Report.read(tmp_path).guarantee == card


# --- benchmarks/guarantee.py ----------------------------------------------------------------------


def both(rag: QuestionRow, tuned: QuestionRow) -> QuestionRow:
    return rag.model_copy(update={"arms": {"rag": rag.arms["rag"], "tuned": tuned.arms["rag"]}})


def test_promises_are_held_against_the_other_half() -> None:
    rows = [both(RIGHT, WRONG)] * 30 + [both(WRONG, WRONG_REFUSAL)] * 10
    report = Report(shipped="rag", arms={"rag": {}, "tuned": {}}, questions=rows)
    kept = {one.arm: one for one in benchmark.check(report, ["rag", "tuned"], splits=50)}
    assert list(kept) == ["rag", "tuned", benchmark.CHOSEN, benchmark.CHOSEN_BLINDLY]
    rag, tuned = kept["rag"], kept["tuned"]
    assert rag.answered_held == 1  # every question is answered, in both halves
    assert rag.mean_right < (rag.card_right or 0) < 75  # a half can promise less than the whole
    assert rag.drawn_held > 0.9
    assert (tuned.card_right, tuned.right_held) == (0, 1)
    # rag is the better arm in every half; that it was chosen costs some of the promise
    assert kept[benchmark.CHOSEN].mean_right < kept[benchmark.CHOSEN_BLINDLY].mean_right
    assert kept[benchmark.CHOSEN_BLINDLY].mean_right == rag.mean_right


def test_a_broken_promise_is_counted() -> None:
    rows = [RIGHT] * 20 + [WRONG] * 20
    report = Report(shipped="rag", arms={"rag": {}}, questions=rows)
    judged = judge_answers(rows, "rag")
    card = benchmark.card(judged, sure=0.95)
    too_much = benchmark.Card(40, 40, 20, 0.95, 100.0, 50.0)
    assert benchmark.held(card, judged) == (True, True)
    assert benchmark.held(too_much, judged[1:]) == (True, False)
    assert benchmark.held(too_much, [*judged, *judge_answers([RIGHT_REFUSAL], "rag")]) == (
        False,
        True,
    )
    assert [one.arm for one in benchmark.check(report, ["rag"], splits=5)] == ["rag"]


def test_a_bundle_or_a_report_can_be_named(tmp_path: Path) -> None:
    folder = tmp_path / "bundle" / "report"
    folder.mkdir(parents=True)
    report = Report(name="toy", shipped="rag", arms={"rag": {}}, questions=[RIGHT])
    report.write(folder)
    for path in (tmp_path / "bundle", folder, folder / "report.json"):
        assert benchmark.read_report(path).name == "toy"
