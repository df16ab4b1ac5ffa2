"""Does the tuned model choose the better sentence? The quote picker's best candidates for each
answerable test question, and which of them the merged model finds likeliest as an answer, through
the recipe's own passages and prompt.

Needs what `build recipe` leaves in its cache up to the stage `merge`. The ways to choose:

    picker          the picker's first, which ships as `quote`
    likelihood      the highest mean log-likelihood per token, after the prompt
    with mark       the same with what closes an answer: the passage's mark "[2]" and the end token
    difference      the likelihood less that after the same prompt without the question, per token
    half and half   the lowest sum of the ranks by picker and by likelihood, the picker's where equal
    half, difference                                  ... by picker and by difference
    best            the candidate with the highest F1, to see how much there is to win

Nothing is held back: only the choice is compared. Differences are from the picker, with 95% by the
paired bootstrap over the questions.

    python benchmarks/quote_choice.py recipes/finance.yaml --json benchmarks/results/quote_choice.json
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from export import cached_inputs
from measuring import machine, machine_line, table, write_json

from fieldpack.prompt import PromptBuilder
from fieldpack.retrieval.quoting import rank
from fieldpack_build.data import read_questions
from fieldpack_build.errors import BuildError
from fieldpack_build.evaluation.bootstrap import PairedBootstrap
from fieldpack_build.evaluation.metrics import is_right, token_f1
from fieldpack_build.evaluation.report_file import ArmAnswer, QuestionRow
from fieldpack_build.evaluation.scoring_expert import sum_of_losses
from fieldpack_build.models import causal_lm
from fieldpack_build.models.chat_template import encode, read_chat
from fieldpack_build.models.torch_cache import TorchCache
from fieldpack_build.pipeline.store import Store, default_cache
from fieldpack_build.recipe.load import find_recipe, load_recipe
from fieldpack_build.recipe.runtime_settings import open_library, prompt_settings
from fieldpack_build.recipe.schema import Recipe

_PACKAGES = ("torch", "transformers", "onnxruntime")
_STAGES = ("base", "embedder", "reranker", "knowledge", "calibrate", "quoting", "merge")
PICKER, BEST = "picker", "best"
_FIGURES = ("f1", "value_match")


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate. `f1`, `value`: what it is worth as the answer, the latter None where the question
    has no value; `likelihood`, `with_mark`, `difference`: nats per token, see above."""

    text: str
    f1: float
    value: bool | None
    likelihood: float
    with_mark: float
    difference: float


@click.command()
@click.argument("recipe")
@click.option(
    "--cache", type=click.Path(path_type=Path), help="The build's cache ($FIELDPACK_CACHE)."
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override, as in `build recipe`."
)
@click.option("--top", default=5, show_default=True, help="Candidates of a question.")
@click.option("--sample", type=int, help="So many answerable questions, the first; else all.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(
    recipe: str,
    cache: Path | None,
    overrides: tuple[str, ...],
    top: int,
    sample: int | None,
    json_path: Path | None,
) -> None:
    """Let RECIPE's tuned model choose among the quote picker's best candidates."""
    facts = machine(_PACKAGES)
    try:
        loaded = load_recipe(find_recipe(recipe), overrides)
        folders = cached_inputs(loaded, Store(cache or default_cache()), None, stages=_STAGES)
    except BuildError as error:
        raise click.ClickException(str(error)) from None
    questions = _score_candidates(loaded, folders, top, sample)
    rows = [
        QuestionRow(
            expected=question["expected"],
            line=question["line"],
            arms={name: _answer(question["candidates"][at]) for name, at in choices.items()},
        )
        for question in questions
        if (choices := choose(question["candidates"]))
    ]
    figures = _figures(rows)
    print(machine_line(facts))
    print(f"{len(rows)} answerable questions with a candidate, {top} of each\n")
    print(
        table(("chosen by", "F1", "difference", "right value", "difference"), _cells(figures)),
    )
    data = {
        "benchmark": "quote_choice",
        "recipe": recipe,
        "overrides": list(overrides),
        "machine": facts,
        "questions": len(rows),
        "top": top,
        "figures": figures,
        "rows": [{**q, "candidates": [asdict(one) for one in q["candidates"]]} for q in questions],
    }
    write_json(json_path, data)


# --- what the model says --------------------------------------------------------------------------


