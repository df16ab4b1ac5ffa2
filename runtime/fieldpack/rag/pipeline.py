"""The way from a question to the events of its answer: resolve, retrieve, prompt, generate or quote,
and check citations against the library. Knows nothing of files on disk, terminals or HTTP."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..answers import (
    QUOTED,
    RELATED,
    UNSURE,
    Answer,
    CitationsFound,
    Done,
    Event,
    PassagesFound,
    QuoteFound,
    TextPiece,
    Timings,
)
from ..errors import QuestionError
from ..generation.engine import GenerationStats
from ..generation.kv_cache import raise_if_cancelled
from ..passages import Citation, Filter, Passage, Previous
from ..prompt import Prompt, PromptBuilder
from ..retrieval.codes import held_codes
from ..retrieval.quoting import Quote, pick
from .answer_text import finish, sureness_of
from .questions import ResolvedQuestion, clean_question, resolve_question

if TYPE_CHECKING:
    from ..generation.engine import Engine
    from ..retrieval.retriever import Retriever

_log = logging.getLogger("fieldpack")


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """Whether an answer uses retrieval, and the refusal thresholds; evaluation switches them, a
    device leaves both on."""

    retrieval: bool = True
    threshold: bool = True


@dataclass(slots=True)
class _Draft:
    """A model's answer while it is made. `question`: as it was asked; `read_as`: as it is read, a
    follow-up perhaps joined to the question before. `min_sureness`: the sureness from which on it is
    shown, None where each piece is shown as it comes. `started`: by `time.perf_counter`. `text`:
    what there is of it, from the beginning of one that was cut on. `languages`: those of the
    library's documents. `unknown_words`: as in `Answer`."""

    question: str
    read_as: str
    passages: tuple[Passage, ...]
    min_sureness: float | None
    started: float
    retrieval_ms: float
    text: str
    languages: tuple[str, ...]
    unknown_words: tuple[str, ...] = ()
    quote: Quote | None = None
    quote_ms: float = 0.0
    before_ms: float | None = None  # until the model begins
    stats: GenerationStats = field(default_factory=GenerationStats)

    def elapsed_ms(self) -> float:
        """Return the milliseconds since the question was asked."""
        return (time.perf_counter() - self.started) * 1000

    def show_quote(self) -> Iterator[Event]:
        """Yield the quote above an answer whose pieces are shown, and note the time."""
        if self.quote is not None and self.min_sureness is None:
            self.quote_ms = self.elapsed_ms()
            yield QuoteFound(self.quote)
        self.before_ms = self.elapsed_ms()

    def timings(self) -> Timings:
        """Return the times up to now."""
        before_ms = self.retrieval_ms if self.before_ms is None else self.before_ms
        stats, total_ms = self.stats, self.elapsed_ms()
        return Timings(
            self.retrieval_ms,
            before_ms + stats.first_token_ms,
            total_ms,
            stats.tokens,
            stats.tokens_per_s,
            stats.prompt_tokens,
            stats.cached_tokens,
            stats.drafts.drafted,
            stats.drafts.accepted,
            self.quote_ms,
        )


