"""The recipe's `answer` and `knowledge.retrieval` sections in the runtime's terms: the same
settings for training, evaluation and the bundle."""

from __future__ import annotations

from fieldpack.prompt import PromptSettings
from fieldpack.ranking import RetrievalSettings

from .recipe import Recipe


def prompt_settings(recipe: Recipe) -> PromptSettings:
    answer = recipe.answer
    return PromptSettings(
        system=answer.system.strip(), refusal=answer.refusal.strip(), passages=answer.passages,
        max_context=recipe.export.max_context, max_answer_tokens=answer.max_answer_tokens,
        refuse_below=answer.refuse_below, max_question_chars=answer.max_question_chars,
        repetition_penalty=answer.repetition_penalty,
    )  # fmt: skip


def retrieval_settings(recipe: Recipe) -> RetrievalSettings:
    assert recipe.knowledge
    how = recipe.knowledge.retrieval
    return RetrievalSettings(**how.model_dump(exclude={"reranker"}))
