"""Fieldpack's runtime against bare onnxruntime-genai: same model, same prompt, same search options
and threads.

Rounds alternate, each side in a fresh process each time. A process gives one cold first token, then
one whole generation warm; "cold" is the process: the files lie in the page cache. Each reads a
prompt (asks a question) that nothing was read of before; the same prompt once more, which our KV
cache holds and bare genai reads again, is a line of its own. Both sides turn text into tokens and
tokens into text. Prefill tokens/s is prompt tokens over time to first token. The prompts are
numbered lists, which a model goes on with, so that neither side stops early; where it stops all the
same, the bare side is given min_length and ours is not, and only tokens/s compare: the table says
so.

    python benchmarks/runtime.py dist/finance-1.0.0 --json runtime.json
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from measuring import machine, machine_line, median, table, write_json

_SIDES = Path(__file__).with_name("runtime_sides.py")
_PACKAGES = ("onnxruntime", "onnxruntime-genai", "numpy", "usearch", "tokenizers")
# name in the table -> (function of runtime_sides.py, what it changes in the spec)
_RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "bare": ("bare", {}),
    "ours": ("ours", {"verify": True}),
    "ours, unverified": ("ours_cold", {"verify": False}),
    "ask": ("ask", {"verify": True}),
    "ask, unverified": ("ask", {"verify": False, "first_only": True}),
}
_COMPARED = {
    "time to first token, ms": "first_token_ms",
    "prefill, tokens/s": "prefill_tokens_per_s",
    "decode, tokens/s": "decode_tokens_per_s",
    "peak RSS, MB": "peak_rss_mb",
    "cold start to first token, s": "cold_s",
}
_KEPT = {"time to first token of a prompt that the KV cache holds, ms": "kept_first_token_ms"}
_ASKED = {
    "retrieval, ms": "retrieval_ms",
    "first token, ms (with retrieval)": "first_token_ms",
    "whole answer, ms": "total_ms",
    "prompt tokens": "prompt_tokens",
    "answer tokens": "tokens",
    "decode, tokens/s": "tokens_per_s",
    "first token of the same question again, ms": "kept_first_token_ms",
    "peak RSS, MB": "peak_rss_mb",
    "cold start to first word, s": "cold_s",
}


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--prompt-tokens",
    default=1000,
    show_default=True,
    help="Fewer where the model's context is too short.",
)
@click.option("--new-tokens", default=128, show_default=True)
@click.option("--rounds", default=5, show_default=True, help="Medians are over these.")
@click.option(
    "--threads", type=int, help="For both sides [default: the cores this process may use]."
)
@click.option(
    "--question",
    default="",
    help="For the whole answer [default: one made from the library's longest chunk].",
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(
    bundle: Path,
    prompt_tokens: int,
    new_tokens: int,
    rounds: int,
    threads: int | None,
    question: str,
    json_path: Path | None,
) -> None:
    """Time to first token, prefill, decode, memory and cold start of BUNDLE, beside genai alone."""
    facts = machine(_PACKAGES)
    wanted = {
        "bundle": str(bundle.resolve()),
        "prompt_tokens": prompt_tokens,
        "new_tokens": new_tokens,
        "threads": threads or facts["cores"],
        "question": question,
    }
    with tempfile.TemporaryDirectory(prefix="fieldpack-runtime-") as name:
        folder = Path(name)
        spec = _run("prepare", wanted, folder)
        runs = _alternate(spec, rounds, folder)
    data = {
        "benchmark": "runtime",
        "machine": facts,
        "rounds": rounds,
        "spec": spec,
        **_summarise(runs),
        "runs": runs,
        "notes": _notes(spec, prompt_tokens, runs),
    }
    _show(data)
    write_json(json_path, data)


def _alternate(spec: dict[str, Any], rounds: int, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Every side once a round; the order turns round each time, so that no side is always the one
    after the other."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in _RUNS}
    for number in range(rounds):
        for name in list(_RUNS)[:: -1 if number % 2 else 1]:
            side, changes = _RUNS[name]
            runs[name].append(_run(side, {**spec, **changes}, folder))
    return runs


def _run(side: str, spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    path = folder / "spec.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(_SIDES), side, str(path)], capture_output=True, text=True
    )
    if done.returncode:
        raise click.ClickException(
            f"{side}: exit {done.returncode}: {' | '.join(done.stderr.splitlines()[-3:])}"
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if found.get("first_at") is not None:
        found["cold_s"] = found.pop("first_at") - started
    return found


def _summarise(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    middle = {
        name: {key: median(run.get(key) for run in of_name) for key in _keys(name)}
        for name, of_name in runs.items()
    }
    bare, ours = middle["bare"], middle["ours"]
    ratio = {key: _ratio(ours[key], bare[key]) for key in _COMPARED.values()}
    middle["ratio"] = {
        **ratio,
        "cold_s_unverified": _ratio(middle["ours, unverified"]["cold_s"], bare["cold_s"]),
    }
    return {"medians": middle}


def _ratio(ours: float | None, bare: float | None) -> float | None:
    return ours / bare if ours is not None and bare else None


def _keys(name: str) -> list[str]:
    if name.endswith("unverified"):
        return ["cold_s"]
    if name == "ask":
        return list(_ASKED.values())
    return [*_COMPARED.values(), *(_KEPT.values() if name == "ours" else [])]


def _notes(spec: dict[str, Any], wanted: int, runs: dict[str, list[dict[str, Any]]]) -> list[str]:
    notes = []
    bare, ours, asked = runs["bare"][0], runs["ours"][0], runs["ask"][0]
    if spec["prompt_tokens"] < wanted:
        notes.append(
            f"prompt of {spec['prompt_tokens']} tokens, not {wanted}: the model's context is "
            f"{spec['context']}"
        )
    if bare["prompt_tokens"] != ours["prompt_tokens"]:
        notes.append(
            f"the sides read different prompts: {bare['prompt_tokens']} and "
            f"{ours['prompt_tokens']} tokens"
        )
    if spec["min_length"]:
        notes.append(
            f"ours stopped after {ours['tokens']} tokens; bare was held to {bare['tokens']} by "
            "min_length"
        )
    else:
        notes.append(
            "texts of the two sides: "
            + ("identical" if bare["text"] == ours["text"] else "different")
        )
    # A few tokens are what two prompts have in common at their beginning.
    if most := max(run["cached_tokens"] for run in runs["ours"]):
        notes.append(f"up to {most} tokens of the fresh prompt lay in the KV cache")
    if asked["refused"]:
        notes.append(
            "the answer to the question was a refusal; a threshold's refusal runs no model (0 "
            "tokens)"
        )
    return notes


def _show(data: dict[str, Any]) -> None:
    spec, middle = data["spec"], data["medians"]
    bare, ours, asked, ratio = middle["bare"], middle["ours"], middle["ask"], middle["ratio"]
    print(machine_line(data["machine"]))
    print(
        f"{spec['name']} ({spec['bundle_mb']:.1f} MB), {spec['prompt_tokens']} prompt tokens, "
        f"{spec['new_tokens']} new, "
        f"{spec['threads']} threads, medians of {data['rounds']} alternating rounds\n"
    )
    rows = [[label, bare[key], ours[key], ratio.get(key)] for label, key in _COMPARED.items()]
    cold = middle["ours, unverified"]["cold_s"]
    rows.append(
        ["  the same, hashes not verified", bare["cold_s"], cold, ratio.get("cold_s_unverified")]
    )
    rows += [[label, None, ours[key], None] for label, key in _KEPT.items()]
    print(table(["TextGenerator.stream alone", "bare genai", "ours", "ours/bare"], rows), "\n")
    rows = [[label, asked[key]] for label, key in _ASKED.items()]
    rows.append(["  the same, hashes not verified", middle["ask, unverified"]["cold_s"]])
    print(table(["fieldpack.open().ask(question)", "ours"], rows), "\n")
    for note in data["notes"]:
        print(f"note: {note}")


if __name__ == "__main__":
    main()
