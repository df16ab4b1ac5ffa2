"""Opens one exported model in a process of its own, as a device does, and says how it fares against
the reference. Runs by its path, so that its peak memory is the model's and not the build's: until
that is read it imports the runtime, numpy and genai alone.

Asked by `search.probe`: {"folder", "reference", "max_context", "new_tokens"}; its answer is
facts.ProbeFigures.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from fieldpack.child import answer_parent
from fieldpack.devices import Device
from fieldpack.generation.generator import TextGenerator
from fieldpack.generation.kv_cache import SLICE, WINDOW, KVCache
from fieldpack.generation.longrope import LongRope, new_generator
from fieldpack.memory import peak_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fieldpack_build.export.facts import ProbeFigures
    from fieldpack_build.export.reference_logits import ReferenceRow


class Question(TypedDict):
    """`folder`: of the exported model. `reference`: as `reference_logits` writes it. `new_tokens`:
    of the speed measured."""

    folder: str
    reference: str
    max_context: int
    new_tokens: int


def measure(question: Question) -> ProbeFigures:
    """Measure an exported model: its memory as a device uses it, its speed, how near it is to the
    reference."""
    reference, folder = Path(question["reference"]), Path(question["folder"])
    rows: list[ReferenceRow] = json.loads(
        (reference / "reference.json").read_text(encoding="utf-8")
    )
    generator = TextGenerator.open(folder)
    longest = max(rows, key=lambda row: len(row["prompt"]))
    for _ in generator.stream(
        longest["text"],
        max_new_tokens=question["new_tokens"],
        max_context=question["max_context"],
    ):
        pass
    # Before logits of many positions are looked at, which a device never does.
    memory_mb = round(peak_bytes() / 2**20, 1)
    del generator
    # Only now: memory at its peak has been read.
    from fieldpack_build.export.reference_figures import figures_against

    model, rope = _open(folder), LongRope.read(folder)
    longest_answer = max(len(row[key]) for row in rows for key in ("answer", "own"))
    read_logits = partial(_logits, KVCache(model, rope), longest_answer=longest_answer)
    return {
        "memory_mb": memory_mb,
        **_speed(model, rope, longest["prompt"], question["new_tokens"]),
        **figures_against(read_logits, rows, reference),
    }


def _open(folder: Path) -> Any:
    """Open the model in genai itself, on the CPU with the device's threads."""
    import onnxruntime_genai as og

    config = og.Config(str(folder))
    config.clear_providers()
    threads = {"intra_op_num_threads": Device().threads}
    config.overlay(json.dumps({"model": {"decoder": {"session_options": threads}}}))
    return og.Model(config)


def _speed(model: Any, rope: LongRope | None, prompt: list[int], new_tokens: int) -> ProbeFigures:
    """Measure the speed of reading a prompt and of writing behind it."""
    import onnxruntime_genai as og

    length = len(prompt) + new_tokens
    params = og.GeneratorParams(model)
    params.set_search_options(max_length=length, min_length=length, do_sample=False)
    generator = new_generator(model, params, rope, length)
    start = time.perf_counter()
    for at in range(0, len(prompt), SLICE):
        generator.append_tokens(prompt[at : at + SLICE])
    read = time.perf_counter()
    for _ in range(new_tokens):
        generator.generate_next_token()
    done = time.perf_counter()
    return {
        "prefill_tokens_per_s": round(len(prompt) / (read - start), 1),
        "decode_tokens_per_s": round(new_tokens / (done - read), 1),
    }


def _logits(
    cache: KVCache, prompt: Sequence[int], answer: Sequence[int], longest_answer: int
) -> NDArray[np.float32]:
    """Return the logits that predict each token of `answer`, [len(answer), vocabulary].
    `longest_answer`: tokens of the longest answer behind any prompt, for which the cache has space.
    """
    capacity = len(prompt) + longest_answer + 1
    cache.prefill(prompt, capacity=capacity, max_capacity=capacity)
    cache.trim(len(prompt) - 1)
    read = [prompt[-1], *answer[:-1]]
    steps = [cache.forward(read[at : at + WINDOW]).copy() for at in range(0, len(read), WINDOW)]
    return np.concatenate(steps)


if __name__ == "__main__":
    answer_parent(measure)
