"""Question in, sourced answer or refusal out: retrieve, prompt, generate, cite. Knows nothing of files on disk,
terminals or HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any
from unicodedata import category

from .citations import cite, strip_marks
from .errors import EmptyQuestion, QuestionTooLong
from .passages import Citation, Filter, Passage
from .prompt import PromptBuilder
from .ranking import RetrievalSettings
from .search import Topic, topic_of

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from .devices import Device
    from .embedder import Embedder
    from .generator import TextGenerator
    from .index import KnowledgeIndex
    from .reranker import Reranker


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds from the question; `first_token_ms` and `total_ms` include the retrieval before them."""

    retrieval_ms: float
    first_token_ms: float
    total_ms: float
    tokens: int
    tokens_per_s: float
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """`passages` are those the model read, in the order of their numbers. A refusal cites nothing."""

    question: str
    text: str
    refused: bool
    citations: tuple[Citation, ...]
    passages: tuple[Passage, ...]
    timings: Timings

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `fieldpack ask --json`."""
        return {
            "question": self.question,
            "answer": self.text,
            "refused": self.refused,
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


@dataclass(frozen=True, slots=True)
class Arm:
    """Which halves answer; evaluation switches them, a device leaves both on."""

    retrieval: bool = True
    threshold: bool = True


LEAD_OVER = (5, 20)  # ranks, from 0: which chunks the closest one is compared with
_UNSPEAKABLE = frozenset(("Cc", "Cs", "Cn", "Co"))  # control, lone surrogate, unassigned, private use


class Retriever:
    """A question's passages: embeds it, searches vectors, words and names together; with a `reranker`, reads the best
    of them once more and orders them anew."""

    def __init__(
        self, embedder: Embedder, index: KnowledgeIndex, settings: RetrievalSettings | None = None,
        reranker: Reranker | None = None,
    ) -> None:  # fmt: skip
        self.embedder = embedder
        self.index = index
        self.settings = settings or RetrievalSettings()
        self.reranker = reranker

    def search(self, question: str, k: int, where: Filter | None = None) -> list[Passage]:
        vector = self.embedder.embed_query(question)
        topic = topic_of(self.index, question, where) if self.settings.names else Topic({})
        if topic.paths:
            topic = replace(topic, vector=between(vector, self.embedder.embed_query(topic.question)))
        count = max(k, self.settings.rerank) if self.reranker else k
        found = self.index.search(question, vector, count, where, self.settings, topic)
        return self._reranked(question, found)[:k] if self.reranker else found

    def lead(self, question: str) -> float:
        """See `lead_of`; looks at the library's closest chunks, however they are ranked as passages."""
        near = self.index.closest(self.embedder.embed_query(question), LEAD_OVER[1], None)
        return lead_of(near.values())

    def _reranked(self, question: str, found: list[Passage]) -> list[Passage]:
        """In the order of the cross-encoder's scores, which become the passages'."""
        assert self.reranker
        scores = self.reranker.score(question, [p.in_context for p in found]) if found else ()
        order = sorted(range(len(found)), key=lambda i: (-scores[i], i))
        return [replace(found[i], score=float(scores[i])) for i in order]


def open_retriever(
    embedder: Path, knowledge: Path, settings: RetrievalSettings, *, reranker: Path | None = None,
    device: Device | None = None,
) -> Retriever:  # fmt: skip
    """From the folders of a bundle, or of the build's stages."""
    from .embedder import Embedder
    from .index import KnowledgeIndex
    from .reranker import Reranker

    judge = Reranker.open(reranker, device=device) if reranker else None
    return Retriever(Embedder.open(embedder, device=device), KnowledgeIndex(knowledge), settings, judge)


def lead_of(similarities: Iterable[float]) -> float:
    """How far the closest chunk stands out: its cosine less the mean of the 6th to 20th closest, 0 to 2. A question that
    the library answers is near to a chunk or two; one beside its subject is about as near to many.

    On the 582 questions of the finance recipe (115 of them unanswerable, by intent near misses) it tells the two apart
    in 66 to 70% of pairs, the cosine itself in 58 to 62%."""
    near = sorted(similarities, reverse=True)
    rest = near[LEAD_OVER[0] : LEAD_OVER[1]] or near[1:]
    return near[0] - sum(rest) / len(rest) if rest else 2.0