class Rag:
    """Retrieval-augmented generation with the parts of an opened bundle."""

    def __init__(
        self, builder: PromptBuilder, generator: Engine | None, retriever: Retriever | None
    ) -> None:
        """`retriever` is None in a bundle without knowledge, `generator` in one without a language
        model, which quotes."""
        self.builder = builder
        self.generator = generator
        self.retriever = retriever

    def stream(
        self,
        question: str,
        *,
        cancel: threading.Event | None = None,
        options: AnswerOptions | None = None,
        previous: Previous | None = None,
        where: Filter | None = None,
        schema: str | None = None,
        begun: str = "",
    ) -> Iterator[Event]:
        """Yield the events of an answer: PassagesFound, QuoteFound (where a model answers and a
        passage's words are near enough), TextPiece..., CitationsFound, Done. Closing the iterator
        stops the model.

        `begun`: the text of an answer to the same question that was cut; the pieces go on from it,
        and the whole answer begins with it.

        Raises EmptyQuestion, QuestionTooLong, QuestionError (a schema that cannot be followed; no
        space to go on), Cancelled, EngineFailed."""
        options = options or AnswerOptions()
        if schema is not None and self.builder.settings.sure_from is not None:
            raise QuestionError(
                "this bundle answers only what it is sure enough of (answer.risk), which was "
                "measured on text and says nothing of a JSON schema's answers"
            )
        if self.generator is None:
            yield from self._stream_quote(question, cancel, options, previous, where, schema)
            return
        settings, started = self.builder.settings, time.perf_counter()
        question = clean_question(question, settings.max_question_chars)
        retriever = self.retriever if options.retrieval else None
        resolved = resolve_question(retriever, question, previous, where, settings)
        retrieval_ms = (time.perf_counter() - started) * 1000
        prompt = self.builder.build(resolved.question, resolved.passages, begun=begun)
        passages = resolved.passages[: prompt.used]
        min_sureness = settings.sure_from if retriever and options.threshold else None
        languages = retriever.languages if retriever else ()
        draft = _Draft(
            question,
            resolved.question,
            passages,
            min_sureness,
            started,
            retrieval_ms,
            begun,
            languages,
            retriever.unknown_words(question, passages) if retriever else (),
        )
        yield PassagesFound(passages, resolved.changed_from(question))

        if retriever and options.threshold and self._is_refused(resolved, retriever, where):
            draft.text = settings.refusal
            yield TextPiece(draft.text)
            answer = self._finished(draft, cited=schema is None)
        else:
            if schema is None:
                draft.quote = self._quote(resolved.question, passages, retriever, where)
            yield from draft.show_quote()
            yield from self._generate(draft, prompt, cancel, schema)
            answer = self._finished(draft, cited=schema is None)
            if min_sureness is not None:
                answer = self._withheld(answer, draft, min_sureness)
                yield TextPiece(answer.text.removeprefix(begun))
        yield CitationsFound(answer.citations)
        yield Done(answer)

    def _generate(
        self, draft: _Draft, prompt: Prompt, cancel: threading.Event | None, schema: str | None
    ) -> Iterator[Event]:
        """Let the model write the answer into `draft`, and yield its pieces unless they are held back
        until the answer is known to be sure. A written answer is at most as sure as its quote, so
        the model does not write one whose quote is not sure enough."""
        assert self.generator
        settings, min_sureness = self.builder.settings, draft.min_sureness
        if min_sureness is not None and (
            draft.quote is None or draft.quote.sureness < min_sureness
        ):
            return
        pieces = self.generator.stream(
            prompt.text,
            max_new_tokens=settings.max_answer_tokens,
            max_context=settings.max_context,
            repetition_penalty=settings.repetition_penalty,
            cancel=cancel,
            stats=draft.stats,
            schema=schema,
        )
        for piece in pieces:
            draft.text += piece
            if min_sureness is None:
                yield TextPiece(piece)

    def _finished(self, draft: _Draft, *, cited: bool) -> Answer:
        """Return the answer that a draft has become, its citations checked. `cited` as in `finish`."""
        answer = finish(
            draft.question,
            draft.text,
            draft.passages,
            self.builder.settings.refusal,
            draft.timings(),
            cited=cited,
            languages=draft.languages,
        )
        return replace(
            answer,
            read_as=draft.read_as,
            citations=self._checked_citations(answer),
            quote=draft.quote,
            cut=draft.stats.cut,
            sureness=sureness_of(
                draft.text, draft.read_as, draft.quote, draft.passages, draft.languages
            ),
            unknown_words=draft.unknown_words,
        )

    def _withheld(self, answer: Answer, draft: _Draft, min_sureness: float) -> Answer:
        """Return the model's answer where it is sure enough or a refusal of its own, else one that
        says that it is not."""
        if draft.text and answer.refused:
            return answer
        return self._if_sure(answer, min_sureness)

    def _stream_quote(
        self,
        question: str,
        cancel: threading.Event | None,
        options: AnswerOptions,
        previous: Previous | None,
        where: Filter | None,
        schema: str | None,
    ) -> Iterator[Event]:
        """Yield the events of an answer in a bundle without a language model: the answer is a
        passage's words. Raises QuestionError for a schema, which only a model could fill."""
        settings, started = self.builder.settings, time.perf_counter()
        question = clean_question(question, settings.max_question_chars)
        if schema is not None:
            raise QuestionError(
                "this bundle quotes its documents and has no language model to fill a JSON schema"
            )
        resolved = resolve_question(self.retriever, question, previous, where, settings)
        passages = resolved.passages
        unknown = self.retriever.unknown_words(question, passages) if self.retriever else ()
        retrieval_ms = (time.perf_counter() - started) * 1000
        yield PassagesFound(passages, resolved.changed_from(question))
        raise_if_cancelled(cancel)
        quote = None
        if self.retriever and not (
            options.threshold and self._is_refused(resolved, self.retriever, where)
        ):
            quote = self._quote(resolved.question, passages, self.retriever, where)
        total_ms = (time.perf_counter() - started) * 1000
        timings = Timings(retrieval_ms, total_ms, total_ms, 0, 0.0, 0)
        answer = Answer(
            question,
            settings.refusal,
            True,
            (),
            passages,
            timings,
            resolved.question,
            kind=QUOTED,
            unknown_words=unknown,
        )
        if quote:
            answer = replace(
                answer,
                text=f"{quote.text} [{quote.citation.passage}]",
                refused=False,
                citations=(quote.citation,),
                timings=replace(timings, quote_ms=total_ms),
                kind=QUOTED if quote.direct else RELATED,
                quote=quote,
                sureness=quote.sureness,
            )
            if settings.sure_from is not None and options.threshold:
                answer = self._if_sure(answer, settings.sure_from)
        yield TextPiece(answer.text)
        yield CitationsFound(answer.citations)
        yield Done(answer)

    def _if_sure(self, answer: Answer, min_sureness: float) -> Answer:
        """Return an answer that is sure enough, else one that says that it is not and shows the
        passages alone."""
        if answer.sureness is not None and answer.sureness >= min_sureness:
            return answer
        text = self.builder.settings.unsure or ""
        return replace(
            answer, text=text, refused=True, citations=(), unsupported=(), kind=UNSURE, quote=None
        )

    def _quote(
        self,
        question: str,
        passages: tuple[Passage, ...],
        retriever: Retriever | None,
        where: Filter | None,
    ) -> Quote | None:
        """Return the best words of the passages; None where the bundle does not quote, none of them
        are sufficient, or they do not stand in the library as it is stored."""
        quoting = self.builder.settings.quoting
        if retriever is None or quoting is None:
            return None
        quote = pick(
            question,
            passages,
            retriever.embedder,
            quoting,
            margin=retriever.similarity_margin(question, where),
            rarity=retriever.rarity,
            languages=retriever.languages,
        )
        if quote is None or not quote.sufficient:
            return None
        if not self._is_stored(quote.citation, passages):
            _log.warning(
                "%r: a quote was left out, as its words are not those of the library: %r",
                quote.citation.document,
                quote.citation.quote[:200],
            )
            return None
        return quote

    def ask(self, question: str, **options: Any) -> Answer:
        """Return the whole answer; options and errors as in `stream`."""
        for event in self.stream(question, **options):
            if isinstance(event, Done):
                return event.answer
        raise AssertionError("a stream ends with Done")

    def read_ahead(
        self,
        question: str = "",
        *,
        previous: Previous | None = None,
        where: Filter | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        """Read what the prompt of a question that is still being typed will begin with, as far as
        it can be known: the system text, and the passages for what is typed so far. Raises
        Cancelled."""
        if self.generator is None:
            return
        settings = self.builder.settings
        question = question.strip()[: settings.max_question_chars]
        resolved = ResolvedQuestion("", ())
        if question:
            resolved = resolve_question(self.retriever, question, previous, where, settings)
        prompt = self.builder.build(resolved.question, resolved.passages)
        if self.retriever and not resolved.passages:
            prompt = self.builder.opening()
        self.generator.read_ahead(prompt.text, max_context=settings.max_context, cancel=cancel)

    def _checked_citations(self, answer: Answer) -> tuple[Citation, ...]:
        """Return the citations whose quote stands in the library as it is stored, byte for byte."""
        if not answer.citations or self.retriever is None:
            return ()
        return tuple(one for one in answer.citations if self._is_stored(one, answer.passages))

    def _is_stored(self, citation: Citation, passages: tuple[Passage, ...]) -> bool:
        assert self.retriever
        passage = passages[citation.passage - 1]
        stored = self.retriever.index.context(passage.chunk_id, passage.end)
        return citation.quote in stored.text

    def _is_refused(
        self, resolved: ResolvedQuestion, retriever: Retriever, where: Filter | None
    ) -> bool:
        """Return whether the documents that may answer are too far from the question for an answer. A
        passage that holds a code of the question is near, whatever its vector says."""
        settings = self.builder.settings
        texts = [passage.in_context for passage in resolved.passages]
        if any(held_codes(resolved.question, texts, retriever.languages)):
            return False
        if resolved.similarity < settings.refuse_below:
            return True
        min_margin = settings.refuse_lead_below
        if min_margin is None:
            return False
        return retriever.similarity_margin(resolved.question, where) < min_margin
