"""A recipe's rehearsal: every stage on slices and a tiny random model of the same architecture, so
that a mistake is found in two minutes and not after hours on a GPU."""

from __future__ import annotations

from .schema import Launch, Recipe


def rehearse(recipe: Recipe) -> Recipe:
    """Return the same recipe marked as a rehearsal: stages take slices, and limits on quality are
    off, as the weights are random."""
    train = recipe.train.model_copy(
        update={
            "epochs": 1.0,
            "max_steps": None,
            "effective_batch": min(2, recipe.train.rows_an_update),
            "batch_size": "auto",
            "gradient_accumulation": None,
            "allow_cpu": True,
            "launch": Launch(),
            "track": [],
        }
    )
    answer = recipe.answer.model_copy(
        update={"max_answer_tokens": min(16, recipe.answer.max_answer_tokens)}
    )
    # Every kind of candidate builds alike: two show that choosing works.
    export = recipe.export.model_copy(
        update={
            "max_perplexity_ratio": 1e6,
            "max_degradation": 1e6,
            "max_size_mb": None,
            "max_memory_mb": None,
            "candidates": recipe.export.candidates[:2],
            # measured against the same weights in torch, random or not
            "max_kl": "auto",
            "min_same_next_token": "auto",
        }
    )
    changed = {"train": train, "answer": answer, "export": export, "rehearsal": True}
    return recipe.model_copy(update=changed)
