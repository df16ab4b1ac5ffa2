"""Gathers what `build data` shows, in a process of its own (a tokenizer is heavy): rows by file,
what is wrong with them, how long they are, and some of them exactly as a model will read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from statistics import median
from typing import Any

from fieldpack.citations import strip_marks
from fieldpack.rag import is_refusal

from ..models import causal_lm
from ..models.causal_lm import MODEL
from ..models.chat_template import encode, read_chat
from ..pipeline.task import Task
from .inspection import (
    InspectedExample,
    InspectedFile,
    Inspection,
    Supervision,
    TextRun,
    TokenLengths,
)
from .prompts import IGNORED
from .tokenize import PreparedRows, prepare_rows
from .training_rows import training_rows

MAX_EXAMPLES = 20
_BARS = 12


def run(task: Task) -> dict[str, Any]:
    """Read, check and tokenize a recipe's training rows; return an `Inspection` as JSON."""
    causal_lm.quiet()
    base = task.inputs["base"] / MODEL
    tokenizer = causal_lm.load_tokenizer(base)
    context = getattr(causal_lm.load_config(base), "max_position_embeddings", None)
    rows = training_rows(task.recipe, task.inputs.get("synthesize"))
    prepared = prepare_rows(
        task, lambda text: encode(tokenizer, text), rows.examples, context=context
    )
    train, evaluate = task.recipe.train, task.recipe.evaluate
    questions = str(task.recipe.path(evaluate.questions)) if evaluate else ""
    documents = Counter(example.document or "" for example in rows.examples)
    inspection = Inspection(
        problems=rows.problems + prepared.problems,
        warnings=rows.warnings + prepared.warnings,
        duplicates=[str(d) for d in rows.duplicates if not d.contradicts],
        contradictions=[str(d) for d in rows.duplicates if d.contradicts],
        leaks=[leak.describe(questions) for leak in rows.leaks],
        files=[
            InspectedFile(
                file=read.file,
                shapes=dict(read.shapes),
                rows=len(read.examples),
                refusals=sum(example.answer is None for example in read.examples),
            )
            for read in rows.files
        ],
        rows=len(rows.examples),
        refusals=sum(example.answer is None for example in rows.examples),
        questions=len(rows.questions),
        answerable=sum(question.answer is not None for question in rows.questions),
        without_value=sum(
            question.answer is not None and not question.value for question in rows.questions
        ),
        documents=dict(documents.most_common()),
        passages=task.recipe.train_passages if "knowledge" in task.inputs else 0,
        limits={
            "train.max_tokens": train.max_tokens,
            "export.max_context": task.recipe.export.max_context,
            "base": context,
        },
        tokens=_token_lengths(prepared.lengths, train.max_tokens),
        supervised=_supervision(prepared, task.recipe.answer.refusal),
        special_tokens=list(read_chat(task.inputs["base"]).special_tokens),
        examples=[_example(prepared, place, tokenizer) for place in _chosen(prepared)],
    )
    return inspection.model_dump(mode="json", exclude_unset=True)


def _token_lengths(lengths: Sequence[int], limit: int) -> TokenLengths:
    if not lengths:
        return TokenLengths(rows=0, bars=[])
    ordered = sorted(lengths)
    width = _round_width(max(limit, ordered[-1]) / _BARS)
    counts = Counter(length // width for length in ordered)
    first, last = ordered[0] // width, ordered[-1] // width
    return TokenLengths(
        rows=len(ordered),
        total=sum(ordered),
        shortest=ordered[0],
        median=round(median(ordered)),
        p95=ordered[int(0.95 * (len(ordered) - 1))],
        longest=ordered[-1],
        too_long=sum(n > limit for n in ordered),
        bars=[(i * width, (i + 1) * width - 1, counts[i]) for i in range(first, last + 1)],
    )


def _round_width(width: float) -> int:
    """The next larger of 1, 2, 5, 10, 20, 50, ..."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if factor * step >= width:
                return factor * step
        step *= 10


def _supervision(prepared: PreparedRows, refusal: str) -> Supervision:
    learned = sum(row.supervised for row in prepared.rows)
    total = sum(len(row.ids) for row in prepared.rows)
    answers = [row.answer for row in prepared.rendered]
    return Supervision(
        rows=len(answers),
        tokens=learned,
        share=round(learned / total, 4) if total else 0.0,
        refuse=sum(is_refusal(answer, refusal) for answer in answers),
        cite=sum(strip_marks(answer) != answer.strip() for answer in answers),
    )


def _chosen(prepared: PreparedRows) -> list[int]:
    """The first row, the first that refuses, the longest; then others, evenly."""
    count = len(prepared.rows)
    if not count:
        return []
    refusal = next((i for i, e in enumerate(prepared.examples) if e.answer is None), 0)
    longest = max(range(count), key=lambda i: len(prepared.rows[i].ids))
    spread = [i * count // MAX_EXAMPLES for i in range(MAX_EXAMPLES)]
    return list(dict.fromkeys([0, refusal, longest, *spread]))[:MAX_EXAMPLES]


def _example(prepared: PreparedRows, place: int, tokenizer: Any) -> InspectedExample:
    """The row's tokens as text again, in runs of supervised and unsupervised ones."""
    row = prepared.rows[place]
    parts = []
    for learned, pairs in groupby(
        zip(row.ids, row.labels, strict=True), key=lambda pair: pair[1] != IGNORED
    ):
        ids = [token for token, _ in pairs]
        text = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        parts.append(TextRun(supervised=learned, text=text))
    return InspectedExample(
        place=prepared.examples[place].place,
        tokens=len(row.ids),
        supervised=row.supervised,
        parts=parts,
    )
