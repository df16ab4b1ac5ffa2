"""Write training rows from the documents with a model of the user's choice, and keep what is good.

train.jsonl     {"question", "answer", "document", "id"}; read by the train stage beside the
                recipe's own rows
journal.jsonl   every reply of the model (synthesis.response_cache)

Chunks are asked about in an order that is fixed by the seed, until there are rows enough or no
chunks. Goes on where it was interrupted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TypedDict

from fieldpack.passages import Chunk
from fieldpack.retrieval.retriever import Retriever

from ..data import read_questions
from ..data.training_rows import SYNTHESIZED, training_rows
from ..errors import CheckFailed
from ..models import sources
from ..pipeline.task import Task
from ..recipe.runtime_settings import open_library
from ..recipe.schema import Synthesize
from ..synthesis import prompts
from ..synthesis.endpoint import Endpoint
from ..synthesis.filter import QualityFilter
from ..synthesis.local import LocalModel
from ..synthesis.response_cache import ResponseCache, Writer
from .results import SynthesizeResult


class Row(TypedDict):
    """A line of train.jsonl; `answer` None: the documents do not say, and `document` is None too.
    `id`: where the question comes from."""

    question: str
    answer: str | None
    document: str | None
    id: str


_REHEARSED_ROWS, _REHEARSED_REPLIES = 4, 2
_PER_PAIR, _PER_QUESTION, _PER_VERDICT = 110, 64, 64  # tokens of a reply


def run(task: Task) -> SynthesizeResult:
    """Have a model write training rows from the documents into `train.jsonl`.

    Raises CheckFailed where nothing that it wrote is good enough to keep."""
    settings = task.recipe.train.synthesize
    assert settings
    retriever = open_library(task.recipe, task.inputs)
    sieve = _sieve(task, settings, retriever)
    replies = ResponseCache(
        task.out,
        task.previous_output,
        task.lineage,
        _source(task, settings),
        _writer(task, settings),
    )
    try:
        rows = _Drafts(task, settings, retriever, sieve, replies).rows()
    finally:
        replies.close()
    _check(task, settings, rows, sieve)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (task.out / SYNTHESIZED).write_text(text, encoding="utf-8")
    refusals = sum(row["answer"] is None for row in rows)
    return {
        "rows": len(rows),
        "refusals": refusals,
        "documents": len({row["document"] for row in rows if row["document"]}),
        "asked": replies.new,
        "replies_kept": replies.loaded,
        "dropped": dict(sieve.dropped.most_common()),
    }


class _Drafts:
    """The rows of one stage, as they come."""

    def __init__(
        self,
        task: Task,
        settings: Synthesize,
        retriever: Retriever,
        sieve: QualityFilter,
        replies: ResponseCache,
    ) -> None:
        self._task, self._settings, self._retriever, self._sieve, self._replies = (
            task,
            settings,
            retriever,
            sieve,
            replies,
        )
        self._total = (
            min(settings.rows, _REHEARSED_ROWS) if task.recipe.rehearsal else settings.rows
        )
        chunks = retriever.index.chunks()
        stored = retriever.index.rows(number for number, _ in chunks)
        copies = {row.id for row in stored if row.duplicate_of is not None}
        self._plan = prompts.plan_chunks(chunks, copies, settings.seed)
        if task.recipe.rehearsal:
            self._plan = self._plan[:_REHEARSED_REPLIES]

    def rows(self) -> list[Row]:
        beyond = round(self._total * self._settings.unanswerable)
        rows: list[Row] = []
        for kind, count in (
            (self._answerable(), self._total - beyond),
            (self._unanswerable(), beyond),
        ):
            kept = 0
            for row in kind if count else ():
                if row is not None:
                    rows.append(row)
                    kept += 1
                self._task.progress(
                    len(rows), self._total, f"rows; {self._sieve.dropped.total():,} dropped"
                )
                if kept == count:
                    break
        return rows

    def _groups(self, chunks: list[Chunk]) -> Iterator[list[Chunk]]:
        size = self._replies.group
        return (chunks[at : at + size] for at in range(0, len(chunks), size))

    def _answerable(self) -> Iterator[Row | None]:
        """A row, or None for what was dropped."""
        template, count = self._settings.prompt or prompts.ASK, self._settings.per_chunk
        for group in self._groups(self._plan):
            texts = [prompts.prompt_of(template, chunk, count) for chunk in group]
            for chunk, reply in zip(
                group, self._replies.replies(texts, 32 + _PER_PAIR * count), strict=True
            ):
                pairs = prompts.read_pairs(reply)
                if not pairs:
                    self._sieve.drop("reply that cannot be read")
                    yield None
                for question, answer in pairs[:count]:
                    kept = self._sieve.keeps(question, answer, chunk)
                    yield _row(question, answer, chunk) if kept else None

    def _unanswerable(self) -> Iterator[Row | None]:
        """Questions near a document's matter, kept only if the model finds no answer in what the
        device would retrieve: that is what the refusal will be said to. From the end of the plan,
        where few chunks were asked about."""
        for group in self._groups(self._plan[::-1]):
            texts = [prompts.prompt_of(prompts.ASK_BEYOND, chunk, 1) for chunk in group]
            questions = [
                prompts.read_questions(reply)[:1]
                for reply in self._replies.replies(texts, _PER_QUESTION)
            ]
            drafts = [
                (chunk, parsed[0]) for chunk, parsed in zip(group, questions, strict=True) if parsed
            ]
            for _ in range(len(group) - len(drafts)):
                self._sieve.drop("reply that cannot be read")
                yield None
            verdicts = self._replies.replies(
                [self._judged(question) for _, question in drafts], _PER_VERDICT
            )
            for (chunk, question), verdict in zip(drafts, verdicts, strict=True):
                if not prompts.says_none(verdict):
                    self._sieve.drop("answered by the library after all")
                    yield None
                else:
                    yield (
                        _row(question, None, chunk)
                        if self._sieve.keeps_question(question)
                        else None
                    )

    def _judged(self, question: str) -> str:
        passages = self._retriever.search(question, self._task.recipe.answer.passages)
        return prompts.verdict_prompt(question, [passage.in_context for passage in passages])


def _row(question: str, answer: str | None, chunk: Chunk) -> Row:
    where = f"{chunk.document}:{'' if chunk.page is None else chunk.page}:{chunk.start}"
    return {
        "question": question,
        "answer": answer,
        "document": None if answer is None else chunk.document,
        "id": where,
    }


def _sieve(task: Task, settings: Synthesize, retriever: Retriever) -> QualityFilter:
    evaluate = task.recipe.evaluate
    tested = read_questions(task.recipe.path(evaluate.questions)) if evaluate else []
    return QualityFilter(
        support=settings.support,
        max_words=task.recipe.answer.max_answer_tokens,
        existing=[
            (example.question, example.answer) for example in training_rows(task.recipe).examples
        ],
        tested=[(question.question, question.answer) for question in tested],
        search=retriever.search,
    )


def _source(task: Task, settings: Synthesize) -> object:
    """All but the prompt that shapes a reply."""
    local = settings.source
    hashes = task.store.hash_files(sources.local_files(local, task.recipe)) if local else {}
    who = sources.identify(local) if local else {"url": settings.url, "name": settings.name}
    return [
        who,
        sorted(hashes.values()),
        settings.temperature,
        settings.seed,
        task.recipe.rehearsal and local is not None,
    ]


def _writer(task: Task, settings: Synthesize) -> Writer:
    if settings.source is None:
        assert settings.url and settings.name
        key = os.environ.get(settings.key_env) if settings.key_env else None
        return Endpoint(
            settings.url,
            settings.name,
            key,
            temperature=settings.temperature,
            seed=settings.seed,
            workers=settings.workers,
            timeout=settings.timeout,
        )
    import torch

    task.note("fetching the model that writes")
    tiny = task.recipe.rehearsal
    path = sources.fetch(settings.source, task.recipe, task.store.models, settings_only=tiny)
    cuda = torch.cuda.is_available() and task.recipe.train.device != "cpu"
    return LocalModel(
        path, temperature=settings.temperature, seed=settings.seed, cuda=cuda, tiny=tiny
    )


def _check(task: Task, settings: Synthesize, rows: list[Row], sieve: QualityFilter) -> None:
    why = ", ".join(f"{count:,} {reason}" for reason, count in sieve.dropped.most_common())
    if task.recipe.rehearsal:
        rows += _rehearsed(task) if not rows else []
    elif not rows:
        raise CheckFailed(
            f"no row was kept of what the model wrote ({why}); try a larger model, or lower "
            "train.synthesize.support"
        )
    elif len(rows) < settings.rows:
        task.warn(
            f"{len(rows):,} of {settings.rows:,} rows: every chunk was asked about once; dropped: "
            f"{why or 'none'}; "
            "raise train.synthesize.per_chunk for more"
        )


def _rehearsed(task: Task) -> list[Row]:
    """A random model writes nothing that is kept, and the later stages want rows."""
    return [
        {
            "question": f"What does a rehearsal ask? ({number})",
            "answer": None,
            "document": None,
            "id": "rehearsal",
        }
        for number in range(_REHEARSED_ROWS)
    ]
