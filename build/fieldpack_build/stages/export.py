"""Export to quantized ONNX with onnxruntime-genai's builder, then open the result and compare it with torch: the
builder exits 0 on files that do not load.

model/         the genai folder as shipped
export.json    perplexities, and how the device's tokenizer differs from the model's
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fieldpack.generator import CONFIG, TextGenerator
from fieldpack.prompt import ChatFormat

from .. import models
from ..data import read_examples, read_questions
from ..errors import CheckFailed, StageError
from ..recipe import Export, Recipe
from ..shipped import prompt_settings
from ..task import Task
from .base import MODEL, read_chat
from .train import encode

FACTS = "export.json"
_COMPARED, _COMPARED_TOKENS = 12, 384
_ALGORITHMS = {
    "rtn": {},
    "k_quant": {"algo_config": "k_quant"},
    "k_quant_last": {"algo_config": "k_quant", "matmul_mixed_precision": "last_matmul:int8"},
    "k_quant_mixed": {"algo_config": "k_quant", "matmul_mixed_precision": "last_matmul:int8,mixed_layers:int8"},
}


def run(task: Task) -> dict[str, Any]:
    """The tuned model, or the base where nothing is tuned."""
    source = task.inputs["merge" if "merge" in task.inputs else "base"] / MODEL
    return export_model(task, source)


def export_model(task: Task, source: Path) -> dict[str, Any]:
    models.quiet()
    chat = read_chat(task.inputs["base"])
    folder = task.out / MODEL
    task.note("building the ONNX model")
    _build(source, folder, task.recipe.export, task.out / "builder")
    tokenizer = models.load_tokenizer(source)
    _adjust_config(folder / CONFIG, tokenizer, chat, task.recipe.export)
    task.note("opening it and comparing tokens")
    generator = TextGenerator.open(folder)
    texts = domain_texts(task.recipe)
    frame = _sample(chat, task.recipe, "?", task.recipe.answer.refusal.strip())
    skip = compare_tokens(generator, tokenizer, [*(text for pair in texts for text in pair if text), frame])
    task.note("comparing perplexity with torch")
    facts = _compare(folder, source, tokenizer, [_sample(chat, task.recipe, *pair) for pair in _spread(texts)])
    limit = task.recipe.export.max_perplexity_ratio
    if not facts["perplexity_ratio"] <= limit:
        raise CheckFailed(
            f"the exported model's perplexity is {facts['perplexity_ratio']:.2f} times torch's, "
            f"export.max_perplexity_ratio is {limit}; try export.algorithm k_quant_mixed or precision int8"
        )
    size = sum(p.stat().st_size for p in folder.iterdir())
    facts |= {"skip_tokens": skip, "texts_compared": len(texts), "size_mb": round(size / 1e6, 1)}
    (task.out / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return facts


def read_facts(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    return facts


def _build(source: Path, folder: Path, export: Export, work: Path) -> None:
    """genai's model builder as its own process; what it prints goes to the stage's log."""
    options = {"hf_token": "false"}  # without it the builder asks for a login
    if export.precision in ("int4", "int8"):
        options |= {"block_size": str(export.block_size)}
    if export.precision == "int4":
        options |= _ALGORITHMS[export.algorithm]
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(source), "-o", str(folder)]
    command += ["-p", export.precision, "-e", "cpu", "-c", str(work), "--extra_options"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [*command, *(f"{key}={value}" for key, value in options.items())], env=environment, stdout=2, stderr=2
    )
    if done.returncode:
        raise StageError(f"onnxruntime-genai's builder ended with {done.returncode}; its words are in the stage's log.txt")
    shutil.rmtree(work, ignore_errors=True)


def _adjust_config(path: Path, tokenizer: Any, chat: ChatFormat, export: Export) -> None:
    """The recipe's context instead of the model's whole one (genai reserves memory for it), and the chat template's
    closing token among those that end an answer."""
    config = json.loads(path.read_text(encoding="utf-8"))
    limit = min(export.max_context, int(config["model"]["context_length"]))
    config["search"]["max_length"] = limit
    ends = config["model"]["eos_token_id"]
    ends = ends if isinstance(ends, list) else [ends]
    closing = encode(tokenizer, chat.end.strip())
    if len(closing) == 1 and closing[0] not in ends:
        ends = [*ends, closing[0]]
    config["model"]["eos_token_id"] = ends if len(ends) > 1 else ends[0]
    path.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def domain_texts(recipe: Recipe) -> list[tuple[str, str]]:
    """Every training and test text: (question, answer or "")."""
    found: list[tuple[str, str]] = []
    if recipe.train.data:
        found += [(e.question, e.answer or "") for e in read_examples(recipe.path(recipe.train.data))]
    if recipe.evaluate:
        found += [(q.question, q.answer or "") for q in read_questions(recipe.path(recipe.evaluate.questions))]
    return found or [(recipe.answer.system, recipe.answer.refusal)]


def compare_tokens(generator: TextGenerator, tokenizer: Any, texts: Sequence[str]) -> int:
    """Tokens the device's tokenizer adds in front of every text (0 or 1); CheckFailed if it differs otherwise."""
    added: int | None = None
    for text in texts:
        device, model = generator.encode(text), encode(tokenizer, text)
        skip = len(device) - len(model)
        if added is None:
            added = skip
        if skip not in (0, 1) or skip != added or device[skip:] != model:
            raise CheckFailed(f"the device's tokenizer differs from the model's on {text[:80]!r}")
    return added or 0


