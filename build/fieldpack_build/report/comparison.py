"""Two bundles compared, as lines for a terminal and as a page. Knows nothing of how the comparison
was made."""

from __future__ import annotations

from dataclasses import dataclass

from ..evaluation.compare import ChangedQuestion, Comparison
from .tables import COLUMNS, NONE, Column, signed, text_of

_COLUMNS = {column.key: column for column in COLUMNS}
_MAX_QUESTIONS, _MAX_DIFFERENCES = 10, 30  # of each kind, in a terminal


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: `tone` is better, worse, noise or empty."""

    label: str
    one: str
    other: str
    difference: str
    range: str
    tone: str


def figure_lines(compared: Comparison) -> list[Line]:
    """Return each figure in words."""
    rows = []
    for figure in compared.figures:
        column = _COLUMNS.get(figure.figure, Column(figure.figure, figure.figure))
        gap, low, high = figure.difference, figure.low, figure.high
        edges = ""
        if low is not None and high is not None:
            edges = f"{signed(column, low)} to {signed(column, high)}"
        rows.append(
            Line(
                column.label,
                text_of(column, figure.a),
                text_of(column, figure.b),
                NONE if gap is None else signed(column, gap),
                edges,
                figure.tone,
            )
        )
    return rows


def headline(compared: Comparison) -> str:
    """Return B against A in a sentence, after one for each that answers nothing."""
    silent = "".join(
        f"{name} answers none of its {bundle.asked} questions. "
        for name, bundle in (("A", compared.a), ("B", compared.b))
        if bundle.answers_nothing
    )
    score = compared.score
    if score is None:
        return f"{silent}No question was asked of both: their answers cannot be compared."
    words = {"good": "better", "bad": "worse"}.get(
        tone(compared), "neither better nor worse than A, as far as these questions show"
    )
    return (
        f"{silent}B is {words}: {score.b:.3f} against {score.a:.3f} in score, a difference of "
        f"{score.value:+.3f} "
        f"(95% {score.low:+.3f} to {score.high:+.3f}) on {compared.questions.common} "
        "common questions."
    )


def tone(compared: Comparison) -> str:
    """Return good where B scores more than A by more than noise, bad where it scores less or alone
    answers nothing, else mixed."""
    score = compared.score
    if compared.b.answers_nothing and not compared.a.answers_nothing:
        return "bad"
    if score is None or score.low <= 0 <= score.high:
        return "mixed"
    return "good" if score.low > 0 else "bad"


def lines(compared: Comparison) -> list[str]:
    """Return what `build compare` prints."""
    text = []
    for name, bundle in (("A", compared.a), ("B", compared.b)):
        about = f"{bundle.name} {bundle.version} ({bundle.arm}, {bundle.asked} questions)"
        text.append(f"{name}: {about}, {bundle.folder}")
    text += [
        "",
        headline(compared),
        *notes(compared),
        "",
        f"{'':<18}{'A':>10}{'B':>10}{'B - A':>10}   95% interval",
    ]
    for line in figure_lines(compared):
        word = f"  {line.tone}" if line.tone in ("better", "worse") else ""
        text.append(
            f"{line.label:<18}{line.one:>10}{line.other:>10}{line.difference:>10}   "
            f"{line.range}{word}".rstrip()
        )
    text += _questions("right in A, not in B", compared.turned.worse)
    text += _questions("right in B, not in A", compared.turned.better)
    built = differences(compared)
    for heading, rows in built:
        text += ["", f"{heading.lower()}:"]
        text += [
            f"  {what}: {one} -> {other}" if one else f"  {what}: {other}"
            for what, one, other in rows[:_MAX_DIFFERENCES]
        ]
        if len(rows) > _MAX_DIFFERENCES:
            text.append(f"  ... and {len(rows) - _MAX_DIFFERENCES} more")
    return text if built else [*text, "", "built alike"]


def _questions(heading: str, rows: list[ChangedQuestion]) -> list[str]:
    if not rows:
        return []
    text = ["", f"{heading}: {len(rows)}"]
    text += [
        f"  {row.question}  ({row.a.outcome} -> {row.b.outcome})" for row in rows[:_MAX_QUESTIONS]
    ]
    if len(rows) > _MAX_QUESTIONS:
        text.append(f"  ... and {len(rows) - _MAX_QUESTIONS} more")
    return text


def differences(compared: Comparison) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Return (heading, [(what, in A, in B)]) of what was built differently; headings without a row
    are left out."""
    documents = compared.documents
    parts = [
        ("Recipe", [(key, _value(a), _value(b)) for key, (a, b) in compared.recipe.items()]),
        (
            "Documents",
            [
                *((name, "–", "added") for name in documents.added),
                *((name, "there", "removed") for name in documents.removed),
                *((name, "there", "changed") for name in documents.changed),
            ],
        ),
        (
            "Stages",
            [(name, "", word) for name, word in compared.stages.items() if word != "same"],
        ),
        ("Tools", [(key, _value(a), _value(b)) for key, (a, b) in compared.tools.items()]),
        (
            "Sizes",
            [
                (role, f"{a:,.1f} MB", f"{b:,.1f} MB")
                for role, (a, b) in compared.sizes.items()
                if a != b
            ],
        ),
    ]
    return [(heading, rows) for heading, rows in parts if rows]


def notes(compared: Comparison) -> list[str]:
    """Return a line about the questions that were left out, where there are any."""
    counts = (
        (compared.questions.changed, "expect another answer now"),
        (compared.questions.only_a, "were asked of A alone"),
        (compared.questions.only_b, "were asked of B alone"),
    )
    words = [f"{count} {text}" for count, text in counts if count]
    return [f"Left out: {', '.join(words)}."] if words else []


def _value(value: object) -> str:
    if value is None:
        return NONE
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 120 else text[:119] + "…"
