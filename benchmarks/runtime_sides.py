"""One side of benchmarks/runtime.py, run once, in a process of its own: `runtime_sides.py SIDE
SPEC.json` prints JSON.

Imports nothing but what its side needs, for its import time and memory are part of what is
measured. Times are read from CLOCK_MONOTONIC, which the parent shares: it subtracts the moment at
which it started this process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Spec = dict[str, Any]
_FILLER = (
    "The annual charge is taken from the fund every month and shown in the yearly statement of "
    "costs. "
)
# Pairs of texts that a model goes on with, and that differ from their first token on: what one of
# them left in a KV cache is no use to the other.
_TEXTS = (
    tuple(
        "".join(f"{word} {n} of the list.\n" for n in range(1, 20_000)) for word in ("Line", "Row")
    ),
    (_FILLER * 2000, f"Note. {_FILLER * 2000}"),
)


def bare(spec: Spec) -> dict[str, Any]:
    """onnxruntime-genai as its own examples use it: the prompt in one append_tokens call."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as ours has it: else its look-ups are timed
    import onnxruntime_genai as og

    from fieldpack.generation.longrope import LongRope, new_generator

    config = og.Config(str(Path(spec["bundle"]) / "model"))
    config.clear_providers()
    config.overlay(_threads(spec["threads"]))
    model, rope = og.Model(config), LongRope.read(Path(spec["bundle"]) / "model")
    tokenizer = og.Tokenizer(model)

    def generate(prompt: str, tokens: int) -> dict[str, Any]:
        started = time.perf_counter()
        ids = tokenizer.encode(prompt).tolist()[spec["skip"] :]
        params = og.GeneratorParams(model)
        length = len(ids) + spec["new_tokens"]
        least = {"min_length": length} if spec["min_length"] else {}
        params.set_search_options(
            max_length=length,
            do_sample=False,
            repetition_penalty=spec["repetition_penalty"],
            **least,
        )
        generator = new_generator(model, params, rope, length)
        generator.append_tokens(ids)
        decoder, pieces, made, first_ms = tokenizer.create_stream(), [], 0, 0.0
        while not generator.is_done() and made < tokens:
            generator.generate_next_token()
            pieces.append(
                decoder.decode(generator.get_next_tokens()[0])
            )  # the text, as ours makes it
            made += 1
            if made == 1:
                first_ms, first_at = (time.perf_counter() - started) * 1000, time.monotonic()
        return _generation(
            len(ids),
            made,
            first_ms,
            (time.perf_counter() - started) * 1000,
            first_at,
            "".join(pieces),
        )

    return _measured(generate, spec)


def ours(spec: Spec) -> dict[str, Any]:
    """The bundle opened and TextGenerator.stream alone on the same prompts: no retrieval, no prompt
    building. Then the last prompt once more, which its KV cache holds."""
    generator = _open_ours(spec)

    def generate(prompt: str, tokens: int) -> dict[str, Any]:
        return _stream(generator, spec, prompt, tokens)

    measured = _measured(generate, spec)
    kept = generate(spec["prompts"][-1], spec["new_tokens"])
    return {
        **measured,
        "kept_first_token_ms": kept["first_token_ms"],
        "kept_cached_tokens": kept["cached_tokens"],
    }


def ours_cold(spec: Spec) -> dict[str, Any]:
    """Ours to the first token only; with spec["verify"] False the files' hashes are not read."""
    return {"first_at": _stream(_open_ours(spec), spec, spec["prompts"][0], 1)["first_at"]}


def ask(spec: Spec) -> dict[str, Any]:
    """fieldpack.open().ask(): search, prompt, answer, citations. One question cold and streamed,
    another one warm, then that once more, whose prompt the KV cache holds."""
    import fieldpack

    with fieldpack.open(
        spec["bundle"], threads=spec["threads"], verify_contents=spec["verify"]
    ) as expert:
        first_at = None
        for event in expert.stream(spec["first_question"]):
            if isinstance(event, fieldpack.TextPiece) and first_at is None:
                first_at = time.monotonic()
                if spec.get("first_only"):
                    return {"first_at": first_at}
        answer = expert.ask(spec["question"])
        timings = answer.to_dict()["timings"]
        kept = expert.ask(spec["question"]).timings
    return {
        "first_at": first_at,
        "kept_first_token_ms": kept.first_token_ms,
        "kept_total_ms": kept.total_ms,
        "answer": answer.text,
        "refused": answer.refused,
        "citations": len(answer.citations),
        **timings,
        "peak_rss_mb": _peak_rss_mb(),
    }


