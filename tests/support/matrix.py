"""Architectures through check, training, merge and export, and what the exported models say: greedy
tokens against those of transformers at three prompt lengths, each prompt read afresh, after another
one that begins alike, and after a longer one that has to be taken back.

`python matrix.py --write`, in tests/support/, writes docs/architectures.md.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import architectures
import training
from fieldpack.generation.engine import GenerationStats
from fieldpack.generation.generator import TextGenerator
from fieldpack_build.check import check_recipe
from fieldpack_build.errors import BuildError
from fieldpack_build.export import adjust_config, build_onnx
from fieldpack_build.models import causal_lm
from fieldpack_build.models.chat_template import read_chat
from fieldpack_build.models.precision import candidate
from fieldpack_build.pipeline.store import Store
from fieldpack_build.pipeline.task import Task
from fieldpack_build.recipe.schema import Recipe
from fieldpack_build.stages import base, export, merge, train

TABLE = Path(__file__).parents[2] / "docs" / "architectures.md"
LENGTHS = (40, 170, 400)  # tokens; see architectures.WINDOW and SWITCH
NEW_TOKENS = 24
MAX_CONTEXT = 768
WAYS = ("fresh", "kept", "rewound")


@dataclass(frozen=True)
class Row:
    """What one architecture did; `why` is the reason where a step failed, and later ones are empty.

    `trained`: weight matrices that the merge moved, of how many there are beside embeddings and
    output. `equal` of `compared` answers are transformers' own; `ties` of them part from those
    where the two best logits are closer than float32 tells apart. `reads_on`: an answer went on
    from what was read for the one before."""

    name: str
    check: str = ""
    trained: tuple[int, int] | None = None
    export: tuple[str, ...] = ()
    equal: int = 0
    compared: int = 0
    ties: int = 0
    tokens: int = 0
    reads_on: bool = False
    why: str = ""

    @property
    def works(self) -> bool:
        """Its answers are right; that it cannot be quantized is another matter."""
        return self.compared > 0 and self.equal == self.compared


def recipe_of(folder: Path) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "toy",
            "version": "1.0.0",
            "base": {"model": "model"},
            "folder": str(folder),
            "train": {
                "method": "lora",
                "data": "train.jsonl",
                "max_steps": 3,
                "learning_rate": 0.01,
                "rank": 4,
                "alpha": 8,
                "effective_batch": 2,
                "max_tokens": 512,
            },
            "export": {"precision": "fp32", "max_context": MAX_CONTEXT},
            "answer": {"system": "Answer.", "max_answer_tokens": 8},
        }
    )


def run_row(name: str, folder: Path, *, lengths: Sequence[int] = LENGTHS, int4: bool = True) -> Row:
    """One architecture, from weights to tokens; what fails before the export ends it."""
    recipe, row = prepare(name, folder), Row(name)
    steps = {
        "check": check,
        "train": _train,
        "export": _export,
        "tokens": partial(_compare, lengths=lengths),
    }
    for label, step in {**steps, **({"int4": _int4} if int4 else {})}.items():
        try:
            row = step(row, recipe, folder)
        except BuildError as error:
            row = replace(row, why=f"{label}: {_plain(error, folder)}")
            if label in ("train", "export"):
                return row
        if row.check == "no":
            return row
    return row


def prepare(name: str, folder: Path) -> Recipe:
    """A model and training rows in `folder`; the recipe for them."""
    architectures.write(folder / "model", name)
    training.write_rows(folder, training.ROWS)
    return recipe_of(folder)


def _plain(error: BuildError, folder: Path) -> str:
    """The first sentence without this run's paths."""
    text = " ".join(str(error).split())
    text = re.sub(
        rf"(toy\.yaml: )?(base\.model: )?{re.escape(str(folder))}/(model|config\.json)[^ ]*: ",
        "",
        text,
    )
    return text.split("; ")[0].replace(str(folder), "").replace("|", "/")


def _task(recipe: Recipe, folder: Path, stage: str, *inputs: str) -> Task:
    (folder / stage).mkdir()
    return Task(
        recipe, {name: folder / name for name in inputs}, folder / stage, Store(folder / "cache")
    )


def check(row: Row, recipe: Recipe, folder: Path) -> Row:
    """`build check` of the recipe in `folder`."""
    row = replace(row, check="no")
    try:
        check_recipe(recipe, "toy.yaml")
    except BuildError as error:
        return replace(row, why=_plain(error, folder))
    return replace(row, check="yes")


