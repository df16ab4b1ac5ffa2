"""The events of an answer while it is made, and the whole answer. Knows nothing of how either is
made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypedDict, cast

from .citations import marked_numbers
from .passages import Citation, Passage, Previous
from .retrieval.quoting import Quote

WRITTEN, QUOTED, RELATED, UNSURE = "written", "quote", "related", "unsure"


@dataclass(frozen=True, slots=True)
class Timings:
    """Times and counts of an answer. Milliseconds count from the question; `first_token_ms` and
    `total_ms` include the retrieval and the quote before them. `quote_ms`: until the quote of a
    passage, 0 where there was none."""

    retrieval_ms: float
    first_token_ms: float
    total_ms: float
    tokens: int
    tokens_per_s: float
    prompt_tokens: int
    cached_tokens: int = 0
    drafted: int = 0
    accepted: int = 0
    quote_ms: float = 0.0


class CitationJson(TypedDict):
    """A citation in JSON."""

    document: str
    page: int | None
    quote: str
    passage: int


class QuoteJson(CitationJson):
    """A quote in JSON: `text` for people, `quote` the exact slice of the passage."""

    text: str


class PassageJson(TypedDict):
    """A passage in JSON."""

    chunk_id: int
    document: str
    title: str
    page: int | None
    heading: tuple[str, ...]
    text: str
    score: float
    similarity: float
    start: int
    end: int


class AnswerJson(TypedDict):
    """The JSON of `fieldpack ask --json`."""

    question: str
    answer: str
    asked: str
    refused: bool
    cut: bool
    guessed: bool
    kind: str
    sureness: float | None
    quote: QuoteJson | None
    unsupported: list[list[int]]
    unknown_words: list[str]
    citations: Sequence[CitationJson]
    passages: Sequence[PassageJson]
    timings: dict[str, float]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `passages` are those that the model read, in the order of their numbers. A
    refusal cites nothing. `read_as`: the question as it was read, a follow-up with the question that
    it refers to. `unsupported`: [start, end) of the figures in `text` that stand in no passage.
    `kind`: "written" by a language model; "quote", the words of a passage; "related", such words
    for a question that wants yes or no or a figure worked out, which they do not say by themselves;
    "unsure", no answer, as it would not be sure enough for the risk that the bundle was built for.
    `sureness`: the estimated probability that the quote says the answer, 0 to 1, times the share of
    a written answer's words that the quote has; None where there was no quote. `guessed`: the
    answer names no passage, and the one in `citations` only shares most words with it: it is
    related, not what the answer rests on.
    `quote`: what stood above a written answer before it came, or is the answer. `cut`: a limit on
    tokens ended the answer, not the model. `unknown_words`: names and technical words of the
    question, as it was asked, that no document of the library has, so that the answer is hardly
    about them."""

    question: str
    text: str
    refused: bool
    citations: tuple[Citation, ...]
    passages: tuple[Passage, ...]
    timings: Timings
    read_as: str = ""
    unsupported: tuple[tuple[int, int], ...] = ()
    kind: str = WRITTEN
    quote: Quote | None = None
    cut: bool = False
    sureness: float | None = None
    unknown_words: tuple[str, ...] = ()

    @property
    def guessed(self) -> bool:
        """Whether the citation is not the answer's own."""
        return bool(self.citations) and not marked_numbers(self.text)

    @property
    def previous(self) -> Previous:
        """What a follow-up to this answer refers to."""
        return Previous(self.read_as, tuple(passage.chunk_id for passage in self.passages))

    def to_dict(self) -> AnswerJson:
        """Return the JSON of `fieldpack ask --json`."""
        return {
            "question": self.question,
            "answer": self.text,
            "asked": self.read_as,
            "refused": self.refused,
            "cut": self.cut,
            "guessed": self.guessed,
            "kind": self.kind,
            "sureness": self.sureness,
            "quote": quote_dict(self.quote),
            "unsupported": [list(span) for span in self.unsupported],
            "unknown_words": list(self.unknown_words),
            "citations": [citation_dict(c) for c in self.citations],
            "passages": [passage_dict(p) for p in self.passages],
            "timings": {k: round(v, 2) for k, v in asdict(self.timings).items()},
        }


def citation_dict(citation: Citation) -> CitationJson:
    """Return a citation as JSON."""
    return cast(CitationJson, asdict(citation))


def passage_dict(passage: Passage) -> PassageJson:
    """Return a passage as JSON."""
    return cast(PassageJson, asdict(passage))


def quote_dict(quote: Quote | None) -> QuoteJson | None:
    """Return a quote as JSON."""
    return None if quote is None else {"text": quote.text, **citation_dict(quote.citation)}


@dataclass(frozen=True, slots=True)
class PassagesFound:
    """The passages that the answer will be made from. `read_as`: the question as it is read, empty
    where that is as it was asked."""

    passages: tuple[Passage, ...]
    read_as: str = ""


@dataclass(frozen=True, slots=True)
class QuoteFound:
    """The words of the passages that are nearest to the question; they can be shown while a
    language model still reads."""

    quote: Quote


@dataclass(frozen=True, slots=True)
class TextPiece:
    """The next piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class CitationsFound:
    """The citations of the finished text."""

    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """The whole answer: the last event."""

    answer: Answer


Event = PassagesFound | QuoteFound | TextPiece | CitationsFound | Done