def between(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """The unit vector midway between two, [dim]."""
    import numpy as np

    middle = one + other
    return middle / max(float(np.linalg.norm(middle)), 1e-9)


def clean_question(question: str, max_chars: int) -> str:
    """Trimmed, without control characters (NUL among them); joiners that scripts need stay. Raises EmptyQuestion,
    QuestionTooLong."""
    text = " ".join("".join(c if category(c) not in _UNSPEAKABLE else " " for c in question).split())
    if not text:
        raise EmptyQuestion("the question is empty; ask something in words")
    if len(text) > max_chars:
        raise QuestionTooLong(f"the question has {len(text):,} characters, this bundle takes {max_chars:,}; shorten it")
    return text


class Rag:
    """The parts of an opened bundle at work. `retriever` is None in a bundle without knowledge."""

    def __init__(self, builder: PromptBuilder, generator: TextGenerator, retriever: Retriever | None) -> None:
        self.builder = builder
        self.generator = generator
        self.retriever = retriever

    def stream(
        self, question: str, *, cancel: threading.Event | None = None, arm: Arm | None = None
    ) -> Iterator[Event]:
        """Events in order: PassagesFound, TextPiece..., CitationsFound, Done. Closing the iterator stops the model."""
        from .generator import GenerationStats

        arm = arm or Arm()
        settings = self.builder.settings
        started = time.perf_counter()
        question = clean_question(question, settings.max_question_chars)
        retriever = self.retriever if arm.retrieval else None
        found = tuple(retriever.search(question, settings.passages)) if retriever else ()
        retrieval_ms = (time.perf_counter() - started) * 1000
        prompt = self.builder.build(question, found)
        passages = found[: prompt.used]
        yield PassagesFound(passages)

        stats = GenerationStats()
        text = ""
        if retriever and arm.threshold and self._unfounded(question, found, retriever):
            text = settings.refusal
            yield TextPiece(text)
        else:
            pieces = self.generator.stream(
                prompt.text, max_new_tokens=settings.max_answer_tokens, max_context=settings.max_context,
                repetition_penalty=settings.repetition_penalty, cancel=cancel, stats=stats,
            )  # fmt: skip
            for piece in pieces:
                text += piece
                yield TextPiece(piece)
        total_ms = (time.perf_counter() - started) * 1000
        timings = Timings(
            retrieval_ms, retrieval_ms + stats.first_token_ms, total_ms, stats.tokens, stats.tokens_per_s,
            stats.prompt_tokens,
        )  # fmt: skip
        answer = finish(question, text, passages, settings.refusal, timings)
        yield CitationsFound(answer.citations)
        yield Done(answer)

    def ask(self, question: str, *, cancel: threading.Event | None = None, arm: Arm | None = None) -> Answer:
        for event in self.stream(question, cancel=cancel, arm=arm):
            if isinstance(event, Done):
                return event.answer
        raise AssertionError("a stream ends with Done")

    def _unfounded(self, question: str, passages: tuple[Passage, ...], retriever: Retriever) -> bool:
        settings = self.builder.settings
        best = max((p.similarity for p in passages), default=-1.0)
        if best < settings.refuse_below:
            return True
        return settings.refuse_lead_below is not None and retriever.lead(question) < settings.refuse_lead_below


def finish(question: str, text: str, passages: tuple[Passage, ...], refusal: str, timings: Timings) -> Answer:
    """The model's words -> an Answer: a refusal is recognised by its words, marks become citations."""
    text = text.strip()
    if is_refusal(text, refusal):
        return Answer(question, refusal, True, (), passages, timings)
    text, citations = cite(text, passages)
    return Answer(question, text, False, citations, passages, timings)


def is_refusal(text: str, refusal: str) -> bool:
    """The answer is the bundle's refusal, its marks, case and final punctuation aside, or begins with it."""
    plain = strip_marks(text).casefold().rstrip(". ")
    return not plain or plain.startswith(refusal.casefold().rstrip(". "))
