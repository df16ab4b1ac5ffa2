"""Opens one exported model in a process of its own, as a device does, and says how it fares against
the reference. Runs by its path, so that its peak memory is the model's and not the build's: until
that is read it imports the runtime, numpy and genai alone.

stdin: {"folder", "reference", "max_context", "new_tokens"}; stdout: one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fieldpack.devices import Device
from fieldpack.generation.generator import TextGenerator
from fieldpack.generation.kv_cache import SLICE, WINDOW, KVCache
from fieldpack.generation.longrope import LongRope, new_generator

Row = dict[str, Any]


def main() -> None:
    spec = json.loads(sys.stdin.readline())
    reference = Path(spec["reference"])
    rows: list[Row] = json.loads((reference / "reference.json").read_text(encoding="utf-8"))
    generator = TextGenerator.open(Path(spec["folder"]))
    longest = max(rows, key=lambda row: len(row["prompt"]))
    for _ in generator.stream(
        longest["text"], max_new_tokens=spec["new_tokens"], max_context=spec["max_context"]
    ):
        pass
    found: Row = {
        "memory_mb": _peak_mb()
    }  # before logits of many positions are looked at, which a device never does
    del generator
    model, rope = _open(spec["folder"]), LongRope.read(Path(spec["folder"]))
    found |= _speed(model, rope, longest["prompt"], spec["new_tokens"])
    found |= _compare(KVCache(model, rope), rows, reference)
    print(json.dumps(found))


def _peak_mb() -> float:
    """Not ru_maxrss: that begins with what the process that started this one had held."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return round(int(status.split("VmHWM:")[1].split()[0]) / 1024, 1)


def _open(folder: str) -> Any:
    import onnxruntime_genai as og

    config = og.Config(folder)
    config.clear_providers()
    threads = {"intra_op_num_threads": Device().threads}
    config.overlay(json.dumps({"model": {"decoder": {"session_options": threads}}}))
    return og.Model(config)


def _speed(model: Any, rope: LongRope | None, prompt: list[int], new_tokens: int) -> Row:
    import onnxruntime_genai as og

    length = len(prompt) + new_tokens
    params = og.GeneratorParams(model)
    params.set_search_options(max_length=length, min_length=length, do_sample=False)
    generator = new_generator(model, params, rope, length)
    begun = time.perf_counter()
    for at in range(0, len(prompt), SLICE):
        generator.append_tokens(prompt[at : at + SLICE])
    read = time.perf_counter()
    for _ in range(new_tokens):
        generator.generate_next_token()
    done = time.perf_counter()
    return {
        "prefill_tokens_per_s": round(len(prompt) / (read - begun), 1),
        "decode_tokens_per_s": round(new_tokens / (done - read), 1),
    }


def _compare(cache: KVCache, rows: list[Row], reference: Path) -> Row:
    """Perplexity of the right answers by both models; over all positions, also of the full model's
    own answers, the mean KL(full || this) in nats and how often the best next token is the same;
    the share of its own answers that this model, answering greedily, gives to the letter. What is
    not a number is None."""
    from fieldpack_build.export.agreement import (
        compare,
        log_softmax,
    )  # here: memory at its peak has been read

    mine, theirs, answers = [], [], []

    def pairs() -> Iterator[tuple[Any, Any]]:
        for number, row in enumerate(rows):
            full, this = np.load(reference / f"{number:02}.npy"), _logits(cache, row)
            given = len(row["answer"])
            places = np.arange(given), np.array(row["answer"], dtype=int)
            mine.append(log_softmax(this[:given])[places])
            theirs.append(log_softmax(full[:given])[places])
            answers.append(
                bool((full[given:].argmax(axis=-1) == this[given:].argmax(axis=-1)).all())
            )
            yield full, this

    seen = compare(pairs())
    if not seen.finite:
        return {"kl": None}
    perplexity = [float(np.exp(-np.concatenate(part).mean())) for part in (theirs, mine)]
    return {
        "perplexity_torch": round(perplexity[0], 3),
        "perplexity_onnx": round(perplexity[1], 3),
        "perplexity_ratio": round(perplexity[1] / perplexity[0], 4),
        "kl": float(f"{seen.kl:.4g}"),
        "same_next_token": round(seen.same_next_token, 6),
        "same_answers": round(float(np.mean(answers)), 4),
        "texts": len(rows),
        "positions": seen.positions,
    }


def _logits(cache: KVCache, row: Row) -> Any:
    """Rows as the reference has them."""
    prompt, found = row["prompt"], []
    capacity = len(prompt) + max(len(row["answer"]), len(row["own"])) + 1
    for answer in (row["answer"], row["own"]):
        cache.prefill(prompt, capacity=capacity, max_capacity=capacity)
        cache.trim(len(prompt) - 1)
        read = [prompt[-1], *answer[:-1]]
        found += [
            cache.forward(read[at : at + WINDOW]).copy() for at in range(0, len(read), WINDOW)
        ]
    return np.concatenate(found)


if __name__ == "__main__":
    main()
