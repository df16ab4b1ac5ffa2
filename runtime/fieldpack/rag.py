"""Question in, sourced answer or refusal out: retrieve, prompt, generate, cite. Knows nothing of files on disk,
terminals or HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from unicodedata import category

from .answers import QUOTED, RELATED, Answer, CitationsFound, Done, Event, PassagesFound, QuoteFound, TextPiece, Timings
from .citations import cite, strip_marks, unsupported
from .errors import EmptyQuestion, QuestionError, QuestionTooLong
from .generation.kv_cache import check
from .index.query_terms import content_words
from .passages import Citation, Filter, Passage, Previous
from .prompt import PromptBuilder
from .retrieval.quoting import Quote, pick

if TYPE_CHECKING:
    from .generation.engine import Engine
    from .retrieval.retriever import Retriever

_VAGUE, _ELSEWHERE = 0.1, 0.04  # of cosine, see `follow_up`
_FEW = 2  # words that mean something, in a question that may need the one before it
_UNSPEAKABLE = frozenset(("Cc", "Cs", "Cn", "Co"))  # control, lone surrogate, unassigned, private use


@dataclass(frozen=True, slots=True)
class Arm:
    """Which halves answer; evaluation switches them, a device leaves both on."""

    retrieval: bool = True
    threshold: bool = True


def clean_question(question: str, max_chars: int) -> str:
    """Trimmed, without control characters (NUL among them); joiners that scripts need stay. Raises EmptyQuestion,
    QuestionTooLong."""
    text = " ".join("".join(c if category(c) not in _UNSPEAKABLE else " " for c in question).split())
    if not text:
        raise EmptyQuestion("the question is empty; ask something in words")
    if len(text) > max_chars:
        raise QuestionTooLong(f"the question has {len(text):,} characters, this bundle takes {max_chars:,}; shorten it")
    return text


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it is read, and what was found for it."""

    question: str
    passages: tuple[Passage, ...]

    @property
    def similarity(self) -> float:
        return max((p.similarity for p in self.passages), default=-1.0)


