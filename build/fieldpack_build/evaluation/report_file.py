"""What report.json holds, as types: the evaluation fills them, the pages and `build compare` read
them. Knows nothing of how a figure was measured or of how it is shown.

A key that is absent from a file is absent again when the report is written (`to_dict` leaves out
what was never set), and keys that a later version added are passed over, so that bundles of other
versions can be compared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from fieldpack.prompt import NEVER_SURE

from ..errors import DataError

NAME = "report.json"
SCHEMA = 1

Number = int | float
Figures = dict[str, Number | None]  # by metric; None where no question gives one
Receipts = dict[str, dict[str, JsonValue]]  # by stage: the `result` of its receipt


class Part(BaseModel):
    """A part of a file that is kept as JSON."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, without the keys that were never set."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def to_json(self) -> str:
        """Return the text of a file, with a line break at its end."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"


class Interval(Part):
    """`low` and `high` bound the 95% interval of `value`."""

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval of a difference leaves zero out: it is more than noise."""
        return self.low > 0 or self.high < 0

    def rounded(self) -> Interval:
        """Return the interval as a report has it, to four decimals."""
        return Interval(
            value=round(self.value, 4), low=round(self.low, 4), high=round(self.high, 4)
        )


# --- questions and answers ------------------------------------------------------------------------


class Cited(Part):
    """A citation of an answer: `quote` stands on `page` of `document`; `passage` is its number."""

    document: str
    page: int | None = None
    quote: str
    passage: int


class ArmAnswer(Part):
    """What one arm answered to one question, and what that is worth (see `metrics.Score`)."""

    refused: bool = False
    f1: float | None = None
    exact_match: bool | None = None
    value_match: bool | None = None
    numeric_match: bool | None = None
    citations: list[Cited] = []
    citations_valid: int | None = None
    cites_right: bool | None = None
    total_ms: float | None = None
    first_token_ms: float | None = None
    tokens_per_s: float | None = None
    loss: float | None = None
    loss_tokens: int = 0
    answer: str = ""
    sureness: float | None = None


class PassageRead(Part):
    """A passage that the shipped arm read."""

    document: str
    page: int | None = None
    similarity: float = 0.0
    text: str = ""


class QuestionRow(Part):
    """A test question, and each arm's answer to it. `expected` None: it is to be refused. `lead`:
    its similarity margin, where a threshold on it was learned."""

    question: str = ""
    expected: str | None = None
    value: str | None = None
    document: str | None = None
    line: int | None = None
    arms: dict[str, ArmAnswer] = {}
    lead: float | None = None
    passages: list[PassageRead] = []


# --- figures --------------------------------------------------------------------------------------


class Difference(Part):
    """The `figure` of one arm less that of another, over the same questions, with its 95%
    interval."""

    arm: str
    against: str
    figure: str
    value: float
    low: float
    high: float


class Choice(Part):
    """Which arm to ship by the recipe's weights. `gaps`: the shipped arm's score less each other's;
    `ties`: arms that noise cannot tell from the best; `rival`: the strongest arm that does not
    ship."""

    weights: dict[str, float]
    best: str
    recommended: str
    ties: list[str]
    rival: str | None
    scores: dict[str, Interval]
    gaps: dict[str, Interval]


class Similarities(Part):
    """The similarity of each question's best passage."""

    answerable: list[float] = []
    unanswerable: list[float] = []


class Retrieval(Part):
    """How well the right passage is found, over all questions that name a document. Figures are
    recall_at_k and mrr; `page` and `distinct_page` are None where no question names its pages."""

    questions: int = 0
    document: Figures | None = None
    page: Figures | None = None
    distinct_page: Figures | None = None
    passage: Figures | None = None
    best_similarity: Similarities = Similarities()
    refuse_below: float | None = None


class GateResult(Part):
    """One gate of the recipe. `low` and `high`: the interval by which a gate that must be reached
    surely was passed."""

    gate: str
    measured: float | None
    wanted: float | None = None
    passed: bool
    low: float | None = None
    high: float | None = None


class Sample(Part):
    """How many of the test questions were asked; `set_aside`: those that only taught the refusal
    threshold."""

    asked: int | None = None
    of: int | None = None
    set_aside: int | None = None