def prepare(spec: Spec) -> dict[str, Any]:
    """Two prompts of exactly the wanted tokens after which the model does not stop early, and two
    questions."""
    import fieldpack
    from fieldpack.prompt import read_prompt

    bundle = Path(spec["bundle"])
    chat, settings = read_prompt(bundle)
    decoder = json.loads((bundle / "model" / "genai_config.json").read_text(encoding="utf-8"))
    context = int(decoder["model"]["context_length"])
    wanted = min(spec["prompt_tokens"], context - spec["new_tokens"])
    if wanted < 1:
        raise SystemExit(
            f"{bundle}: its context of {context} tokens does not hold {spec['new_tokens']} new ones"
        )
    spec = {
        **spec,
        "skip": chat.skip_tokens,
        "repetition_penalty": settings.repetition_penalty,
        "verify": False,
        "context": context,
    }
    generator = _open_ours(spec)
    tried = []
    for texts in _TEXTS:
        prompts = [_exactly(generator.encode, text, wanted) for text in texts]
        made = [_stream(generator, spec, prompt, spec["new_tokens"]) for prompt in prompts]
        tokens = min(one["tokens"] for one in made)
        tried.append((tokens, prompts, made[-1]["prompt_tokens"]))
        if tokens == spec["new_tokens"]:
            break
    tokens, prompts, prompt_tokens = max(tried, key=lambda t: t[0])
    manifest = fieldpack.read_manifest(bundle)
    first, second = _questions(bundle, manifest.has("knowledge"))
    return {
        **spec,
        "prompts": prompts,
        "prompt_tokens": prompt_tokens,
        "min_length": tokens < spec["new_tokens"],
        "first_question": first,
        "question": spec["question"] or second,
        "bundle_mb": manifest.size / 1e6,
        "name": f"{manifest.name} {manifest.version}",
    }


def _threads(threads: int) -> str:
    return json.dumps(
        {"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}
    )


def _measured(generate: Callable[[str, int], dict[str, Any]], spec: Spec) -> dict[str, Any]:
    """The first token of a cold process, then a whole generation warm, each on a prompt that was not
    read before; the peak covers both."""
    first, second = spec["prompts"]
    cold = generate(first, 1)
    warm = generate(second, spec["new_tokens"])
    return {
        **warm,
        "first_at": cold["first_at"],
        "cold_first_token_ms": cold["first_token_ms"],
        "peak_rss_mb": _peak_rss_mb(),
    }


def _open_ours(spec: Spec) -> Any:
    import fieldpack
    from fieldpack.devices import Device
    from fieldpack.generation.generator import TextGenerator

    # Verifies the bundle; its own generator is private and opened at the first answer, so here is
    # another.
    expert = fieldpack.open(spec["bundle"], threads=spec["threads"], verify_contents=spec["verify"])
    device = Device("cpu", spec["threads"])
    return TextGenerator.open(expert.path / "model", device=device, skip_tokens=spec["skip"])


def _stream(generator: Any, spec: Spec, prompt: str, tokens: int) -> dict[str, Any]:
    from fieldpack.generation.engine import GenerationStats

    stats, text = GenerationStats(), ""
    started = time.monotonic()
    pieces = generator.stream(
        prompt,
        max_new_tokens=spec["new_tokens"],
        max_context=spec["context"],
        repetition_penalty=spec["repetition_penalty"],
        stats=stats,
    )
    for piece in pieces:
        text += piece
        if stats.tokens >= tokens:
            break
    pieces.close()
    first_at = started + stats.first_token_ms / 1000
    made = _generation(
        stats.prompt_tokens, stats.tokens, stats.first_token_ms, stats.total_ms, first_at, text
    )
    return {**made, "cached_tokens": stats.cached_tokens}


def _generation(
    prompt: int, tokens: int, first_ms: float, total_ms: float, first_at: float, text: str
) -> dict[str, Any]:
    decode = (tokens - 1) / (total_ms - first_ms) * 1000 if tokens > 1 else None
    return {
        "prompt_tokens": prompt,
        "tokens": tokens,
        "first_token_ms": first_ms,
        "first_at": first_at,
        "text": text,
        "prefill_tokens_per_s": prompt / first_ms * 1000,
        "decode_tokens_per_s": decode,
    }


def _exactly(encode: Callable[[str], list[int]], text: str, tokens: int) -> str:
    """The longest beginning of `text` of at most `tokens` tokens (a cut may merge two: then it is
    one fewer)."""
    low, high = 0, min(len(text), tokens * 16)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(encode(text[:middle])) <= tokens else (low, middle - 1)
    return text[:low]


def _questions(bundle: Path, has_knowledge: bool) -> tuple[str, str]:
    """Two questions of the library itself, so that any bundle has some that retrieval finds and the
    threshold lets through."""
    import sqlite3
    from contextlib import closing

    texts = ["you", "anybody"]
    if has_knowledge:
        with closing(
            sqlite3.connect(f"file:{bundle / 'knowledge' / 'chunks.sqlite'}?mode=ro", uri=True)
        ) as database:
            longest = "SELECT text FROM chunks ORDER BY length(text) DESC, id LIMIT 2"
            texts = [text for (text,) in database.execute(longest)]
    first, second = (" ".join(text.split()[:20]) for text in (texts[-1], texts[0]))
    asked = "What do the documents say about this: {}?"
    return asked.format(first), asked.format(second)


def _peak_rss_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024, 1)


if __name__ == "__main__":
    side, path = sys.argv[1:]
    outcome = globals()[side](json.loads(Path(path).read_text(encoding="utf-8")))
    print(json.dumps(outcome), flush=True)
    os._exit(0)  # genai's threads need seconds to end by themselves
