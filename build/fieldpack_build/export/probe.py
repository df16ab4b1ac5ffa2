"""Opens one exported model in a process of its own, as a device does, and says how it fares against
the reference. Runs by its path, so that its peak memory is the model's and not the build's: until
that is read it imports the runtime, numpy and genai alone.

Asked by `search.probe`: {"folder", "reference", "max_context", "new_tokens"}; its answer is facts.ProbeFigures.
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

if TYPE_CHECKING:
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
    # Before logits of many positions are looked at, which a device never does. Not ru_maxrss: that
    # begins with what the process that started this one had held.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak_kib = int(status.split("VmHWM:")[1].split()[0])
    del generator
    model, rope = _open(folder), LongRope.read(folder)
    return {
        "memory_mb": round(peak_kib / 1024, 1),
        **_speed(model, rope, longest["prompt"], question["new_tokens"]),
        **_compare(KVCache(model, rope), rows, reference),
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


def _compare(cache: KVCache, rows: list[ReferenceRow], reference: Path) -> ProbeFigures:
    # here: memory at its peak has been read
    from fieldpack_build.export.reference_figures import figures_against

    longest = max(len(answer) for row in rows for answer in (row["answer"], row["own"]))
    return figures_against(partial(_logits, cache, longest=longest), rows, reference)


def _logits(cache: KVCache, prompt: Sequence[int], answer: Sequence[int], *, longest: int) -> Any:
    """Return float32 logits that predict each token of `answer`. `longest`: tokens of the longest
    answer behind any prompt."""
    capacity = len(prompt) + longest + 1
    cache.prefill(prompt, capacity=capacity, max_capacity=capacity)
    cache.trim(len(prompt) - 1)
    read = [prompt[-1], *answer[:-1]]
    steps = (cache.forward(read[at : at + WINDOW]).copy() for at in range(0, len(read), WINDOW))
    return np.concatenate(list(steps))


if __name__ == "__main__":
    answer_parent(measure)
