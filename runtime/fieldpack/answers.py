"""What an expert says: the events of an answer, and the answer whole. Knows nothing of how either is made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .passages import Citation, Passage, Previous
from .retrieval.quoting import Quote

WRITTEN, QUOTED, RELATED = "written", "quote", "related"


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds from the question; `first_token_ms` and `total_ms` include the retrieval and the quote before
    them. `quote_ms`: until a passage's words stood, 0 where none did."""

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


@dataclass(frozen=True, slots=True)
class Answer:
    """`passages` are those the model read, in the order of their numbers. A refusal cites nothing. `asked`: the question as
    it was read, a follow-up with the question that it refers to. `unsupported`: [start, end) of the figures in `text` that
    stand in no passage. `kind`: "written" by a language model; "quote", the words of a passage; "related", such words for a
    question that wants yes or no or a figure worked out, which they do not say by themselves. `quote`: what stood above a
    written answer before it came, or is the answer. `cut`: a limit on tokens ended the answer, not the model."""

    question: str
    text: str
    refused: bool
    citations: tuple[Citation, ...]
    passages: tuple[Passage, ...]
    timings: Timings
    asked: str = ""
    unsupported: tuple[tuple[int, int], ...] = ()
    kind: str = WRITTEN
    quote: Quote | None = None
    cut: bool = False

    @property
    def previous(self) -> Previous:
        """What a follow-up goes on from."""
        return Previous(self.asked, tuple(passage.chunk_id for passage in self.passages))

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `fieldpack ask --json`."""
        return {
            "question": self.question,
            "answer": self.text,
            "asked": self.asked,
            "refused": self.refused,
            "cut": self.cut,
            "kind": self.kind,
            "quote": quote_dict(self.quote),
            "unsupported": [list(span) for span in self.unsupported],
            "citations": [asdict(c) for c in self.citations],
            "passages": [asdict(p) for p in self.passages],
            "timings": {k: round(v, 2) for k, v in asdict(self.timings).items()},
        }


def quote_dict(quote: Quote | None) -> dict[str, Any] | None:
    """{text, document, page, quote, passage}: `text` for people, `quote` the exact slice of the passage."""
    return None if quote is None else {"text": quote.text, **asdict(quote.citation)}


@dataclass(frozen=True, slots=True)
class PassagesFound:
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class QuoteFound:
    """The nearest words of the passages, which stand while a language model still reads."""

    quote: Quote


@dataclass(frozen=True, slots=True)
class TextPiece:
    text: str


@dataclass(frozen=True, slots=True)
class CitationsFound:
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class Done:
    answer: Answer


Event = PassagesFound | QuoteFound | TextPiece | CitationsFound | Done
