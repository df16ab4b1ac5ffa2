"""How often the guarantee card keeps its promise: a report's test questions are split into halves,
the card's bounds are computed on one half and held against the other.

    python benchmarks/guarantee.py REPORT [REPORT ...] [--arms quote tuned+rag] [--splits 100]
    [--json results.json]

REPORT is a report.json or a bundle. `answered` and `right` are the card's two bounds, both of 100
questions or answers: their mean over the halves, and in which share of splits they held, each and
both together. What they are held against is a sample too, no larger than the one that the bound was
computed on, and holds the fewer right answers the more the first half had. A true bound therefore
fails here more often than it promises to. `drawn` is the promise itself, where the truth is known:
the report's questions are taken for all that there are, as many are drawn from them with
replacement, ten times a split, and both bounds of the draw are held against the true shares. The
rows `chosen` take, in each split, the arm of the report
whose bound on right answers is the highest on the first half: once with the arms allowed for, as
the build does, and once without.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from measuring import machine, machine_line, table, write_json

from fieldpack_build.evaluation.guarantee import Card, Judged, card
from fieldpack_build.evaluation.guarantee_part import SURE, judge_answers
from fieldpack_build.evaluation.report_file import NAME, Report

_DRAWS = 10  # a split
CHOSEN, CHOSEN_BLINDLY = "chosen, arms allowed for", "chosen, arms not allowed for"
Pick = Callable[[Sequence[int]], tuple[str, Card]]


@dataclass(frozen=True, slots=True)
class Kept:
    """In which share of splits the card's bounds held on the other half, and in which share of draws
    with replacement (`drawn_held`) on all questions. `card_answered`, `card_right`: the bounds from
    all questions; `mean_*`: their mean over the halves."""

    arm: str
    questions: int
    card_answered: float | None
    card_right: float | None
    mean_answered: float
    mean_right: float
    answered_held: float
    right_held: float
    both_held: float
    drawn_held: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reports", type=Path, nargs="+", metavar="REPORT")
    parser.add_argument("--arms", nargs="+", help="those of them that a report has; default: all")
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--json", type=Path, help="write the results there")
    options = parser.parse_args()
    facts, results = machine(["scipy"]), []
    print(machine_line(facts))
    for path in options.reports:
        report = read_report(path)
        arms = [arm for arm in report.arms if not options.arms or arm in options.arms]
        kept = check(report, arms, splits=options.splits)
        count = f"{len(report.questions)} questions, {options.splits} splits"
        print(f"\n{report.name} {report.version}, {count}, {SURE:.0%} promised\n")
        print(table(_HEAD, [_cells(row) for row in kept]))
        results.append(
            {
                "recipe": report.name,
                "version": report.version,
                "splits": options.splits,
                "sure": SURE,
                "arms": [asdict(row) for row in kept],
            }
        )
    if options.json:
        write_json(options.json, {"machine": facts, "reports": results})


def read_report(path: Path) -> Report:
    """Read a report.json, or the one in a bundle."""
    if path.is_file():
        return Report.read(path.parent)
    return Report.read(path if (path / NAME).is_file() else path / "report")


def check(report: Report, arms: Sequence[str], *, splits: int, seed: int = 0) -> list[Kept]:
    """Return how often the bounds held for each of `arms`, and for the best arm of a half where the
    report has several. Every arm sees the same splits."""
    judged = {arm: judge_answers(report.questions, arm) for arm in report.arms}
    count = min(len(one) for one in judged.values())
    if any(len(one) != count for one in judged.values()):
        raise SystemExit(f"{report.name}: its arms were not asked the same questions")
    halves = _halves(count, splits, seed)
    rng = random.Random(seed)
    draws = [rng.choices(range(count), k=count) for _ in range(_DRAWS * splits)]
    rows = []
    for arm in arms:

        def promise(half: Sequence[int], arm: str = arm) -> tuple[str, Card]:
            return arm, card([judged[arm][i] for i in half], sure=SURE)

        rows.append(_kept(arm, judged, halves, draws, promise, whole=card(judged[arm], sure=SURE)))
    if len(judged) > 1:
        for name, among in ((CHOSEN, len(judged)), (CHOSEN_BLINDLY, 1)):

            def choose(half: Sequence[int], among: int = among) -> tuple[str, Card]:
                cards = {
                    arm: card([every[i] for i in half], sure=SURE, arms=among)
                    for arm, every in judged.items()
                }
                best = max(cards, key=lambda arm: cards[arm].right_of_100)
                return best, cards[best]

            rows.append(_kept(name, judged, halves, draws, choose, whole=None))
    return rows


def _halves(count: int, splits: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """`splits` random halves of the numbers below `count`; the first is the larger by one where
    they are odd."""
    rng = random.Random(seed)
    halves = []
    for _ in range(splits):
        order = rng.sample(range(count), count)
        middle = (count + 1) // 2
        halves.append((order[:middle], order[middle:]))
    return halves


def _kept(
    name: str,
    judged: Mapping[str, Sequence[Judged]],
    halves: Sequence[tuple[list[int], list[int]]],
    draws: Sequence[list[int]],
    promise: Pick,
    *,
    whole: Card | None,
) -> Kept:
    cards, answered, right = [], [], []
    for first, second in halves:
        arm, made = promise(first)
        others = [judged[arm][i] for i in second]
        cards.append(made)
        kept = held(made, others)
        answered.append(kept[0])
        right.append(kept[1])
    drawn = [all(held(made, judged[arm])) for arm, made in map(promise, draws)]
    return Kept(
        arm=name,
        questions=len(next(iter(judged.values()))),
        card_answered=round(whole.answered_of_100, 1) if whole else None,
        card_right=round(whole.right_of_100, 1) if whole else None,
        mean_answered=round(_mean([one.answered_of_100 for one in cards]), 1),
        mean_right=round(_mean([one.right_of_100 for one in cards]), 1),
        answered_held=_mean(answered),
        right_held=_mean(right),
        both_held=_mean([one and other for one, other in zip(answered, right, strict=True)]),
        drawn_held=_mean(drawn),
    )


def held(promised: Card, others: Sequence[Judged]) -> tuple[bool, bool]:
    """Whether each bound holds of `others`; the second holds where there is no answer."""
    answers = [one for one in others if one.answered]
    right = sum(one.right for one in answers)
    return (
        100 * len(answers) >= promised.answered_of_100 * len(others),
        100 * right >= promised.right_of_100 * len(answers),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


_HEAD = (
    "arm",
    "questions",
    "card: answered",
    "right",
    "half: answered",
    "right",
    "held: answered",
    "right",
    "both",
    "drawn",
)


def _cells(row: Kept) -> list[object]:
    shares = (row.answered_held, row.right_held, row.both_held, row.drawn_held)
    return [
        row.arm,
        row.questions,
        row.card_answered,
        row.card_right,
        row.mean_answered,
        row.mean_right,
        *(f"{share:.0%}" for share in shares),
    ]


if __name__ == "__main__":
    main()
