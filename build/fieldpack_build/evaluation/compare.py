"""`build compare A B`: two sealed bundles, by their own records: the figures of what each ships
with intervals over the questions both were asked, which questions came out otherwise, and what was
built differently. Opens no model; knows nothing of pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from fieldpack.bundle.manifest import Manifest, read_manifest

from ..errors import DataError
from ..recipe.renamed import rename_keys
from ..recipe.schema import WEIGHTS
from .bootstrap import BY_KEY, FIXED, METRICS, PairedBootstrap, between
from .outcome import OTHER_SOURCE, RIGHT, outcome
from .recommend import UNITS
from .report_file import Interval, Part, QuestionRow, Report

A, B = "A", "B"
_IGNORED = ("version", "bundle.description")


class ComparedBundle(Part):
    """Which bundle it is, the arm that it ships, how many questions it was asked, and how many of
    them it answered."""

    folder: str
    name: str
    version: str
    arm: str
    asked: int
    answered: int

    @property
    def answers_nothing(self) -> bool:
        """Whether it refused every question that it was asked."""
        return self.asked > 0 and self.answered == 0


class QuestionCounts(Part):
    """Questions that both were asked; `changed`: that expect another answer now, and are left
    out."""

    common: int
    changed: int
    only_a: int
    only_b: int


class ComparedFigure(Part):
    """A figure on the common questions. `low` and `high` are None for what has no interval. `tone`:
    better, worse, noise, or empty without an interval."""

    figure: str
    a: float | None = Field(validation_alias="A", serialization_alias="A")
    b: float | None = Field(validation_alias="B", serialization_alias="B")
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    tone: str = ""


class ComparedScore(Part):
    """B less A by the weights of B's recipe."""

    weights: dict[str, float]
    a: float = Field(validation_alias="A", serialization_alias="A")
    b: float = Field(validation_alias="B", serialization_alias="B")
    value: float
    low: float
    high: float


class AnswerGiven(Part):
    """What became of a question in one bundle (see `outcome`), and the answer."""

    outcome: str | None
    answer: str


class ChangedQuestion(Part):
    """A question that one bundle gets right and the other does not."""

    question: str
    expected: str | None
    a: AnswerGiven = Field(validation_alias="A", serialization_alias="A")
    b: AnswerGiven = Field(validation_alias="B", serialization_alias="B")


class ChangedQuestions(Part):
    """`worse`: right in A and not in B."""

    worse: list[ChangedQuestion]
    better: list[ChangedQuestion]


class ChangedDocuments(Part):
    """Documents by what happened to them from A to B."""

    added: list[str]
    removed: list[str]
    changed: list[str]


class Comparison(Part):
    """Bundle B against bundle A. `recipe` and `tools`: [in A, in B] of what differs, None where it
    is not there; `stages`: same, another, only in A, only in B; `sizes`: megabytes by role."""

    a: ComparedBundle = Field(validation_alias="A", serialization_alias="A")
    b: ComparedBundle = Field(validation_alias="B", serialization_alias="B")
    questions: QuestionCounts
    figures: list[ComparedFigure]
    score: ComparedScore | None
    turned: ChangedQuestions
    recipe: dict[str, list[Any]]
    stages: dict[str, str]
    documents: ChangedDocuments
    tools: dict[str, list[Any]]
    sizes: dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class _Bundle:
    folder: Path
    manifest: Manifest
    report: Report

    @classmethod
    def read(cls, folder: Path) -> _Bundle:
        manifest = read_manifest(folder)
        try:
            report = Report.read(folder / "report")
        except FileNotFoundError:
            raise DataError(
                f"{folder}: no report in it; give its recipe `evaluate`, and build it again"
            ) from None
        return cls(folder, manifest, report)

    @property
    def fixed(self) -> dict[str, float]:
        """Figures that were measured once; the size is that of the sealed bundle."""
        mine = self.report.arms.get(self.report.shipped, {})
        fixed = {key: value for key in FIXED if (value := mine.get(key)) is not None}
        return {**fixed, "size_mb": round(self.manifest.size / 1e6, 1)}

    @property
    def tools(self) -> dict[str, Any]:
        """The version of each tool of any stage."""
        stages = self.manifest.provenance.get("stages") or {}
        return {
            tool: version
            for stage in stages.values()
            for tool, version in stage.get("tools", {}).items()
        }

    def describe(self) -> ComparedBundle:
        return ComparedBundle(
            folder=str(self.folder),
            name=self.manifest.name,
            version=self.manifest.version,
            arm=self.report.shipped,
            asked=len(self.report.questions),
            answered=self._answered,
        )

    @property
    def _answered(self) -> int:
        """How many answers the bundle gives. The reports of older builds have answers that `answer.risk`
        then held back."""
        risk, arm = self.report.risk, self.report.shipped
        threshold = risk.threshold if risk else None
        given = [row.arms[arm] for row in self.report.questions if arm in row.arms]
        return sum(
            not one.refused and (threshold is None or (one.sureness or 0.0) >= threshold)
            for one in given
        )


