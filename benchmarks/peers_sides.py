"""One side of benchmarks/peers.py in a process of its own: `peers_sides.py SIDE SPEC.json` prints
JSON.

Imports nothing but what its side needs. `first_at` is CLOCK_MONOTONIC, which the parent shares: it
subtracts the moment at which it started this process. Every side answers the same questions in the
same order and is told of nothing in advance.
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
Row = dict[str, Any]


def fieldpack(spec: Spec) -> Row:
    """The bundle as `fieldpack ask` and `serve` open it: verified, then asked."""
    import fieldpack as fp

    expert = fp.open(spec["bundle"], threads=spec["threads"], speculate=spec["speculate"])
    opened = time.monotonic()
    rows, before = [], None
    for question in spec["questions"]:
        if spec.get("typed"):  # all but the last word, while nobody waits
            expert.read_ahead(question["question"].rpartition(" ")[0])
        rows.append(_ours(expert, question["question"], None))
        if question.get("follow_up"):
            before = fp.Previous(rows[-1].pop("asked"), tuple(rows[-1].pop("ids")))
            rows[-1]["follow_up"] = _ours(expert, question["follow_up"], before)
    return {"opened_at": opened, "rows": rows}


def _ours(expert: Any, question: str, previous: Any) -> Row:
    started, first = time.monotonic(), None
    for event in expert.stream(question, previous=previous):
        kind = type(event).__name__
        if kind == "TextPiece" and first is None:
            first = time.monotonic()
        elif kind == "Done":
            answer = event.answer
    t = answer.timings
    return _row(
        started,
        first,
        time.monotonic(),
        answer.text,
        t.prompt_tokens,
        t.cached_tokens,
        t.tokens,
        t.retrieval_ms,
    ) | {
        "asked": answer.asked,
        "ids": [p.chunk_id for p in answer.passages],
        "refused": answer.refused,
        "cited": len(answer.citations),
        "drafted": t.drafted,
        "accepted": t.accepted,
    }


def llama(spec: Spec) -> Row:
    """What a user puts together: sentence-transformers, faiss, llama-cpp-python with its defaults
    but threads, context and greedy sampling. Its own prefix cache is on, as it is by default."""
    import faiss
    import numpy as np
    from llama_cpp import Llama
    from sentence_transformers import SentenceTransformer

    embedder = SentenceTransformer(spec["embedder"], device="cpu")
    index = faiss.read_index(spec["index"])
    chunks = json.loads(Path(spec["chunks"]).read_text(encoding="utf-8"))
    model = Llama(
        spec["gguf"],
        n_ctx=spec["context"],
        n_threads=spec["threads"],
        n_threads_batch=spec["threads"],
        verbose=False,
    )
    opened = time.monotonic()
    held: list[int] = []

    def answer(question: str, passages: list[int] | None) -> Row:
        started = time.monotonic()
        if passages is None:
            vector = embedder.encode([question], normalize_embeddings=True)
            _, found = index.search(np.asarray(vector, dtype=np.float32), spec["passages"])
            passages = [int(i) for i in found[0]]
        retrieved = time.monotonic()
        prompt = _prompt(spec, [chunks[i] for i in passages], question)
        ids = model.tokenize(prompt.encode(), add_bos=False, special=True)
        shared = next(
            (n for n, (a, b) in enumerate(zip(ids, held, strict=False)) if a != b),
            min(len(ids), len(held)),
        )
        text, tokens, first = "", 0, None
        for piece in model(prompt, max_tokens=spec["new_tokens"], temperature=0.0, stream=True):
            first = first or time.monotonic()
            tokens += 1
            text += piece["choices"][0]["text"]
        held[:] = ids
        row = _row(
            started,
            first,
            time.monotonic(),
            text,
            len(ids),
            shared,
            tokens,
            (retrieved - started) * 1000,
        )
        return row | {"ids": passages}

    rows = []
    for question in spec["questions"]:
        rows.append(answer(question["question"], None))
        if question.get("follow_up"):
            rows[-1]["follow_up"] = answer(question["follow_up"], rows[-1]["ids"])
    return {"opened_at": opened, "rows": rows}


def bare(spec: Spec) -> Row:
    """onnxruntime-genai as its examples use it, on the prompts that fieldpack would build: no
    retrieval, nothing kept."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as ours has it: else its look-ups are timed
    import onnxruntime_genai as og

    from fieldpack.generation.longrope import LongRope, new_generator

    config = og.Config(str(Path(spec["bundle"]) / "model"))
    config.clear_providers()
    config.overlay(
        json.dumps(
            {"model": {"decoder": {"session_options": {"intra_op_num_threads": spec["threads"]}}}}
        )
    )
    model, rope = og.Model(config), LongRope.read(Path(spec["bundle"]) / "model")
    tokenizer = og.Tokenizer(model)
    opened = time.monotonic()
    rows = []
    for question in spec["questions"]:
        started, first, text, tokens = time.monotonic(), None, "", 0
        ids = tokenizer.encode(question["prompt"]).tolist()
        params = og.GeneratorParams(model)
        length = min(len(ids) + spec["new_tokens"], spec["context"])
        params.set_search_options(max_length=length, do_sample=False)
        generator, decoder = new_generator(model, params, rope, length), tokenizer.create_stream()
        generator.append_tokens(ids)
        while not generator.is_done():
            generator.generate_next_token()
            text += decoder.decode(generator.get_next_tokens()[0])
            tokens += 1
            first = first or time.monotonic()
        rows.append(_row(started, first, time.monotonic(), text, len(ids), 0, tokens, 0.0))
    return {"opened_at": opened, "rows": rows}


