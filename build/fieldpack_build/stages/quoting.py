"""Fit how passages are quoted on the training rows, which no test question is among: weights, what
judges a quote, and the threshold.

quoting.json     the settings
"""

from __future__ import annotations

from functools import lru_cache

from fieldpack.language import decimal_mark
from fieldpack.retrieval.quoting import (
    SIGNALS,
    candidates,
    near_passages,
    near_words,
    question_words,
    signals_of,
)
from fieldpack.retrieval.retriever import Retriever
from fieldpack.retrieval.sufficiency import lacks_figure, missing

from ..data.training_rows import examples_of
from ..evaluation import quote_fit
from ..evaluation.metrics import token_f1
from ..evaluation.rightness import says
from ..pipeline.events import StageResult
from ..pipeline.task import Task
from ..recipe.runtime_settings import open_library, prompt_settings

_REHEARSED = 12
_MAX_ROWS = 1000  # the mean F1 of so many has a standard error of about 0.01
_KEPT_TEXTS = 2000  # of 25 tokens of 384 dimensions each: 80 MB


def run(task: Task) -> StageResult:
    """Fit how passages are quoted on the recipe's training rows, and write it into `quoting.json`."""
    recipe = task.recipe
    retriever = open_library(recipe, task.inputs)
    pairs = questions(task)
    rows_of = _QuoteRows(task, retriever)
    rows = []
    for number, (question, answer) in enumerate(pairs, 1):
        rows.append(rows_of.row(question, answer))
        if number % 20 == 0 or number == len(pairs):
            task.progress(number, len(pairs), "rows looked up")
    settings, facts = quote_fit.fit(rows, max_wrong=recipe.answer.max_wrong_refusals)
    quote_fit.write_quoting(task.out, settings)
    return facts.to_dict()


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
        signals, lacking = np.zeros((0, len(SIGNALS))), np.zeros((0, 2))
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
        return quote_fit.QuoteRow(
            answer is not None,
            signals,
            np.array(
                [
                    token_f1(s.text, answer, decimal_mark=decimal_mark(retriever.languages))
                    if answer
                    else 0.0
                    for s in sentences
                ]
            ),
            margin,
            lacking,
            says=np.array([self._says(s.text, question, answer) for s in sentences]),
            unfounded=best < self._settings.refuse_below or (below is not None and margin < below),
            group=passages[0].document if passages else "",
        )

    def _says(self, text: str, question: str, answer: str | None) -> float:
        """1 or 0, NaN where it cannot be told."""
        if answer is None:
            return 0.0
        said = says(text, question, answer, languages=self._retriever.languages)
        return float("nan") if said is None else float(said)
