"""QLoRA (NF4) against LoRA (bfloat16; float32 where the CPU has none) on a model of your own, or on random weights at the
size of Phi-3-mini: memory, speed, loss.

Every setting trains the same adapter (rank 16, all linear layers) on the same seeded tokens: with and without gradient
checkpointing, with our loss (logits for the answers only) and with the model's own (logits of every position). Losses on
random tokens say only that two settings compute the same thing: --model and --data train on text. Needs no network, no
onnxruntime-genai and no installed fieldpack: PYTHONPATH is enough.

Each part runs in a process of its own; one that fails or is cut off leaves the figures of the others.

    PYTHONPATH=build:runtime python benchmarks/qlora.py --pipeline --embed --json qlora.json
    PYTHONPATH=build:runtime python benchmarks/qlora.py --device cpu --model SmolLM2-135M-Instruct.Q4_1.gguf \
        --data recipes/finance/train.jsonl --batch 2 --length 256 --steps 6 --warmup 1
    PYTHONPATH=build:runtime python benchmarks/qlora.py --device cpu --shape tiny --batch 2 --length 128 --steps 3 --warmup 1
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import machine, machine_line, table, write_json
from qlora_parts import results
from qlora_shapes import SHAPES

_PARTS = Path(__file__).with_name("qlora_parts.py")
_PACKAGES = (
    "torch",
    "transformers",
    "sentence-transformers",
    "peft",
    "bitsandbytes",
    "accelerate",
    "tokenizers",
)
_LEAST_SECONDS = 15  # under it a part would only be cut off


def main() -> None:
    options = _options()
    facts = machine(_PACKAGES)
    deadline = time.monotonic() + options.budget
    with tempfile.TemporaryDirectory(prefix="fieldpack-qlora-", dir=options.work) as folder:
        given = {name: path for name in ("model", "data") if (path := vars(options)[name])}
        paths = {name: str(path.resolve()) for name, path in given.items()}
        names = {name: path.name for name, path in given.items()}
        spec = {**vars(options), **paths, "folder": folder, "work": None, "json": None}
        parts = {
            name: _run(part, {**spec, **changes}, deadline)
            for name, part, changes in _wanted(options)
        }
    for found in parts.get("make", {}).get("results", []):
        facts |= {key: value for key, value in found.items() if key.startswith(("gpu", "cuda"))}
    data = {
        "benchmark": "qlora",
        "machine": facts,
        "options": {**spec, "folder": None, **names},
        "parts": parts,
    }
    _show(data)
    write_json(options.json, data)
    sys.exit(1 if any(part["error"] for part in parts.values()) else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="Exit code 1 when a part failed; the others' figures are there.",
    )
    add = parser.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda")
    add("--shape", choices=tuple(SHAPES), default="phi-3-mini", help="default: %(default)s")
    add("--model", type=Path, help="a GGUF or a folder, instead of random weights of --shape")
    add(
        "--data",
        type=Path,
        help="rows of question and answer to train on, instead of random tokens; wants --model",
    )
    add("--batch", type=int, default=4, help="rows a step (default: %(default)s)")
    add("--length", type=int, default=1024, help="tokens a row (default: %(default)s)")
    add(
        "--answer",
        type=int,
        default=64,
        help="supervised tokens at the end of a row (default: %(default)s)",
    )
    add("--steps", type=int, default=20, help="timed steps (default: %(default)s)")
    add("--warmup", type=int, default=3, help="steps before them (default: %(default)s)")
    add("--pipeline", action="store_true", help="also run the train stage as shipped")
    add("--rows", type=int, default=64, help="its training rows (default: %(default)s)")
    add(
        "--embed",
        action="store_true",
        help="also measure the engine that embeds a library, in every precision",
    )
    add("--texts", type=int, default=4096, help="its texts (default: %(default)s)")
    add("--text-tokens", type=int, default=128, help="tokens a text (default: %(default)s)")
    add(
        "--settings",
        type=int,
        default=4,
        choices=range(1, 5),
        help="of the four, the first so many (default: %(default)s)",
    )
    add("--no-matrix", action="store_true", help="leave QLoRA against LoRA out")
    add(
        "--budget",
        type=int,
        default=450,
        help="seconds for everything; what is cut off is named (default: %(default)s)",
    )
    add(
        "--work",
        type=Path,
        help="where the model is written, 8 GB for phi-3-mini (default: the temporary folder)",
    )
    add("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def _wanted(options: argparse.Namespace) -> list[tuple[str, str, dict[str, Any]]]:
    """(name, part, changes to the spec); what is quick and what the headline needs comes first."""
    wanted: list[tuple[str, str, dict[str, Any]]] = []
    if options.embed:
        wanted.append(("embed", "embed", {}))
    if options.pipeline or not options.no_matrix:
        wanted.append(("make", "make", {}))
    if not options.no_matrix:
        wanted += [(method, "matrix", {"method": method}) for method in ("qlora", "lora")]
    if options.pipeline:
        wanted.append(("pipeline", "pipeline", {}))
    return wanted


def _run(part: str, spec: dict[str, Any], deadline: float) -> dict[str, Any]:
    """{"results", "error", "seconds"}: what the part said before it ended, and why it ended early
    if it did."""
    left = deadline - time.monotonic()
    if left < _LEAST_SECONDS:
        return {"results": [], "error": "not run: the time budget is spent", "seconds": 0.0}
    path = Path(spec["folder"]) / "spec.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TQDM_DISABLE": "1",
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
    }
    log = Path(spec["folder"]) / f"{part}.out"
    started = time.monotonic()
    with log.open("wb") as output, log.with_suffix(".err").open("wb") as errors:
        command = [sys.executable, str(_PARTS), part, str(path)]
        try:
            code = subprocess.run(
                command, stdout=output, stderr=errors, env=environment, timeout=left
            ).returncode
            error = f"exit {code}: " + _last_lines(log.with_suffix(".err")) if code else None
        except subprocess.TimeoutExpired:
            error = f"cut off after {left:.0f} s"
    found = list(results(log.read_text(encoding="utf-8", errors="replace")))
    print(
        f"{part} {spec.get('method', '')}".strip()
        + f": {time.monotonic() - started:.1f} s{', ' + error if error else ''}"
    )
    return {"results": found, "error": error, "seconds": round(time.monotonic() - started, 1)}


def _last_lines(path: Path) -> str:
    lines = [
        line.strip()
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    return " | ".join(lines[-6:])[-1500:]


def _show(data: dict[str, Any]) -> None:
    facts, options, parts = data["machine"], data["options"], data["parts"]
    print("\n" + machine_line(facts))
    if "gpu" in facts:
        print(f"{facts['gpu']}, {facts['gpu_memory_gb']} GB, CUDA {facts['cuda']}")
    found = [
        result for name in ("qlora", "lora") for result in parts.get(name, {}).get("results", [])
    ]
    if found:
        print(
            f"\n{options['model'] or options['shape']}, {options['batch']} x {options['length']} "
            "tokens, "
            f"{options['answer']} supervised a row, "
            f"{options['steps']} steps after {options['warmup']}; peak: "
            f"{found[0].get('peak_is', '?')}\n"
        )
        rows = [
            [
                r["method"],
                "yes" if r["checkpointing"] else "no",
                r["loss"],
                *map(r.get, ("weights_mb", "peak_mb", "reserved_mb", "tokens_per_s", "step_ms")),
                _loss(r, "first_loss"),
                r.get("error") or _loss(r, "last_loss"),
            ]
            for r in found
        ]
        print(
            table(
                [
                    "method",
                    "checkpointing",
                    "loss on",
                    "weights MB",
                    "peak MB",
                    "reserved MB",
                    "tokens/s",
                    "step ms",
                    "first loss",
                    "last loss",
                ],
                rows,
            )
        )
    if shipped := parts.get("pipeline", {}).get("results"):
        print("\nthe train stage as shipped:")
        for result in shipped:
            print(json.dumps(result))
    if embedded := parts.get("embed", {}).get("results"):
        keys = ("texts_per_s", "peak_mb", "least_cosine_to_fp32")
        print(
            f"\nMiniLM shape, {options['texts']} texts of {options['text_tokens']} tokens, the "
            "knowledge stage's engine"
        )
        print(
            table(
                ["dtype", "texts/s", "peak MB", "least cosine"],
                [[r["dtype"], *map(r.get, keys)] for r in embedded],
            )
        )
    for name, part in parts.items():
        if part["error"]:
            print(f"\n{name} FAILED: {part['error']}")


def _loss(result: dict[str, Any], key: str) -> str | None:
    return f"{result[key]:.4f}" if key in result else None


if __name__ == "__main__":
    main()
