"""Opens one exported model in a process of its own, as a device does, and says how it fares against the reference. Runs by
its path, so that its peak memory is the model's and not the build's: until that is read it imports the runtime, numpy and
genai alone.

stdin: {"folder", "reference", "max_context", "new_tokens"}; stdout: one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fieldpack.devices import Device
from fieldpack.generation.generator import TextGenerator
from fieldpack.generation.kv_cache import SLICE, WINDOW, Kept
from fieldpack.generation.longrope import LongRope, new_generator

Row = dict[str, Any]


def main() -> None:
    spec = json.loads(sys.stdin.readline())
    reference = Path(spec["reference"])
    rows: list[Row] = json.loads((reference / "reference.json").read_text(encoding="utf-8"))
    generator = TextGenerator.open(Path(spec["folder"]))
    longest = max(rows, key=lambda row: len(row["prompt"]))
    for _ in generator.stream(longest["text"], max_new_tokens=spec["new_tokens"], max_context=spec["max_context"]):
        pass
    found: Row = {"memory_mb": _peak_mb()}  # before logits of many positions are looked at, which a device never does
    del generator
    model, rope = _open(spec["folder"]), LongRope.read(Path(spec["folder"]))
    found |= _speed(model, rope, longest["prompt"], spec["new_tokens"])
    from fieldpack_build.export.reference_figures import figures_against  # here: memory at its peak has been read

    kept, most = Kept(model, rope), max(len(row[key]) for row in rows for key in ("answer", "own"))
    found |= figures_against(partial(_logits, kept, longest=most), rows, reference)
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
    return {"prefill_tokens_per_s": round(len(prompt) / (read - begun), 1),
            "decode_tokens_per_s": round(new_tokens / (done - read), 1)}  # fmt: skip


def _logits(kept: Kept, prompt: Sequence[int], answer: Sequence[int], longest: int) -> Any:
    """Rows as the reference has them. `longest`: tokens of the longest answer behind this prompt."""
    room = len(prompt) + longest + 1
    kept.read(prompt, room=room, most=room)
    kept.back_to(len(prompt) - 1)
    read = [prompt[-1], *answer[:-1]]
    return np.concatenate([kept.advance(read[at : at + WINDOW]).copy() for at in range(0, len(read), WINDOW)])


if __name__ == "__main__":
    main()
