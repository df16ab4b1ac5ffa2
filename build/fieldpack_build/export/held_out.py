"""The texts that candidates are measured on: test questions in the runtime's own prompt, with the
passages that the device would read, and their right answers. Training and precision are judged on
what neither has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fieldpack.prompt import ChatFormat, PromptBuilder

from ..data import read_questions
from ..data.training_rows import training_rows
from ..errors import StageError
from ..models.chat_template import encode
from ..pipeline.task import Task
from ..recipe.runtime_settings import open_library, prompt_settings
from ..recipe.schema import Recipe

# Tokens of training prompts that GPTQ rounds on. The paper takes 262,144, which a CPU has no time
# for; with 13,377 SmolLM2-135M's KL fell from 0.104 (rounded to the nearest) to 0.028.
CALIBRATION_TOKENS = 12_000
_MAX_SAMPLES, _MIN_SAMPLES = 32, 4
# tokens of an answer that are looked at; a reference row is as wide as the vocabulary
_MAX_ANSWER = 48


@dataclass(frozen=True, slots=True)
class Sample:
    """Tokens of a prompt and of its right answer; `text` is the prompt as the device is given it."""

    text: str
    prompt: list[int]
    answer: list[int]


def domain_texts(recipe: Recipe) -> list[tuple[str, str]]:
    """Return every training and test text: (question, answer or ""); the system text and the
    refusal where the recipe has neither."""
    texts = [(example.question, example.answer or "") for example in training_rows(recipe).examples]
    if recipe.evaluate:
        questions = read_questions(recipe.path(recipe.evaluate.questions))
        texts += [(question.question, question.answer or "") for question in questions]
    return texts or [(recipe.answer.system, recipe.answer.refusal)]


def held_out_samples(
    task: Task, chat: ChatFormat, tokenizer: Any, *, tokens: int, context: int
) -> list[Sample]:
    """Return test questions spread evenly, as many as `tokens` has room for (4 to 32): a prompt
    with passages costs ten times one without. Training rows where the recipe has no test questions.

    `context`: tokens of a prompt and its answer at most."""
    recipe = task.recipe
    if not recipe.evaluate:
        return _samples(task, chat, tokenizer, domain_texts(recipe), tokens, context)
    questions = read_questions(
        recipe.path(recipe.evaluate.questions), refusal=recipe.answer.refusal
    )
    pairs = [(question.question, question.answer) for question in questions]
    return _samples(task, chat, tokenizer, pairs, tokens, context)


def calibration_samples(
    task: Task, chat: ChatFormat, tokenizer: Any, *, tokens: int, context: int
) -> list[Sample]:
    """Return training rows spread evenly, with passages as `held_out_samples` has them. Test
    questions are never among them: what is rounded on a text fits it. Raises StageError where the
    recipe has no training rows."""
    examples = training_rows(task.recipe, task.inputs.get("synthesize")).examples
    if not examples:
        raise StageError(
            "gptq rounds by what layers read in training prompts, and this recipe has no "
            "training rows; name train.data, or take another export.algorithm"
        )
    pairs = [(example.question, example.answer) for example in examples]
    return _samples(task, chat, tokenizer, pairs, tokens, context)


def _samples(
    task: Task,
    chat: ChatFormat,
    tokenizer: Any,
    pairs: Sequence[tuple[str, str | None]],
    tokens: int,
    context: int,
) -> list[Sample]:
    recipe = task.recipe
    settings = prompt_settings(recipe)
    settings = replace(
        settings, max_context=min(context, int(getattr(tokenizer, "model_max_length", 1 << 30)))
    )
    prompts = PromptBuilder(chat, settings, lambda text: len(encode(tokenizer, text)))
    search = None
    if "knowledge" in task.inputs:
        search = open_library(recipe, task.inputs).search

    def sample(question: str, answer: str | None) -> Sample:
        passages = search(question, settings.passages) if search else []
        text = prompts.build(question, passages).text
        ending = encode(tokenizer, chat.plain(answer or recipe.answer.refusal.strip()))
        return Sample(text, encode(tokenizer, text), ending[:_MAX_ANSWER])

    first = sample(*pairs[0])
    fitting = tokens // (len(first.prompt) + len(first.answer))
    count = min(max(_MIN_SAMPLES, min(_MAX_SAMPLES, fitting)), len(pairs))
    return [sample(*pairs[i * len(pairs) // count]) for i in range(count)]
