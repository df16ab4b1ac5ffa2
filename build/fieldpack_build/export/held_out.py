"""The texts that candidates are measured on: test questions in the runtime's own prompt, with the
passages that the device would read, and their right answers. Training and precision are judged on
what neither has seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fieldpack.prompt import ChatFormat, PromptBuilder
from fieldpack.retrieval.retriever import open_retriever

from ..data import read_questions
from ..data.training_rows import training_rows
from ..models.chat_template import encode
from ..pipeline.task import Task
from ..recipe.runtime_settings import prompt_settings, retrieval_settings
from ..recipe.schema import Recipe

_MOST, _FEWEST = 32, 4
_ANSWER = 48  # tokens of an answer that are looked at; a reference row is as wide as the vocabulary


@dataclass(frozen=True, slots=True)
class Sample:
    """Tokens of a prompt and of its right answer; `text` is the prompt as the device is given it."""

    text: str
    prompt: list[int]
    answer: list[int]


def domain_texts(recipe: Recipe) -> list[tuple[str, str]]:
    """Every training and test text: (question, answer or "")."""
    found: list[tuple[str, str]] = []
    found += [
        (example.question, example.answer or "") for example in training_rows(recipe).examples
    ]
    if recipe.evaluate:
        found += [
            (q.question, q.answer or "")
            for q in read_questions(recipe.path(recipe.evaluate.questions))
        ]
    return found or [(recipe.answer.system, recipe.answer.refusal)]


def held_out(
    task: Task, chat: ChatFormat, tokenizer: Any, *, tokens: int, context: int
) -> list[Sample]:
    """Test questions spread evenly, as many as `tokens` has room for (4 to 32): a prompt with
    passages costs ten times one without. Training rows where the recipe has no test questions.
    `context`: tokens of a prompt and its answer at most."""
    pairs = _pairs(task.recipe)
    make = _maker(task, chat, tokenizer, context)
    first = make(*pairs[0])
    count = max(_FEWEST, min(_MOST, tokens // (len(first.prompt) + len(first.answer))))
    return [make(*pair) for pair in _spread(pairs, count)]


def _pairs(recipe: Recipe) -> list[tuple[str, str]]:
    refusal = recipe.answer.refusal.strip()
    if recipe.evaluate:
        asked = read_questions(
            recipe.path(recipe.evaluate.questions), refusal=recipe.answer.refusal
        )
        return [(q.question, q.answer or refusal) for q in asked]
    return [(question, answer or refusal) for question, answer in domain_texts(recipe)]


def _maker(
    task: Task, chat: ChatFormat, tokenizer: Any, context: int
) -> Callable[[str, str], Sample]:
    settings = prompt_settings(task.recipe)
    settings = replace(
        settings, max_context=min(context, int(getattr(tokenizer, "model_max_length", 1 << 30)))
    )
    prompts = PromptBuilder(chat, settings, lambda text: len(encode(tokenizer, text)))
    search = None
    if "knowledge" in task.inputs:
        search = open_retriever(
            task.inputs["embedder"],
            task.inputs["knowledge"],
            retrieval_settings(task.recipe),
            reranker=task.inputs.get("reranker"),
        ).search

    def make(question: str, answer: str) -> Sample:
        text = prompts.build(question, search(question, settings.passages) if search else []).text
        return Sample(
            text, encode(tokenizer, text), encode(tokenizer, chat.plain(answer))[:_ANSWER]
        )

    return make


def _spread(rows: Sequence[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    count = min(count, len(rows))
    return [rows[i * len(rows) // count] for i in range(count)]