def compare_bundles(one: Path, other: Path) -> Comparison:
    """Compare bundle `other` (B) with bundle `one` (A). Raises the runtime's BundleError for what
    is no bundle, DataError for a bundle without a report."""
    a, b = _Bundle.read(one), _Bundle.read(other)
    rows, changed = _common(a.report, b.report)
    fixed = {A: a.fixed, B: b.fixed}
    bootstrap = PairedBootstrap(rows, (A, B), fixed=fixed) if rows else None
    texts_a, texts_b = ({row.question for row in x.report.questions} for x in (a, b))
    return Comparison(
        a=a.describe(),
        b=b.describe(),
        questions=QuestionCounts(
            common=len(rows),
            changed=changed,
            only_a=len(texts_a - texts_b),
            only_b=len(texts_b - texts_a),
        ),
        figures=_figures(bootstrap, fixed),
        score=_score(bootstrap, b.manifest) if bootstrap else None,
        turned=_turned(rows),
        recipe=_recipe(a.manifest, b.manifest),
        stages=_stages(a.manifest, b.manifest),
        documents=changed_documents(a.manifest, b.manifest),
        tools=_differing(a.tools, b.tools),
        sizes=_sizes(a.manifest, b.manifest),
    )


def is_worse(compared: Comparison) -> bool:
    """Return whether B scores less than A by more than noise, by B's weights, or alone answers
    nothing. Raises DataError where no question says."""
    if compared.score is None:
        raise DataError(
            "--fail-if-worse: the bundles have no question in common that both were asked"
        )
    silent = compared.b.answers_nothing and not compared.a.answers_nothing
    return silent or compared.score.high < 0


def _common(one: Report, other: Report) -> tuple[list[QuestionRow], int]:
    """Rows with both shipped arms, by the question's words, and how many questions expect another
    answer now: these are not compared."""
    theirs = {row.question: row for row in other.questions if other.shipped in row.arms}
    rows, changed = [], 0
    for row in one.questions:
        match = theirs.get(row.question)
        if match is None or one.shipped not in row.arms:
            continue
        if (row.expected, row.value) != (match.expected, match.value):
            changed += 1
            continue
        arms = {A: row.arms[one.shipped], B: match.arms[other.shipped]}
        rows.append(
            QuestionRow(question=row.question, expected=row.expected, value=row.value, arms=arms)
        )
    return rows, changed


def _figures(
    bootstrap: PairedBootstrap | None, fixed: Mapping[str, Mapping[str, float]]
) -> list[ComparedFigure]:
    figures: list[ComparedFigure] = []
    for key in (*(metric.key for metric in METRICS), *FIXED):
        a, b = (
            fixed[name].get(key)
            if key in FIXED
            else bootstrap.value(name, key)
            if bootstrap
            else None
            for name in (A, B)
        )
        if a is None and b is None:
            continue
        gap = bootstrap.difference(B, A, key) if bootstrap and key not in FIXED else None
        difference = gap.value if gap else None if a is None or b is None else b - a
        figures.append(
            ComparedFigure(
                figure=key,
                a=_rounded(a),
                b=_rounded(b),
                difference=_rounded(difference),
                low=_rounded(gap.low) if gap else None,
                high=_rounded(gap.high) if gap else None,
                tone=_tone(key, gap),
            )
        )
    return figures


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _tone(key: str, gap: Interval | None) -> str:
    if gap is None or not gap.clear:
        return "noise" if gap else ""
    return "better" if (gap.value > 0) == (BY_KEY[key].better == "max") else "worse"