class Shipping(Part):
    """Which rule chose the arm that ships, which gates each arm misses, what is left out."""

    rule: str
    missed: dict[str, list[str]]
    left_out: list[str]
    why: str = ""


class PassageGuarantee(Part):
    """How many passages must be shown so that the right one is among them in at least `share` of
    questions, with probability `sure`: `needed`, None where not even `depth` will do.
    `shown_of_100`: in how many of 100 questions at least it is among the `shown` passages that the
    bundle shows, with the same probability."""

    questions: int
    share: float
    sure: float
    depth: int
    needed: int | None
    shown: int
    shown_of_100: float


class Guarantee(Part):
    """What may be promised of the shipped arm's answers to questions like the test's (see
    `guarantee.Card`). `arms`: among how many arms it was chosen by the same questions, which the
    bounds allow for. `missing`: how many more answers, all right, would show that at most the share
    `wrong` is wrong. `made_up`: when a quote is refused was held against made-up questions alone."""

    sentence: str
    questions: int
    answered: int
    right: int
    sure: float
    arms: int = 1
    answered_of_100: float
    right_of_100: float
    wrong: float
    missing: int
    passages: PassageGuarantee | None = None
    made_up: bool = False


class RiskMeasured(Part):
    """What a threshold on sureness does to questions: `answered` of `questions` are at least so
    sure, and `wrong` of these are wrong."""

    questions: int
    answered: int
    wrong: int


class RiskReport(Part):
    """From which sureness on the bundle answers, so that at most the share `wrong` of its answers is
    wrong, with probability `sure` (`guarantee.control_risk`). `sure_from`: None where nothing can be
    promised, and then the bundle gives no answer; `missing` says how many more answers as good as
    the surest would be needed at least. `learned`: on the questions set aside; `measured`: on the
    test questions."""

    wrong: float
    sure: float
    sure_from: float | None
    missing: int
    learned: RiskMeasured
    measured: RiskMeasured

    @property
    def threshold(self) -> float:
        """The threshold as the bundle has it: above any sureness where nothing can be promised."""
        return NEVER_SURE if self.sure_from is None else self.sure_from


# --- parts that not every recipe has --------------------------------------------------------------


class LearnedThresholds(Part):
    """The refusal thresholds as they ship; `lead` None is not looked at."""

    cosine: float
    lead: float | None


class ThresholdFigures(Part):
    """What the thresholds refuse of some questions. `separation`: the area under each signal's ROC
    curve; `curves`: (threshold, right refusals, wrong refusals) of each signal."""

    answerable: int
    unanswerable: int
    refused_right: float | None
    refused_wrong: float | None
    separation: dict[str, float | None] = {}
    curves: dict[str, list[tuple[float, float, float]]] = {}


class Calibration(Part):
    """The learned thresholds, on the questions that they were learned from and on measured ones."""

    thresholds: LearnedThresholds
    source: str | None = None
    learned: ThresholdFigures | None = None
    measured: ThresholdFigures | None = None


class StepFigures(Part):
    """Figures after each step from the base to the export, and what each step changed."""

    figures: dict[str, dict[str, float]]
    moves: dict[str, dict[str, Interval]]


class Attribution(Part):
    """Where quality was won and lost; `with_retrieval` None without documents."""

    questions: int
    steps: list[str]
    with_retrieval: StepFigures | None
    without_retrieval: StepFigures


class Silence(Part):
    """What `fieldpack ask` asked of the system. `tool` None: nothing could be watched, and `why`.
    `named`: the first calls and files; the counts are of all of them."""

    tool: str | None
    why: str = ""
    command: str = ""
    exit: int = 0
    calls: int = 0
    threads: int = 0
    silent: bool = False
    network: int = 0
    looked_up: int = 0
    written: int = 0
    named: list[str] = []
    errors: str = ""


class TrainingStep(Part):
    """One update of the weights."""

    step: int
    loss: float
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens: int | None = None
    tokens_per_s: float | None = None


class ValidationLoss(Part):
    """The loss on the rows held out, after a step, and the shares of their questions that the model
    refuses, wrongly and rightly."""

    step: int
    loss: float
    wrong_refusals: float | None = None
    right_refusals: float | None = None


