"""Fit how passages are quoted on the training rows, which no test question is among: weights, what
judges a quote, and the threshold. Without training rows, the threshold alone, on questions made of
the library's sentences.

quoting.json     the settings
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from fieldpack.language import decimal_mark
from fieldpack.retrieval.late_interaction import question_words
from fieldpack.retrieval.quoting import (
    SIGNALS,
    QuoteSettings,
    candidates,
    near_passages,
    near_words,
    shorten,
    signals_of,
)
from fieldpack.retrieval.retriever import Retriever
from fieldpack.retrieval.sufficiency import lacks_figure, missing

from ..data.training_rows import examples_of
from ..evaluation import quote_fit
from ..evaluation.made_questions import make_questions
from ..evaluation.masked_index import MaskedIndex
from ..evaluation.metrics import token_f1
from ..evaluation.rightness import says
from ..pipeline.events import StageResult
from ..pipeline.task import Task
from ..recipe.runtime_settings import open_library, prompt_settings

_REHEARSED = 12
_MAX_ROWS = 1000  # the mean F1 of so many has a standard error of about 0.01
_MAX_MADE = 200  # a share of 10% of so many has a standard error of 0.02; each is looked up twice
_KEPT_TEXTS = 2000  # of 25 tokens of 384 dimensions each: 80 MB


def run(task: Task) -> StageResult:
    """Fit how passages are quoted on the recipe's training rows, or on questions made of its library
    where it has none, and write it into `quoting.json`."""
    retriever = open_library(task.recipe, task.inputs)
    fitted = _on_rows if task.recipe.train.data else _on_made_questions
    settings, facts = fitted(task, retriever)
    quote_fit.write_quoting(task.out, settings)
    return facts.to_dict()


def _on_rows(task: Task, retriever: Retriever) -> tuple[QuoteSettings, quote_fit.QuoteFit]:
    pairs = questions(task)
    rows_of = _QuoteRows(task, retriever)
    rows = []
    for number, (question, answer) in enumerate(pairs, 1):
        rows.append(rows_of.row(question, answer))
        if number % 20 == 0 or number == len(pairs):
            task.progress(number, len(pairs), "rows looked up")
    return quote_fit.fit(rows, max_wrong=task.recipe.answer.max_wrong_refusals)


def _on_made_questions(
    task: Task, retriever: Retriever
) -> tuple[QuoteSettings, quote_fit.QuoteFit]:
    """Made questions are a few words, whose vectors are farther from any passage than a whole
    question's: `answer.refuse_below` is no part of what they say."""
    index = MaskedIndex(task.inputs["knowledge"])
    retriever.index = index
    task.note("making questions of the documents")
    questions = make_questions(index, _REHEARSED if task.recipe.rehearsal else _MAX_MADE)
    rows_of = _QuoteRows(task, retriever)
    made, masked = [], []
    for number, question in enumerate(questions, 1):
        made.append(replace(rows_of.row(question.text, question.text), unfounded=False))
        index.masked = index.source_of(question.chunk_id)
        masked.append(replace(rows_of.row(question.text, None), unfounded=False))
        index.masked = frozenset()
        if number % 20 == 0 or number == len(questions):
            task.progress(number, len(questions), "made-up questions looked up")
    return quote_fit.carry_over(made, masked, max_wrong=task.recipe.answer.max_wrong_refusals)


def questions(task: Task) -> list[tuple[str, str | None]]:
    """Return (question, answer) of the training rows, without those that `train.on_leak: drop` takes
    out, evenly over the files where there are many. Raises DataError."""
    rows = examples_of(task.recipe)
    limit = _REHEARSED if task.recipe.rehearsal else _MAX_ROWS
    if len(rows) > limit:
        rows = [rows[i * len(rows) // limit] for i in range(limit)]
    return [(row.question, row.answer) for row in rows]


class _QuoteRows:
    """Makes the rows to fit on. Keeps the vectors of the texts seen last, as many questions meet
    the same sentences."""

    def __init__(self, task: Task, retriever: Retriever) -> None:
        self._settings = prompt_settings(task.recipe, task.inputs.get("calibrate"))
        self._retriever = retriever
        self._read = lru_cache(_KEPT_TEXTS)(lambda text: retriever.embedder.embed_tokens([text])[0])

    def row(self, question: str, answer: str | None) -> quote_fit.QuoteRow:
        import numpy as np

        retriever = self._retriever
        passages = retriever.search(question, self._settings.passages)
        sentences = candidates(passages)
        margin = retriever.similarity_margin(question)
        below = self._settings.refuse_lead_below
        best = max((p.similarity for p in passages), default=-1.0)
        signals, lacking, worth = np.zeros((0, len(SIGNALS))), np.zeros((0, 2)), np.zeros(0)
        shown: list[str] = []
        if sentences:
            words = question_words(
                question, retriever.embedder, retriever.rarity, retriever.languages
            )
            vectors = [self._read(sentence.text) for sentence in sentences]
            contexts = [self._read(passage.context) for passage in passages]
            near = near_words(words, vectors, contexts, sentences)
            signals = signals_of(words, vectors, near, sentences, passages)
            by_passage = near_passages(words, near, sentences)
            absent = {
                number: missing(question, passages[number - 1].in_context, of_passage)
                for number, of_passage in by_passage.items()
            }
            lacking = np.array(
                [(absent[s.passage], float(lacks_figure(question, s.text))) for s in sentences]
            )
            shown = [
                shorten(words, s, vector, contexts[s.passage - 1]).text
                for s, vector in zip(sentences, vectors, strict=True)
            ]
            mark = decimal_mark(retriever.languages)
            worth = np.array(
                [token_f1(text, answer, decimal_mark=mark) if answer else 0.0 for text in shown]
            )
        return quote_fit.QuoteRow(
            answer is not None,
            signals,
            worth,
            margin,
            lacking,
            says=np.array([self._says(text, question, answer) for text in shown]),
            unfounded=best < self._settings.refuse_below or (below is not None and margin < below),
            group=passages[0].document if passages else "",
        )

    def _says(self, text: str, question: str, answer: str | None) -> float:
        """1 or 0, NaN where it cannot be told."""
        if answer is None:
            return 0.0
        said = says(text, question, answer, languages=self._retriever.languages)
        return float("nan") if said is None else float(said)