def _score(bootstrap: PairedBootstrap, manifest: Manifest) -> ComparedScore:
    recipe = manifest.provenance.get("recipe") or {}
    weights = ((recipe.get("evaluate") or {}).get("weights")) or WEIGHTS
    (b, b_resampled), (a, a_resampled) = (
        bootstrap.weighted_sum(name, weights, UNITS) for name in (B, A)
    )
    gap = between(b - a, b_resampled - a_resampled).rounded()
    return ComparedScore(
        weights=weights,
        a=round(a, 4),
        b=round(b, 4),
        value=gap.value,
        low=gap.low,
        high=gap.high,
    )


def _turned(rows: Sequence[QuestionRow]) -> ChangedQuestions:
    turned = ChangedQuestions(worse=[], better=[])
    for row in rows:
        given = {
            name: AnswerGiven(outcome=outcome(row, name), answer=row.arms[name].answer)
            for name in (A, B)
        }
        right = {name: given[name].outcome in (RIGHT, OTHER_SOURCE) for name in (A, B)}
        if right[A] != right[B]:
            changed = ChangedQuestion(
                question=row.question, expected=row.expected, a=given[A], b=given[B]
            )
            (turned.better if right[B] else turned.worse).append(changed)
    return turned


def _recipe(one: Manifest, other: Manifest) -> dict[str, list[Any]]:
    recipes = [deepcopy(manifest.provenance.get("recipe") or {}) for manifest in (one, other)]
    for recipe in recipes:  # a new name of a key is no difference
        rename_keys(recipe)
    mine, theirs = map(_flat, recipes)
    return {key: pair for key, pair in _differing(mine, theirs).items() if key not in _IGNORED}


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """A nested mapping by path, {"train.rank": 16, ...}; a list is one value."""
    if not isinstance(value, Mapping) or not value:
        return {path: value}
    return {
        key: leaf
        for name, part in value.items()
        for key, leaf in _flat(part, f"{path}.{name}" if path else name).items()
    }


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, list[Any]]:
    """[in A, in B] of each key that differs, None where it is not there."""
    return {
        key: [one.get(key), other.get(key)]
        for key in sorted({*one, *other})
        if one.get(key) != other.get(key)
    }


def _stages(one: Manifest, other: Manifest) -> dict[str, str]:
    """Whether each stage is the same, by its key."""
    mine, theirs = (
        {name: stage["key"] for name, stage in (manifest.provenance.get("stages") or {}).items()}
        for manifest in (one, other)
    )
    word = {(True, False): "only in A", (False, True): "only in B"}
    return {
        name: word.get((name in mine, name in theirs))
        or ("same" if mine[name] == theirs[name] else "another")
        for name in {**mine, **theirs}
    }


def changed_documents(one: Manifest, other: Manifest) -> ChangedDocuments:
    """Return which documents were added, removed or changed from one bundle to another."""
    mine, theirs = (
        (m.provenance.get("stages") or {}).get("knowledge", {}).get("sources", {})
        for m in (one, other)
    )
    return ChangedDocuments(
        added=sorted(theirs.keys() - mine.keys()),
        removed=sorted(mine.keys() - theirs.keys()),
        changed=sorted(name for name in mine.keys() & theirs.keys() if mine[name] != theirs[name]),
    )


def _sizes(one: Manifest, other: Manifest) -> dict[str, list[float]]:
    """[megabytes in A, in B] of each role of files."""
    roles = sorted({entry.role for manifest in (one, other) for entry in manifest.files})
    return {
        role: [round(sum(e.size for e in m.files if e.role == role) / 1e6, 2) for m in (one, other)]
        for role in roles
    }
