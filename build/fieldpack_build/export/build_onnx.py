"""Builds one candidate with onnxruntime-genai's model builder, and sets right what the builder
leaves wide: the context for which memory is reserved, and input embeddings in float32 beside
quantized matrices."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from fieldpack.child import last_line, python, safe_environment
from fieldpack.generation.generator import CONFIG
from fieldpack.prompt import ChatFormat

from ..errors import StageError
from ..models.chat_template import encode
from ..models.precision import Candidate, unfit
from ..uncaught import disk_is_full, has_room, no_space
from .builder_source import builder_source
from .corrections import correct_graph
from .longrope import cut_tables, take_choice_as_input
from .prune_lm_head import prune_lm_head
from .quantize_embeddings import are_tied, quantize_embeddings


def build_onnx(source: Path, folder: Path, candidate: Candidate, work: Path) -> None:
    """Export the model in `source` (as transformers writes it) to `folder`; `work` is scratch and
    gone afterwards. What the builder prints goes to stderr, the stage's log. Raises StageError;
    that the builder ends well does not say that the file opens."""
    if reason := unfit(candidate, json.loads((source / "config.json").read_text(encoding="utf-8"))):
        raise StageError(reason)
    work.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        prepared = builder_source(source, work)
        _run_builder(prepared, folder, candidate, work / "cache")
        correct_graph(folder, source)
        if candidate.quantized:
            quantize_embeddings(folder, tied=are_tied(prepared))
        prune_lm_head(folder)
        config = json.loads((prepared / "config.json").read_text(encoding="utf-8"))
        take_choice_as_input(folder, config)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run_builder(source: Path, folder: Path, candidate: Candidate, cache: Path) -> None:
    """Run genai's builder as a child. Raises StageError with its last words."""
    # Without hf_token=false the builder asks for a login. Its windowed KV caches hold the last
    # tokens alone: what was read cannot be gone back to ("Cannot rewind to 16: the sliding-window
    # KV cache holds only the last ...", genai 0.18), and a model is wanted that reads on from an
    # earlier question. The layers' windows stay, their caches keep all.
    options = {"hf_token": "false", "windowed_kv_cache": "false", **candidate.options}
    command = python("-m", "onnxruntime_genai.models.builder", "-i", source, "-o", folder)
    command += ["-p", candidate.precision, "-e", "cpu", "-c", str(cache), "--extra_options"]
    command += [f"{key}={value}" for key, value in options.items()]
    environment = safe_environment({"HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"})
    done = subprocess.run(
        command, env=environment, stdout=2, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    sys.stderr.write(done.stderr)
    if done.returncode:
        if disk_is_full(done.stderr) or not has_room(source.parent):
            raise no_space(folder)
        raise StageError(
            f"onnxruntime-genai's builder ended with {done.returncode}; its words are in the "
            f"stage's log.txt, the last: {last_line(done.stderr)}"
        )


def adjust_config(folder: Path, tokenizer: Any, chat: ChatFormat, max_context: int) -> None:
    """Write the recipe's context instead of the model's whole one (genai reserves memory for it),
    and the chat template's closing token among those that end an answer."""
    path = folder / CONFIG
    config = json.loads(path.read_text(encoding="utf-8"))
    context = min(max_context, int(config["model"]["context_length"]))
    config["search"]["max_length"] = context
    ends = config["model"]["eos_token_id"]
    ends = ends if isinstance(ends, list) else [ends]
    closing = encode(tokenizer, chat.end.strip())
    if len(closing) == 1 and closing[0] not in ends:
        ends = [*ends, closing[0]]
    config["model"]["eos_token_id"] = ends if len(ends) > 1 else ends[0]
    if cut_tables(folder, context):
        # Of a "phi3" genai's search reads all of a text again, in one piece and without its
        # guidance, where that has 4,097 tokens, whatever the model's original length (0.18); the
        # runtime knows when, and no other meaning hangs on the word.
        config["model"]["type"] = "phi"
    path.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def folder_mb(folder: Path) -> float:
    """Return the size of a folder's files, in MB of 10^6 bytes."""
    return round(sum(path.stat().st_size for path in folder.iterdir()) / 1e6, 1)
