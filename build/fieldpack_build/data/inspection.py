"""What `build data` says of a recipe's training rows, as types. Knows nothing of how it is gathered
or shown."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class InspectedFile(_Part):
    """A file of rows. `shapes`: rows of each format."""

    file: str
    shapes: dict[str, int]
    rows: int
    refusals: int


class TokenLengths(_Part):
    """Tokens of the rows. `bars`: (from, to, rows) of equal width, the last one up to the longest
    row."""

    rows: int
    total: int | None = None
    shortest: int = 0
    median: int = 0
    p95: int = 0
    longest: int = 0
    too_long: int = 0
    bars: list[tuple[int, int, int]] = []


class Supervision(_Part):
    """What is learned: `tokens` of the answers, their `share` of all; `refuse`: rows whose answer
    is the refusal, those that read distractors alone among them; `cite`: rows whose answer points
    to a passage."""

    rows: int
    tokens: int
    share: float
    refuse: int
    cite: int


class TextRun(_Part):
    """Neighbouring tokens as text, all of them learned or none."""

    supervised: bool
    text: str


class InspectedExample(_Part):
    """A row as a model reads it; `supervised` of its `tokens` are learned."""

    place: str
    tokens: int
    supervised: int
    parts: list[TextRun]


class Inspection(_Part):
    """`documents`: rows by the document that they name, "" for none; `limits`: what bounds a row's
    tokens, by name; `answerable`: test questions that have an answer, `without_value`: those of them
    that name no value."""

    problems: list[str]
    warnings: list[str]
    duplicates: list[str]
    contradictions: list[str]
    leaks: list[str]
    files: list[InspectedFile]
    rows: int
    refusals: int
    questions: int
    answerable: int = 0
    without_value: int = 0
    documents: dict[str, int]
    passages: int
    limits: dict[str, int | None]
    tokens: TokenLengths
    supervised: Supervision
    special_tokens: list[str]
    examples: list[InspectedExample]
