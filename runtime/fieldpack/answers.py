"""What an expert says: the events of an answer, and the answer whole. Knows nothing of how either is made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .passages import Citation, Passage, Previous


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds from the question; `first_token_ms` and `total_ms` include the retrieval before them."""

    retrieval_ms: float
    first_token_ms: float
    total_ms: float
    tokens: int
    tokens_per_s: float
    prompt_tokens: int
    cached_tokens: int = 0
    drafted: int = 0
    accepted: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """`passages` are those the model read, in the order of their numbers. A refusal cites nothing. `asked`: the question as
    it was read, a follow-up with the question that it refers to. `unsupported`: [start, end) of the figures in `text` that
    stand in no passage."""

    question: str
    text: str
    refused: bool
    citations: tuple[Citation, ...]
    passages: tuple[Passage, ...]
    timings: Timings
    asked: str = ""
    unsupported: tuple[tuple[int, int], ...] = ()

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
            "unsupported": [list(span) for span in self.unsupported],
            "citations": [asdict(c) for c in self.citations],
            "passages": [asdict(p) for p in self.passages],
            "timings": {k: round(v, 2) for k, v in asdict(self.timings).items()},
        }


@dataclass(frozen=True, slots=True)
class PassagesFound:
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class TextPiece:
    text: str


@dataclass(frozen=True, slots=True)
class CitationsFound:
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class Done:
    answer: Answer


Event = PassagesFound | TextPiece | CitationsFound | Done