def index(spec: Spec) -> Row:
    """The peer's index, once: the same chunks, embedded by sentence-transformers."""
    import faiss
    from sentence_transformers import SentenceTransformer

    chunks = json.loads(Path(spec["chunks"]).read_text(encoding="utf-8"))
    embedder = SentenceTransformer(spec["embedder"], device="cpu")
    vectors = embedder.encode(
        [f"{c['context']}\n{c['text']}" for c in chunks], normalize_embeddings=True, batch_size=32
    )
    found = faiss.IndexFlatIP(vectors.shape[1])
    found.add(vectors)
    faiss.write_index(found, spec["index"])
    return {"chunks": len(chunks)}


def _prompt(spec: Spec, chunks: list[Row], question: str) -> str:
    """The prompt that the model was tuned on, as any user of it would write it."""
    chat = spec["chat"]
    passages = "".join(f"[{n}] {c['context']}\n{c['text']}\n\n" for n, c in enumerate(chunks, 1))
    return (
        chat["start"]
        + spec["system"]
        + chat["to_user"]
        + passages
        + "Question: "
        + question
        + chat["to_answer"]
    )


def _row(
    started: float,
    first: float | None,
    ended: float,
    text: str,
    prompt: int,
    kept: int,
    tokens: int,
    retrieval_ms: float,
) -> Row:
    first = first or ended
    prefill_s = first - started - retrieval_ms / 1000
    return {
        "first_at": first,
        "retrieval_ms": retrieval_ms,
        "first_token_ms": (first - started) * 1000,
        "total_ms": (ended - started) * 1000,
        "prompt_tokens": prompt,
        "kept_tokens": kept,
        "tokens": tokens,
        "prefill_tokens_per_s": (prompt - kept) / prefill_s if prefill_s > 0 else None,
        "decode_tokens_per_s": (tokens - 1) / (ended - first)
        if tokens > 1 and ended > first
        else None,
        "text": text,
    }


def _peak_rss_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024, 1)


if __name__ == "__main__":
    side, path = sys.argv[1:]
    run: Callable[[Spec], Row] = globals()[side]
    outcome = run(json.loads(Path(path).read_text(encoding="utf-8"))) | {
        "peak_rss_mb": _peak_rss_mb()
    }
    print(json.dumps(outcome), flush=True)
    os._exit(0)  # genai's threads need seconds to end by themselves