class TrainingLog(Part):
    """What the training's log.json holds; `kept_step`: the step whose adapter ships."""

    train: list[TrainingStep] = []
    validation: list[ValidationLoss] = []
    kept_step: int | None = None


# --- the library ----------------------------------------------------------------------------------


class LibraryTotals(Part):
    """Documents by what became of them, and the size of those that were read."""

    read: int
    skipped: int
    same: int
    warned: int
    dated: int
    pages: int
    chunks: int
    characters: int


class LibraryDocument(Part):
    """A document that was read."""

    title: str | None
    date: str | None
    document: str
    pages: int
    chunks: int
    characters: int


class LibraryDocuments(Part):
    """The documents of a library. `folders`: (folder, documents, pages, chunks); `skipped` and
    `warned`: (document, why); `same`: (document, the one read in its place); `dates`: the first and
    the last; `tags`: (tag, documents). Lists are cut, totals are whole."""

    totals: LibraryTotals
    documents: list[LibraryDocument]
    folders: list[tuple[str, int, int, int]]
    skipped: list[tuple[str, str]]
    same: list[tuple[str, str]]
    warned: list[tuple[str, str]]
    dates: tuple[str, str] | None
    tags: list[tuple[str, int]]


class ChunkLengths(Part):
    """Tokens a chunk. `bins`: (from, to, chunks), the end left out; `over`: chunks of which the
    embedder, which reads `limit` tokens, sees only the beginning."""

    counted: int
    limit: int
    over: int
    longest: int
    median: int
    p95: int
    bins: list[tuple[int, int, int]]


class VectorMap(Part):
    """Vectors in two dimensions, which hold the share `kept` of their variance. `points`: (x, y,
    place in `groups`, label); `questions`: (x, y, kind, text)."""

    by: str = ""
    groups: list[str] = []
    kept: float = 0.0
    points: list[tuple[float, float, int | None, str]]
    questions: list[tuple[float, float, str, str]]


class WeakQuestion(Part):
    """A question without a good passage. `found`: (where, similarity, how its text begins)."""

    question: str
    line: int
    document: str | None
    pages: list[int]
    rank: int | None
    similarity: float
    far: bool
    found: list[tuple[str, float, str]]


class LibraryQuestions(Part):
    """How many answerable questions find no good passage, and the worst of them."""

    answerable: int
    weak: int = 0
    good: int = 0
    depth: int = 0
    refuse_below: float | None = None
    rows: list[WeakQuestion] = []


class LibrarySummary(LibraryDocuments):
    """A library in figures, small enough for a report. `bytes`: by file; `repeats`: sampled chunks
    that say what a chunk of another document says."""

    chunks: int
    dim: int
    bytes: dict[str, int]
    repeats: int
    lengths: ChunkLengths
    map: VectorMap
    questions: LibraryQuestions


# --- the whole ------------------------------------------------------------------------------------


class Report(Part):
    """One evaluation. Parts that were not measured are None or empty. `intervals`: (low, high) by
    arm and figure; `model`: what the stages before said of themselves."""

    name: str = ""
    version: str = ""
    schema_version: int = Field(SCHEMA, validation_alias="schema", serialization_alias="schema")
    shipped: str
    arms: dict[str, Figures]
    intervals: dict[str, dict[str, tuple[float, float]]] = {}
    differences: list[Difference] = []
    choice: Choice | None = None
    retrieval: Retrieval | None = None
    library: LibrarySummary | None = None
    calibration: Calibration | None = None
    attribution: Attribution | None = None
    silence: Silence | None = None
    gates: list[GateResult] = []
    sample: Sample = Sample()
    questions: list[QuestionRow] = []
    model: Receipts = {}
    training: TrainingLog | None = None
    tools: dict[str, str] = {}
    ship: Shipping | None = None
    guarantee: Guarantee | None = None
    risk: RiskReport | None = None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the report in `folder`. Raises FileNotFoundError, and DataError for a file that is
        no report."""
        path = folder / NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not a report of an evaluation ({error})") from None

    def write(self, folder: Path) -> None:
        """Write report.json into `folder`."""
        (folder / NAME).write_text(self.to_json(), encoding="utf-8")