def _train(row: Row, recipe: Recipe, folder: Path) -> Row:
    base.run(_task(recipe, folder, "base"))
    train.run(_task(recipe, folder, "train", "base"))
    moved = merge.run(_task(recipe, folder, "merge", "base", "train"))["matrices_moved"]
    model = causal_lm.load_model(folder / "merge" / "model")
    outer = {
        id(side.weight) for side in (model.get_input_embeddings(), model.get_output_embeddings())
    }
    return replace(
        row, trained=(moved, sum(p.dim() > 1 and id(p) not in outer for p in model.parameters()))
    )


def _export(row: Row, recipe: Recipe, folder: Path) -> Row:
    export.run(_task(recipe, folder, "export", "base", "merge"))
    return replace(row, export=("fp32",))


def _int4(row: Row, recipe: Recipe, folder: Path) -> Row:
    """It opens and answers: what random weights say in 4 bits is no measure."""
    source, out = folder / "merge" / "model", folder / "int4"
    build_onnx(source, out, candidate("int4", "k_quant_mixed", 32), folder / "builder")
    adjust_config(
        out, causal_lm.load_tokenizer(source), read_chat(folder / "base"), recipe.export.max_context
    )
    stats = GenerationStats()
    list(
        TextGenerator.open(out).stream(
            "What is item 3 called?", max_new_tokens=4, max_context=256, stats=stats
        )
    )
    assert stats.tokens, f"{row.name} says nothing in int4"
    return replace(row, export=(*row.export, "int4"))


# --- tokens ---------------------------------------------------------------------------------------


def _compare(row: Row, recipe: Recipe, folder: Path, *, lengths: Sequence[int]) -> Row:
    model = folder / "merge" / "model"
    tokenizer, reference = causal_lm.load_tokenizer(model), Reference(model)
    wrong = []
    for length in lengths:
        prompts = Prompts(tokenizer, length)
        ids = tokenizer.encode(prompts.asked, add_special_tokens=False)
        assert len(ids) == length
        expected = reference.answer(ids)
        for way in WAYS:
            generator, stats = TextGenerator.open(folder / "export" / "model"), GenerationStats()
            assert generator.encode(prompts.asked) == ids
            for before in prompts.before(way):
                _ask(generator, before, GenerationStats())
            part = parts_at(
                generator.decode, _ask(generator, prompts.asked, stats), stats.tokens, expected
            )
            tie = part is not None and expected.is_tie(part)
            equal = part is None or tie
            row = replace(
                row,
                equal=row.equal + equal,
                ties=row.ties + tie,
                compared=row.compared + 1,
                tokens=row.tokens + len(expected.tokens),
                reads_on=row.reads_on or stats.cached_tokens > 0,
            )
            wrong += [] if equal else [f"{length} {way} from token {(part or 0) + 1} on"]
    return replace(row, why=f"tokens: {', '.join(wrong)}") if wrong else row


def _ask(generator: TextGenerator, prompt: str, stats: GenerationStats) -> str:
    return "".join(
        generator.stream(prompt, max_new_tokens=NEW_TOKENS, max_context=MAX_CONTEXT, stats=stats)
    )


def parts_at(
    decode: Callable[[list[int]], str], text: str, count: int, expected: Answer
) -> int | None:
    """The place of the first token at which a text of `count` tokens differs from `expected`; None
    where both are the same."""
    tokens = expected.tokens
    if count == len(tokens) and text == decode(tokens):
        return None
    parted = (n for n in range(len(tokens)) if not text.startswith(decode(tokens[: n + 1])))
    return next(parted, min(count, len(tokens) - 1))


class Prompts:
    """`asked` has `length` tokens; what may come before it begins alike."""

    def __init__(self, tokenizer: Any, length: int) -> None:
        self._tokenizer = tokenizer
        self.asked = self._of_length("", length, seed=0)
        self._other = self._of_length(self.asked[: len(self.asked) // 2], length, seed=1)
        self._longer = self._of_length(self.asked, length + 200, seed=2)

    def before(self, way: str) -> list[str]:
        return {"fresh": [], "kept": [self._other], "rewound": [self._longer]}[way]

    def _of_length(self, start: str, length: int, *, seed: int) -> str:
        """`start` and random words, then letters until the number is right."""
        words = (
            "The fund costs a year and who may open the valve pump is serviced every hour 400 85 "
            "filter"
        ).split()
        chosen, text = random.Random(seed), start
        while (missing := length - self._count(text)) > 0:
            longer = (
                f"{text} {chosen.choice(words)}"
                if missing > 4
                else f"{text}{chosen.choice('xqjz!?')}"
            )
            text = longer if self._count(longer) <= length else text
        return text

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False))