def _score_candidates(
    recipe: Recipe, folders: Mapping[str, Path], top: int, sample: int | None
) -> list[dict[str, Any]]:
    """Return each question with its candidates, in the picker's order."""
    import torch

    assert recipe.evaluate
    causal_lm.quiet()
    source = folders["merge"] / causal_lm.MODEL
    tokenizer = causal_lm.load_tokenizer(folders["base"] / causal_lm.MODEL)
    model = causal_lm.load_model(source, dtype=torch.float32).eval()
    settings = prompt_settings(recipe, folders.get("calibrate"), folders.get("quoting"))
    assert settings.quoting
    builder = PromptBuilder(
        read_chat(folders["base"]), settings, lambda text: len(encode(tokenizer, text))
    )
    retriever = open_library(recipe, folders)
    asked = [
        q for q in read_questions(recipe.path(recipe.evaluate.questions)) if q.answer is not None
    ][:sample]
    found = []
    with click.progressbar(asked, label="questions", file=sys.stderr) as bar:
        for question in bar:
            assert question.answer is not None
            passages = retriever.search(question.question, settings.passages)
            ranked = rank(
                question.question,
                passages,
                retriever.embedder,
                settings.quoting,
                rarity=retriever.rarity,
                languages=retriever.languages,
            ).candidates[:top]
            prompts = [
                encode(tokenizer, builder.build(text, passages).text)
                for text in (question.question, "")
            ]
            answers = [builder.chat.plain(candidate.text) for candidate in ranked]
            closed = [
                encode(tokenizer, f" [{candidate.passage}]{builder.chat.end}")
                for candidate in ranked
            ]
            losses = _losses(model, prompts, [encode(tokenizer, a) for a in answers], closed)
            candidates = [
                Scored(
                    text=candidate.text,
                    f1=round(token_f1(candidate.text, question.answer), 4),
                    value=is_right(candidate.text, question),
                    **loss,
                )
                for candidate, loss in zip(ranked, losses, strict=True)
            ]
            found.append(
                {
                    "question": question.question,
                    "expected": question.answer,
                    "line": question.line,
                    "candidates": candidates,
                }
            )
    return found


def _losses(
    model: Any,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    closed: Sequence[Sequence[int]],
) -> list[dict[str, float]]:
    """Return the figures `likelihood`, `with_mark` and `difference` of each answer. `prompts`: with
    the question and without it, which begin alike and are read once as far as they do; `closed`:
    the tokens that close each answer."""
    import torch

    cache = TorchCache(model)
    sums: list[list[tuple[float, float]]] = []  # by prompt, of each answer: alone and with its end
    with torch.no_grad():
        for prompt in prompts:
            read = 0
            if sums:
                same = [a == b for a, b in zip(prompt, prompts[0], strict=False)]
                read = min([*same, False].index(False), len(prompt) - 1)
                cache.crop(read)
            cache.append(prompt[read:], last_only=True)
            sums.append([])
            for answer, end in zip(answers, closed, strict=True):
                expected = [*answer, *end]
                cache.crop(len(prompt) - 1)
                logits = cache.append([prompt[-1], *expected[:-1]]).float().numpy()
                alone = sum_of_losses(logits[: len(answer)], answer)
                sums[-1].append((alone, sum_of_losses(logits, expected)))
    return [
        {
            "likelihood": round(-asked[0] / len(answer), 4),
            "with_mark": round(-asked[1] / (len(answer) + len(end)), 4),
            "difference": round((blank[0] - asked[0]) / len(answer), 4),
        }
        for asked, blank, answer, end in zip(*sums, answers, closed, strict=True)
    ]


# --- choosing -------------------------------------------------------------------------------------


def choose(candidates: Sequence[Scored]) -> dict[str, int]:
    """Return the place of the candidate that each way chooses; `candidates` in the picker's order.
    Empty where there are none."""
    if not candidates:
        return {}
    places = range(len(candidates))

    def first(score: Callable[[Scored], float]) -> int:
        return max(places, key=lambda i: (score(candidates[i]), -i))

    def mixed(score: Callable[[Scored], float]) -> int:
        order = sorted(places, key=lambda i: -score(candidates[i]))
        return min(places, key=lambda i: (i + order.index(i), i))

    return {
        PICKER: 0,
        "likelihood": first(lambda c: c.likelihood),
        "with mark": first(lambda c: c.with_mark),
        "difference": first(lambda c: c.difference),
        "half and half": mixed(lambda c: c.likelihood),
        "half, difference": mixed(lambda c: c.difference),
        BEST: first(lambda c: c.f1),
    }


def _answer(candidate: Scored) -> ArmAnswer:
    return ArmAnswer(
        refused=False, f1=candidate.f1, value_match=candidate.value, answer=candidate.text
    )


def _figures(rows: Sequence[QuestionRow]) -> dict[str, dict[str, Any]]:
    """Each way's figures with intervals, and their differences from the picker's."""
    names = list(rows[0].arms)
    bootstrap = PairedBootstrap(rows, names)
    figures: dict[str, dict[str, Any]] = {}
    for name in names:
        figures[name] = {}
        for key in _FIGURES:
            whole, gap = bootstrap.interval(name, key), bootstrap.difference(name, PICKER, key)
            figures[name][key] = whole.rounded().model_dump() if whole else None
            if name != PICKER:
                figures[name][f"{key}_difference"] = gap.rounded().model_dump() if gap else None
    return figures


def _cells(figures: Mapping[str, Mapping[str, Any]]) -> list[list[object]]:
    def shown(interval: Mapping[str, float] | None, sign: str) -> str | None:
        if interval is None:
            return None
        low, high = interval["low"], interval["high"]
        return f"{interval['value']:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"

    return [
        [
            name,
            shown(of["f1"], ""),
            shown(of.get("f1_difference"), "+"),
            shown(of["value_match"], ""),
            shown(of.get("value_match_difference"), "+"),
        ]
        for name, of in figures.items()
    ]


if __name__ == "__main__":
    main()