class Rag:
    """The parts of an opened bundle at work. `retriever` is None in a bundle without knowledge, `generator` in one without a
    language model, which quotes."""

    def __init__(self, builder: PromptBuilder, generator: Engine | None, retriever: Retriever | None) -> None:
        self.builder = builder
        self.generator = generator
        self.retriever = retriever

    def stream(
        self, question: str, *, cancel: threading.Event | None = None, arm: Arm | None = None,
        previous: Previous | None = None, where: Filter | None = None, schema: str | None = None,
    ) -> Iterator[Event]:  # fmt: skip
        """Events in order: PassagesFound, QuoteFound (where a model answers and a passage's words are near enough),
        TextPiece..., CitationsFound, Done. Closing the iterator stops the model."""
        arm = arm or Arm()
        if self.generator is None:
            yield from self._quoted(question, cancel, arm, previous, where, schema)
            return
        from .generation.engine import GenerationStats

        settings = self.builder.settings
        started = time.perf_counter()
        question = clean_question(question, settings.max_question_chars)
        retriever = self.retriever if arm.retrieval else None
        asked = self._find(retriever, question, previous, where)
        retrieval_ms = (time.perf_counter() - started) * 1000
        prompt = self.builder.build(asked.question, asked.passages)
        passages = asked.passages[: prompt.used]
        yield PassagesFound(passages)

        stats = GenerationStats()
        text, quote, quote_ms, before_ms = "", None, 0.0, retrieval_ms
        if retriever and arm.threshold and self._unfounded(asked, retriever):
            text = settings.refusal
            yield TextPiece(text)
        else:
            quote = self._quote(asked.question, passages, retriever) if schema is None else None
            quote = quote if quote and quote.sufficient else None
            if quote:
                quote_ms = (time.perf_counter() - started) * 1000
                yield QuoteFound(quote)
            before_ms = (time.perf_counter() - started) * 1000
            guided = {} if schema is None else {"schema": schema}
            pieces = self.generator.stream(
                prompt.text, max_new_tokens=settings.max_answer_tokens, max_context=settings.max_context,
                repetition_penalty=settings.repetition_penalty, cancel=cancel, stats=stats, **guided,
            )  # fmt: skip
            for piece in pieces:
                text += piece
                yield TextPiece(piece)
        total_ms = (time.perf_counter() - started) * 1000
        timings = Timings(
            retrieval_ms, before_ms + stats.first_token_ms, total_ms, stats.tokens, stats.tokens_per_s,
            stats.prompt_tokens, stats.cached_tokens, stats.drafts.drafted, stats.drafts.accepted, quote_ms,
        )  # fmt: skip
        answer = finish(question, text, passages, settings.refusal, timings, cited=schema is None)
        answer = replace(answer, asked=asked.question, citations=self._checked(answer), quote=quote, cut=stats.cut)
        yield CitationsFound(answer.citations)
        yield Done(answer)

    def _quoted(
        self, question: str, cancel: threading.Event | None, arm: Arm, previous: Previous | None, where: Filter | None,
        schema: str | None,
    ) -> Iterator[Event]:  # fmt: skip
        """As `stream`, in a bundle without a language model: the answer is a passage's words. Raises QuestionError for a
        schema, which only a model could fill."""
        settings, started = self.builder.settings, time.perf_counter()
        question = clean_question(question, settings.max_question_chars)
        if schema is not None:
            raise QuestionError("this bundle quotes its documents and has no language model to fill a JSON schema")
        asked = self._find(self.retriever, question, previous, where)
        retrieval_ms = (time.perf_counter() - started) * 1000
        yield PassagesFound(asked.passages)
        check(cancel)
        quote = None
        if self.retriever and not (arm.threshold and self._unfounded(asked, self.retriever)):
            quote = self._quote(asked.question, asked.passages, self.retriever)
        total_ms = (time.perf_counter() - started) * 1000
        stands = quote is not None and quote.sufficient
        timings = Timings(retrieval_ms, total_ms, total_ms, 0, 0.0, 0, quote_ms=total_ms if stands else 0.0)
        answer = Answer(question, settings.refusal, True, (), asked.passages, timings, asked.question, kind=QUOTED)
        if quote and quote.sufficient:
            answer = replace(
                answer, text=f"{quote.text} [{quote.citation.passage}]", refused=False, citations=(quote.citation,),
                kind=QUOTED if quote.direct else RELATED, quote=quote,
            )  # fmt: skip
            answer = replace(answer, citations=self._checked(answer))
        yield TextPiece(answer.text)
        yield CitationsFound(answer.citations)
        yield Done(answer)

    def _quote(self, question: str, passages: tuple[Passage, ...], retriever: Retriever | None) -> Quote | None:
        quoting = self.builder.settings.quoting
        if retriever is None or quoting is None:
            return None
        lead = retriever.lead(question) if quoting.refuse_below is not None else 0.0
        return pick(question, passages, retriever.embedder, quoting, lead=lead)

    def ask(self, question: str, **options: Any) -> Answer:
        """As `stream`."""
        for event in self.stream(question, **options):
            if isinstance(event, Done):
                return event.answer
        raise AssertionError("a stream ends with Done")

    def read_ahead(
        self, question: str = "", *, previous: Previous | None = None, where: Filter | None = None,
        cancel: threading.Event | None = None,
    ) -> None:  # fmt: skip
        """Read what the prompt of a question that is still being typed will begin with, as far as it can be told: the system
        text, and the passages found so far. Raises Cancelled."""
        if self.generator is None:
            return
        settings = self.builder.settings
        question = question.strip()[: settings.max_question_chars]
        asked = self._find(self.retriever, question, previous, where) if question else Asked("", ())
        prompt = self.builder.build(asked.question, asked.passages)
        if self.retriever and not asked.passages:
            prompt = self.builder.opening()
        self.generator.read_ahead(prompt.text, max_context=settings.max_context, cancel=cancel)

    def _find(
        self, retriever: Retriever | None, question: str, previous: Previous | None, where: Filter | None
    ) -> Asked:
        """What is read for a question. A follow-up is read over the passages before, in their order, where its best one is
        among them: the model has read those already."""
        if retriever is None:
            return Asked(question, ())

        def found(text: str, count: int) -> Asked:
            return Asked(text, tuple(retriever.search(text, count, where)))

        count = self.builder.settings.passages
        asked = found(question, count)
        if previous is None:
            return asked
        joined = f"{previous.question} {question}"
        short = len(content_words(question)) <= _FEW  # what says enough is not searched for three times
        if short and len(joined) <= self.builder.settings.max_question_chars:
            asked = follow_up(asked, found(joined, count), found(previous.question, 1))
        if asked.passages and asked.passages[0].chunk_id in previous.passages:
            return replace(asked, passages=retriever.again(previous.passages, asked.passages))
        return asked

    def _checked(self, answer: Answer) -> tuple[Citation, ...]:
        """The citations whose quote stands in the library as it is stored, byte for byte."""
        if not answer.citations or self.retriever is None:
            return ()
        index = self.retriever.index
        cited = [(c, answer.passages[c.passage - 1]) for c in answer.citations]
        return tuple(c for c, p in cited if c.quote in index.context(p.chunk_id, p.end).text)

    def _unfounded(self, asked: Asked, retriever: Retriever) -> bool:
        settings = self.builder.settings
        if asked.similarity < settings.refuse_below:
            return True
        return settings.refuse_lead_below is not None and retriever.lead(asked.question) < settings.refuse_lead_below


def follow_up(alone: Asked, joined: Asked, before: Asked) -> Asked:
    """A follow-up as a question of its own, or joined to the one before: joined where it says little alone ("And for a
    trader?"; at most two words that mean something) and the two together are about as near to the library as the first was;
    a question about something else draws them away from it. Chosen on twenty follow-ups of the finance recipe: 17 are read
    as a person would."""
    words = len(content_words(alone.question))
    vague = words < 2 or (words == _FEW and alone.similarity < before.similarity - _VAGUE)
    return joined if vague and joined.similarity >= before.similarity - _ELSEWHERE else alone


def finish(
    question: str, text: str, passages: tuple[Passage, ...], refusal: str, timings: Timings, *, cited: bool = True
) -> Answer:
    """The model's words -> an Answer: a refusal is recognised by its words, marks become citations. `cited`: off for text
    that is no prose, such as JSON."""
    text = text.strip()
    if is_refusal(text, refusal):
        return Answer(question, refusal, True, (), passages, timings, question)
    citations: tuple[Citation, ...] = ()
    if cited:
        text, citations = cite(text, passages)
    figures = unsupported(text, passages) if passages else ()
    return Answer(question, text, False, citations, passages, timings, question, figures)


def is_refusal(text: str, refusal: str) -> bool:
    """The answer is the bundle's refusal, its marks, case and final punctuation aside, or begins with it."""
    plain = strip_marks(text).casefold().rstrip(". ")
    return not plain or plain.startswith(refusal.casefold().rstrip(". "))
