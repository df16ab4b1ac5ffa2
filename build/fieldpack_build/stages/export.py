"""Export to quantized ONNX: every candidate that the recipe allows is built, opened and held
against the model in full precision on test questions, and the smallest that stays within the limits
is kept.

model/         the genai folder as shipped
export.json    what was found of each candidate, which was chosen, and how the device's tokenizer
               differs from the model's
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

from fieldpack.generation.generator import TextGenerator
from fieldpack.prompt import ChatFormat

from ..errors import CheckFailed, StageError
from ..export import Candidate, adjust_config, build_onnx, choose
from ..export.calibrated import write_rounded
from ..export.choose import Limits
from ..export.facts import (
    FACTS,
    AgreementLimits,
    CandidateFigures,
    ExportFacts,
    RoundingCost,
    read_facts,
)
from ..export.held_out import (
    CALIBRATION_TOKENS,
    calibration_samples,
    domain_texts,
    held_out_samples,
)
from ..export.reference_logits import FILE, cost_of_rounding, write_reference
from ..export.search import CandidateSearch, probe
from ..models import causal_lm
from ..models.causal_lm import MODEL
from ..models.chat_template import encode, read_chat
from ..models.precision import candidate, parse
from ..pipeline.events import StageResult
from ..pipeline.task import Task
from ..recipe.runtime_settings import prompt_settings
from ..recipe.schema import Export

_WORK, _REFERENCE, _SCRATCH, _ROUNDED = "candidates", "reference", "builder", "rounded"
# Tokens of held-out text. SmolLM2-135M in float32 reads 300 a second on one AVX2 core: to choose
# wants more than to check.
_TO_CHOOSE, _TO_CHECK = 5000, 2000
_NEW_TOKENS = 32  # of an own answer, and of the speed measured


def run(task: Task) -> StageResult:
    """Export the tuned model, or the base where nothing is tuned, into `model/`.

    Raises StageError where the lone candidate could not be made, CheckFailed where none is within
    the recipe's limits or the exported model computes something else than torch."""
    source = task.inputs["merge" if "merge" in task.inputs else "base"] / MODEL
    export = task.recipe.export
    if export.precision == "auto":
        limits = Limits(export.max_size_mb, export.max_memory_mb, export.max_degradation)
        return export_model(
            task, source, [parse(name) for name in export.candidates], limits, tokens=_TO_CHOOSE
        )
    limits = Limits(export.max_size_mb, export.max_memory_mb)
    return export_model(task, source, [fixed(export)], limits, tokens=_TO_CHECK)


def run_baseline(task: Task) -> StageResult:
    """Export the untuned base into `model/` as the tuned model was exported; no limit but what the
    recipe sets on any export. Raises what `run` raises."""
    export = task.recipe.export
    wanted = (
        parse(read_facts(task.inputs["export"])["candidate"])
        if export.precision == "auto"
        else fixed(export)
    )
    return export_model(task, task.inputs["base"] / MODEL, [wanted], Limits(), tokens=_TO_CHECK)


def fixed(export: Export) -> Candidate:
    """Return the one candidate that a recipe without `precision: auto` names."""
    assert export.precision != "auto"
    return candidate(export.precision, export.algorithm, export.block_size)