@dataclass(frozen=True)
class Answer:
    """Greedy tokens of torch, the distance of the two best logits before each of them, and by how
    much a logit of float32 is off float64's at the most."""

    tokens: list[int]
    gaps: list[float]
    noise: float

    def is_tie(self, place: int) -> bool:
        """Each of two logits may be off by the noise, in torch and in the exported model."""
        return self.gaps[place] <= 4 * self.noise


class Reference:
    """The merged model in transformers: every token from a whole reading of all before it, without
    a cache."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self._single = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._double = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float64,
            experts_implementation="eager",  # the grouped kernels have no float64
        ).eval()

    def answer(self, ids: list[int]) -> Answer:
        import torch

        tokens: list[int] = []
        gaps: list[float] = []
        with torch.inference_mode():
            while len(tokens) < NEW_TOKENS and (
                not tokens or tokens[-1] != self._single.config.eos_token_id
            ):
                logits = self._single(torch.tensor([ids + tokens]), use_cache=False).logits[0]
                first, second = logits[-1].topk(2).values.tolist()
                tokens.append(int(logits[-1].argmax()))
                gaps.append(first - second)
            exact = self._double(torch.tensor([ids + tokens[:-1]]), use_cache=False).logits[0]
        return Answer(tokens, gaps, float((exact - logits.double()).abs().max()))


# --- all of them ----------------------------------------------------------------------------------


def run_rows(
    names: Sequence[str], folder: Path, *, workers: int = 2, **options: Any
) -> Iterator[Row]:
    """In processes of their own, which import the libraries once. Options are those of `run_row`."""
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        rows = [
            pool.submit(run_row, name, folder / str(n), **options) for n, name in enumerate(names)
        ]
        for row in rows:
            yield row.result()


def _one_thread() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch

    torch.set_num_threads(1)


_HEAD = """# Architectures

What happens to a base model of each architecture, from `build check` to the tokens of the exported model. Written by
`python matrix.py --write` in `tests/support/`, and checked by `pytest -m matrix`: two to four random layers, three steps
of LoRA on all linear layers through the real stages, merged, exported, opened by the runtime.

- check: whether `build check` accepts it.
- train: matrices that training changed, of all that there are beside embeddings and output.
- export: as what it was exported and opened.
- equal tokens: greedy answers of {new} tokens in fp32 that are transformers' own, for prompts of {lengths} tokens, each
  read afresh, after another one with the same beginning, and after a longer one that had to be taken back. Windows are {window}
  tokens, and longrope changes its factors at {switch}. An answer that parts from torch's where its two best logits lie closer
  than float32 tells apart counts as equal.

| architecture | check | train | export | equal tokens | why not |
|---|---|---|---|---|---|
"""


def table(rows: Iterable[Row]) -> str:
    """docs/architectures.md."""
    lengths = f"{', '.join(map(str, LENGTHS[:-1]))} and {LENGTHS[-1]}"
    head = _HEAD.format(
        new=NEW_TOKENS, lengths=lengths, window=architectures.WINDOW, switch=architectures.SWITCH
    )
    return head + "".join(_line(row) for row in rows)


def _line(row: Row) -> str:
    trained = f"{row.trained[0]} of {row.trained[1]}" if row.trained else ""
    equal = f"{row.equal} of {row.compared}" if row.compared else ""
    whole = (
        ""
        if row.reads_on or not row.compared
        else "its state cannot be taken back: every prompt is read from its start"
    )
    cells = (
        row.name,
        row.check,
        trained,
        ", ".join(row.export),
        equal,
        "; ".join(filter(None, (row.why, whole))),
    )
    return "| " + " | ".join(cells) + " |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the matrix and print its table.")
    parser.add_argument("names", nargs="*", help="architectures [default: all]")
    parser.add_argument("--write", action="store_true", help=f"into {TABLE}")
    parser.add_argument("--keep", type=Path, help="a new folder for all that is made")
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for row in run_rows(
            asked.names or list(architectures.ARCHITECTURES), asked.keep or Path(scratch)
        ):
            print(row, file=sys.stderr)
            rows.append(row)
    if asked.write:
        TABLE.write_text(table(rows), encoding="utf-8")
    else:
        print(table(rows))


if __name__ == "__main__":
    main()
