"""What `build data` shows, gathered in a process of its own (a tokenizer is heavy): rows by file,
what is wrong with them, how long they are, and some of them exactly as a model will read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

from fieldpack.citations import strip_marks

from ..models import causal_lm
from ..models.causal_lm import MODEL
from ..models.chat_template import encode, read_chat
from ..pipeline.task import Task
from .load import Read
from .prompts import IGNORED, Tokenized
from .tokenize import Prepared, prepare_rows
from .training_rows import TrainingRows, training_rows

MOST_EXAMPLES = 20
_BARS = 12


def run(task: Task) -> dict[str, Any]:
    causal_lm.quiet()
    base = task.inputs["base"] / MODEL
    tokenizer = causal_lm.load_tokenizer(base)
    context = getattr(causal_lm.load_config(base), "max_position_embeddings", None)
    rows = training_rows(task.recipe, task.inputs.get("synthesize"))
    prepared = prepare_rows(
        task, lambda text: encode(tokenizer, text), rows.examples, context=context
    )
    train = task.recipe.train
    return {
        **_said(task, rows, prepared),
        "files": [_file(read) for read in rows.files],
        "rows": len(rows.examples),
        "refusals": sum(example.answer is None for example in rows.examples),
        "questions": len(rows.questions),
        "documents": dict(
            Counter(example.document or "" for example in rows.examples).most_common()
        ),
        "passages": task.recipe.train_passages if "knowledge" in task.inputs else 0,
        "limits": {
            "train.max_tokens": train.max_tokens,
            "export.max_context": task.recipe.export.max_context,
            "base": context,
        },
        "tokens": _lengths(prepared.lengths, train.max_tokens),
        "supervised": _supervised(prepared, task.recipe.answer.refusal),
        "special_tokens": list(read_chat(task.inputs["base"]).special_tokens),
        "examples": [_example(prepared, i, tokenizer) for i in _chosen(prepared)],
    }


def _said(task: Task, rows: TrainingRows, prepared: Prepared) -> dict[str, Any]:
    evaluate = task.recipe.evaluate
    questions = str(task.recipe.path(evaluate.questions)) if evaluate else ""
    return {
        "problems": rows.problems + prepared.problems,
        "warnings": rows.warnings + prepared.warnings,
        "duplicates": [str(d) for d in rows.duplicates if not d.contradicts],
        "contradictions": [str(d) for d in rows.duplicates if d.contradicts],
        "leaks": [leak.say(questions) for leak in rows.leaks],
    }


def _file(read: Read) -> dict[str, Any]:
    refusals = sum(example.answer is None for example in read.examples)
    return {
        "file": read.file,
        "shapes": dict(read.shapes),
        "rows": len(read.examples),
        "refusals": refusals,
    }


def _lengths(lengths: Sequence[int], limit: int) -> dict[str, Any]:
    """`bars`: (from, to, rows) of equal width, the last one up to the longest row."""
    if not lengths:
        return {"rows": 0, "bars": []}
    ordered = sorted(lengths)
    width = _nice(max(limit, ordered[-1]) / _BARS)
    counts = Counter(length // width for length in ordered)
    first, last = ordered[0] // width, ordered[-1] // width
    return {
        "rows": len(ordered),
        "total": sum(ordered),
        "shortest": ordered[0],
        "median": round(median(ordered)),
        "p95": ordered[int(0.95 * (len(ordered) - 1))],
        "longest": ordered[-1],
        "too_long": sum(n > limit for n in ordered),
        "bars": [(i * width, (i + 1) * width - 1, counts[i]) for i in range(first, last + 1)],
    }


def _nice(width: float) -> int:
    """The next larger of 1, 2, 5, 10, 20, 50, ..."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if factor * step >= width:
                return factor * step
        step *= 10


def _supervised(prepared: Prepared, refusal: str) -> dict[str, Any]:
    """`refuse`: rows whose answer is the refusal, those that read distractors alone among them;
    `cite`: rows whose answer points to a passage."""
    learned = sum(row.supervised for row in prepared.rows)
    total = sum(len(row.ids) for row in prepared.rows)
    answers = [row.answer for row in prepared.rendered]
    return {
        "rows": len(answers),
        "tokens": learned,
        "share": round(learned / total, 4) if total else 0.0,
        "refuse": sum(answer.startswith(refusal) for answer in answers),
        "cite": sum(strip_marks(answer) != answer.strip() for answer in answers),
    }


def _chosen(prepared: Prepared) -> list[int]:
    """The first row, the first that refuses, the longest; then others, evenly."""
    count = len(prepared.rows)
    if not count:
        return []
    refusal = next((i for i, e in enumerate(prepared.examples) if e.answer is None), 0)
    longest = max(range(count), key=lambda i: len(prepared.rows[i].ids))
    spread = [i * count // MOST_EXAMPLES for i in range(MOST_EXAMPLES)]
    return list(dict.fromkeys([0, refusal, longest, *spread]))[:MOST_EXAMPLES]


def _example(prepared: Prepared, place: int, tokenizer: Any) -> dict[str, Any]:
    """`parts`: the row's tokens as text again, in runs of supervised and unsupervised ones."""
    example, row = prepared.examples[place], prepared.rows[place]
    parts = [
        {"supervised": learned, "text": _decode(tokenizer, ids)} for learned, ids in _runs(row)
    ]
    return {
        "place": example.place,
        "tokens": len(row.ids),
        "supervised": row.supervised,
        "parts": parts,
    }


def _runs(row: Tokenized) -> list[tuple[bool, list[int]]]:
    runs: list[tuple[bool, list[int]]] = []
    for token, label in zip(row.ids, row.labels, strict=True):
        learned = label != IGNORED
        if not runs or runs[-1][0] is not learned:
            runs.append((learned, []))
        runs[-1][1].append(token)
    return runs


def _decode(tokenizer: Any, ids: list[int]) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text