def export_model(
    task: Task, source: Path, candidates: Sequence[Candidate], limits: Limits, *, tokens: int
) -> StageResult:
    """Build and measure `candidates`, keep the best within `limits` in `model/`, and write what was
    found of each into export.json. `tokens`: of held-out text to measure on."""
    causal_lm.quiet()
    shutil.rmtree(task.out / MODEL, ignore_errors=True)
    chat, tokenizer = read_chat(task.inputs["base"]), causal_lm.load_tokenizer(source)
    context = _context(task, source)
    _write_reference(task, source, chat, tokenizer, candidates, tokens=tokens, context=context)
    trial = _trial(task, source, chat, tokenizer, limits, context)
    results = trial.run(candidates, task.note)
    chosen = _chosen(task, results, limits)
    trial.folder(chosen["name"]).rename(task.out / MODEL)
    task.note("comparing tokens")
    skip, compared = _compare_all_tokens(task, chat, tokenizer)
    facts = cast(
        "ExportFacts",
        {
            **chosen,
            "candidate": chosen["name"],
            "skip_tokens": skip,
            "texts_compared": compared,
        },
    )
    if len(candidates) > 1:
        facts |= {
            "candidates": [
                {**figures, "refused": choose.refusal(figures, limits)} for figures in results
            ],
            "limits": {
                "size_mb": limits.size_mb,
                "memory_mb": limits.memory_mb,
                "degradation": limits.degradation,
            },
        }
        task.say(_why(facts))
    (task.out / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    for name in (_WORK, _REFERENCE):
        shutil.rmtree(task.out / name)
    return facts


def _context(task: Task, source: Path) -> int:
    """The recipe's context, or as much of it as the model takes, with a warning."""
    wanted = task.recipe.export.max_context
    most = int(getattr(causal_lm.load_config(source), "max_position_embeddings", wanted))
    if most < wanted:
        task.warn(
            f"export.max_context is {wanted:,}, but the model reads {most:,} tokens at the most "
            "(max_position_embeddings in "
            f"its config.json): the bundle's context is {most:,}"
        )
    return min(wanted, most)


def _write_reference(
    task: Task,
    source: Path,
    chat: ChatFormat,
    tokenizer: Any,
    candidates: Sequence[Candidate],
    *,
    tokens: int,
    context: int,
) -> None:
    folder = task.out / _REFERENCE
    if (folder / FILE).is_file():  # of an export that was interrupted
        return
    task.note("preparing test questions")
    samples = held_out_samples(task, chat, tokenizer, tokens=tokens, context=context)
    ends = {*encode(tokenizer, chat.end), tokenizer.eos_token_id}
    max_own_tokens = min(_NEW_TOKENS, task.recipe.answer.max_answer_tokens)
    write_reference(
        source,
        samples,
        folder,
        ends=ends,
        max_own_tokens=max_own_tokens,
        candidates=candidates,
        on_progress=task.progress,
    )


def _trial(
    task: Task, source: Path, chat: ChatFormat, tokenizer: Any, limits: Limits, context: int
) -> CandidateSearch:
    @cache
    def calibration_texts() -> list[list[int]]:
        """Return training prompts with their answers, in tokens: the same for every candidate."""
        samples = calibration_samples(
            task, chat, tokenizer, tokens=CALIBRATION_TOKENS, context=context
        )
        return [sample.prompt + sample.answer for sample in samples]

    def build(wanted: Candidate, folder: Path) -> None:
        rounded = task.out / _ROUNDED
        shutil.rmtree(rounded, ignore_errors=True)
        try:
            if wanted.calibrated:
                write_rounded(
                    source, rounded, wanted, calibration_texts(), on_progress=task.progress
                )
            model = rounded if wanted.calibrated else source
            build_onnx(model, folder, wanted, task.out / _SCRATCH)
        finally:  # a candidate that fails leaves no copy of the model in what the stage keeps
            shutil.rmtree(rounded, ignore_errors=True)
        adjust_config(folder, tokenizer, chat, context)

    def measure(wanted: Candidate, folder: Path) -> CandidateFigures:
        rounding = cost_of_rounding(task.out / _REFERENCE, wanted)
        seen = probe(folder, task.out / _REFERENCE, max_context=context, new_tokens=_NEW_TOKENS)
        limits = agreement_limits(task.recipe.export, rounding)
        return cast("CandidateFigures", {**seen, "rounding": rounding, **limits})

    return CandidateSearch(task.out / _WORK, limits, build, measure)


def agreement_limits(export: Export, rounding: RoundingCost) -> AgreementLimits:
    """How much an exported model may differ from torch: as the recipe says, `auto` being what its
    rounding explains."""
    max_kl, min_same = export.max_kl, export.min_same_next_token
    return {
        "max_kl": float(rounding["max_kl"] if max_kl == "auto" else max_kl),
        "min_same_next_token": float(
            rounding["min_same_next_token"] if min_same == "auto" else min_same
        ),
    }


def _chosen(task: Task, results: Sequence[CandidateFigures], limits: Limits) -> CandidateFigures:
    """Raises StageError where a lone candidate could not be made, CheckFailed where none is within
    the limits."""
    if len(results) == 1 and (failed := results[0].get("failed")):
        raise StageError(failed)
    if len(results) == 1 and (differs := choose.disagreement(results[0])):
        raise CheckFailed(
            f"the model as {results[0]['name']} is too far from torch's: {differs}; "
            f"{choose.advice(results[0])}"
        )
    chosen = choose.choose(results, limits)
    if chosen is None:
        wrong = next(
            (figures for figures in results if choose.computes_something_else(figures)), None
        )
        next_step = (
            "raise a limit, or name others in export.candidates (int8-32 and fp32 lose least)"
        )
        raise CheckFailed(
            f"no candidate is within the limits of `export`:\n{choose.table(results, limits)}\n"
            + (f"{wrong['name']}: {choose.advice(wrong)}" if wrong else next_step)
        )
    ratio, most = chosen["perplexity_ratio"], task.recipe.export.max_perplexity_ratio
    if not ratio <= most:
        raise CheckFailed(
            f"the exported model's perplexity is {ratio:.2f} times torch's, "
            f"export.max_perplexity_ratio is {most}; "
            f"{choose.advice(chosen)}"
        )
    return chosen


def _why(facts: ExportFacts) -> str:
    within = [c for c in facts["candidates"] if c["refused"] is None]
    return (
        f"chose {facts['candidate']}: {facts['size_mb']:,.1f} MB, {facts['degradation']:.1%} worse "
        "than full precision; the "
        f"smallest of {len(within)} candidates within the limits, {len(facts['candidates'])} tried"
    )


def _compare_all_tokens(task: Task, chat: ChatFormat, tokenizer: Any) -> tuple[int, int]:
    """(tokens that the device adds in front of a text, texts of the domain compared)."""
    generator = TextGenerator.open(task.out / MODEL)
    texts = domain_texts(task.recipe)
    recipe = task.recipe
    frame = (
        chat.start
        + prompt_settings(recipe).system
        + chat.to_user
        + "?"
        + chat.to_answer
        + recipe.answer.refusal.strip()
    )
    every = [*(text for pair in texts for text in pair if text), frame + chat.end]
    return compare_tokens(generator, tokenizer, every), len(texts)


def compare_tokens(generator: TextGenerator, tokenizer: Any, texts: Sequence[str]) -> int:
    """Tokens the device's tokenizer adds in front of every text (0 or 1); CheckFailed if it differs
    otherwise."""
    added: int | None = None
    for text in texts:
        device, model = generator.encode(text), encode(tokenizer, text)
        skip = len(device) - len(model)
        if added is None:
            added = skip
        if skip not in (0, 1) or skip != added or device[skip:] != model:
            raise CheckFailed(f"the device's tokenizer differs from the model's on {text[:80]!r}")
    return added or 0