def _sample(chat: ChatFormat, recipe: Recipe, question: str, answer: str) -> str:
    system = prompt_settings(recipe).system
    return chat.start + system + chat.to_user + question + chat.to_answer + answer + (chat.end if answer else "")


def _spread(texts: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    return texts[:: max(1, len(texts) // _COMPARED)][:_COMPARED]


def _compare(folder: Path, source: Path, tokenizer: Any, samples: Sequence[str]) -> dict[str, Any]:
    """Perplexity of both models on the same tokens of the domain, and how often their best next token is the same.

    Not logits: at genai's accuracy level 4 a weight's change of 1e-6 moves them by 1.2."""
    import numpy as np

    rows = [encode(tokenizer, sample)[:_COMPARED_TOKENS] for sample in samples]
    theirs = _onnx_logits(folder, rows)
    ours = _torch_logits(source, rows)
    losses: dict[str, list[float]] = {"torch": [], "onnx": []}
    same = total = 0
    for ids, torch_logits, onnx_logits in zip(rows, ours, theirs, strict=True):
        targets = np.array(ids[1:])
        losses["torch"] += _losses(torch_logits[:-1], targets)
        losses["onnx"] += _losses(onnx_logits[:-1], targets)
        same += int((torch_logits.argmax(-1) == onnx_logits.argmax(-1)).sum())
        total += len(ids)
    perplexity = {name: float(np.exp(np.mean(values))) for name, values in losses.items()}
    return {
        "perplexity_torch": round(perplexity["torch"], 3), "perplexity_onnx": round(perplexity["onnx"], 3),
        "perplexity_ratio": round(perplexity["onnx"] / perplexity["torch"], 4), "same_next_token": round(same / total, 4),
    }  # fmt: skip


def _losses(logits: Any, targets: Any) -> list[float]:
    import numpy as np

    top = logits.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(axis=-1)) + top[:, 0]
    losses: list[float] = (log_sum - logits[np.arange(len(targets)), targets]).tolist()
    return losses


def _onnx_logits(folder: Path, rows: Sequence[Sequence[int]]) -> list[Any]:
    import numpy as np
    import onnxruntime_genai as og

    model = og.Model(str(folder))
    found = []
    for ids in rows:
        params = og.GeneratorParams(model)
        params.set_search_options(max_length=len(ids) + 1, do_sample=False)
        generator = og.Generator(model, params)
        generator.append_tokens(list(ids))
        found.append(np.array(generator.get_output("logits"), dtype=np.float32).reshape(len(ids), -1))
    return found


def _torch_logits(source: Path, rows: Sequence[Sequence[int]]) -> list[Any]:
    import torch

    model = models.load_model(source).eval()
    with torch.no_grad():
        return [model(torch.tensor([list(ids)])).logits[0].float().numpy() for ids in rows]
