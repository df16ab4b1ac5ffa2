"""One part of benchmarks/qlora.py in a process of its own: `qlora_parts.py PART SPEC.json`. Each
figure is a line "RESULT {json}" as soon as it is known, so that what a later crash or a time limit
cuts off is only what came after."""

from __future__ import annotations

import gc
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import qlora_shapes as shapes
from measuring import peak_rss_mb

Spec = dict[str, Any]


def make(spec: Spec) -> None:
    """The random model, saved once for all parts."""
    import torch

    if spec["device"] == "cuda":
        name, total = (
            torch.cuda.get_device_name(0),
            torch.cuda.get_device_properties(0).total_memory,
        )
        say(gpu=name, gpu_memory_gb=round(total / 2**30, 1), cuda=torch.version.cuda)
    started = time.perf_counter()
    base = Path(spec["folder"]) / "base"
    given = spec["model"]
    made = (
        shapes.copy_base(base, Path(given))
        if given
        else shapes.write_base(base, spec["shape"], spec["device"])
    )
    say(**made, seconds=time.perf_counter() - started)


def matrix(spec: Spec) -> None:
    """One method (qlora or lora): loaded once by the train stage's own function, then every setting
    on the same data from the same adapter. The optimizer is torch's AdamW for both methods, so that
    only the weights' format differs."""
    import torch

    from fieldpack_build.training.adapter import load_model_with_adapter

    device = spec["device"]
    job = shapes.job(
        Path(spec["folder"]),
        device,
        method=spec["method"],
        batch_size=spec["batch"],
        max_tokens=spec["length"],
    )
    started = time.perf_counter()
    model = load_model_with_adapter(job)
    load_seconds, held = time.perf_counter() - started, _held_mb(device)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    first = {name: p.detach().to("cpu", copy=True) for name, p in trained.items()}
    sizes = {name: spec[name] for name in ("batch", "length", "answer")} | {
        "count": spec["warmup"] + spec["steps"]
    }
    data = (
        shapes.text_batches(job.base, Path(spec["data"]), **sizes)
        if spec["data"]
        else shapes.batches(model.config.vocab_size, **sizes)
    )
    model.train()
    settings = ((False, "answer"), (True, "answer"), (False, "full"), (True, "full"))
    for checkpointing, loss in settings[: spec["settings"]]:
        _set_checkpointing(model, checkpointing)
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(first[name])
        setting = {"method": spec["method"], "checkpointing": checkpointing, "loss": loss}
        common = {
            "weights_mb": held,
            "load_seconds": load_seconds,
            "trainable": sum(p.numel() for p in trained.values()),
            "weights_dtype": str(next(p.dtype for p in model.parameters() if not p.requires_grad)),
        }
        try:
            say(**setting, **common, **_train(model, list(trained.values()), data, loss, spec))
        except torch.OutOfMemoryError as error:
            say(**setting, error=f"out of memory: {str(error).splitlines()[0]}")
        for parameter in trained.values():
            parameter.grad = None


def _train(
    model: Any, parameters: list[Any], data: list[Any], loss: str, spec: Spec
) -> dict[str, Any]:
    import torch

    from fieldpack_build.training.loss import answer_loss

    cuda = spec["device"] == "cuda"
    compute: Callable[[Any, Any], Any] = answer_loss if loss == "answer" else full_loss
    optimizer = torch.optim.AdamW(parameters, lr=2e-4)
    _forget_peak(cuda)
    losses = []
    started = 0.0
    for number, batch in enumerate(data):
        if number == spec["warmup"]:
            _wait(cuda)
            started = time.perf_counter()
        batch = {name: tensor.to(spec["device"]) for name, tensor in batch.items()}
        # As the stage's trainer does it: bf16 autocast on a GPU, none on a CPU.
        with torch.autocast("cuda", dtype=torch.bfloat16) if cuda else nullcontext():
            value = compute(model, batch)
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(value.detach())
    _wait(cuda)
    seconds = time.perf_counter() - started
    tokens = spec["steps"] * spec["batch"] * spec["length"]
    return {
        "tokens_per_s": tokens / seconds,
        "step_ms": seconds / spec["steps"] * 1000,
        "first_loss": float(losses[0]),
        "last_loss": float(losses[-1]),
        **_peaks(cuda),
    }


def full_loss(model: Any, batch: Any) -> Any:
    """What one gets by default: the model's own loss, with the logits of every position."""
    mask = batch["attention_mask"]
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    return model(
        input_ids=batch["input_ids"],
        attention_mask=mask,
        position_ids=positions,
        labels=batch["labels"],
    ).loss


def pipeline(spec: Spec) -> None:
    """The train stage as shipped, trainer and optimizer included; rows of bytes, so about as many
    tokens."""
    from fieldpack_build.stages import train

    folder = Path(spec["folder"])
    shapes.write_rows(
        folder / "train.jsonl", rows=spec["rows"], tokens=spec["length"], answer=spec["answer"]
    )
    options = {
        "batch_size": spec["batch"],
        "max_tokens": spec["length"],
        "gradient_checkpointing": True,
    }
    for method in ("qlora", "lora"):
        task = shapes.task(folder, method=method, **options)
        started = time.perf_counter()
        result = train.run(task)
        seconds = time.perf_counter() - started
        say(
            **{"method": method, **options, **result},
            stage_seconds=seconds,
            warnings=task.warnings,
            peak_rss_mb=peak_rss_mb(),
        )
        shutil.rmtree(task.out)
        _forget_peak(spec["device"] == "cuda")


def embed(spec: Spec) -> None:
    """The knowledge stage's GPU engine as shipped, tokenizing included, on a BERT in
    all-MiniLM-L6-v2's shape with random weights: every precision it may choose, against float32.
    Its canaries need an ONNX export and are left out here."""
    from fieldpack.retrieval.embedder import EmbedderSettings
    from fieldpack_build.embedding.cuda_engine import PRECISIONS, CudaEngine, load_model

    cuda = spec["device"] == "cuda"
    source = shapes.write_embedder(Path(spec["folder"]) / "embedder")
    texts = shapes.texts(spec["texts"], tokens=spec["text_tokens"])
    settings = EmbedderSettings(dim=384, max_tokens=512)
    model = load_model(source, spec["device"])
    reference = None
    for precision in reversed(PRECISIONS) if cuda else ("float32",):
        engine = CudaEngine(model, settings, device=spec["device"], precision=precision)
        _forget_peak(cuda)
        engine.embed(texts[: max(1, len(texts) // 8)])
        times = []
        for _ in range(3):
            started = time.perf_counter()
            vectors = engine.embed(texts)
            times.append(time.perf_counter() - started)
        reference = vectors if reference is None else reference
        cosine = float((reference * vectors).sum(axis=1).min())
        say(
            dtype=precision,
            texts=len(texts),
            tokens=spec["text_tokens"],
            texts_per_s=len(texts) / sorted(times)[1],
            least_cosine_to_fp32=cosine,
            **engine.describe(),
            **_peaks(cuda),
        )


def _require_device(device: str) -> None:
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch sees no CUDA GPU here; try --device cpu --shape tiny")


def _set_checkpointing(model: Any, on: bool) -> None:
    if on:  # as the stage does it
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    else:
        model.gradient_checkpointing_disable()


def _wait(cuda: bool) -> None:
    import torch

    if cuda:
        torch.cuda.synchronize()


def _forget_peak(cuda: bool) -> None:
    import torch

    gc.collect()
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text(
            "5", encoding="ascii"
        )  # VmHWM starts again from what is held now


def _peaks(cuda: bool) -> dict[str, Any]:
    import torch

    if not cuda:
        return {"peak_mb": peak_rss_mb(), "peak_is": "process RSS"}
    allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    return {
        "peak_mb": allocated / 2**20,
        "reserved_mb": reserved / 2**20,
        "peak_is": "GPU memory allocated",
    }


def _held_mb(device: str) -> float | None:
    import torch

    return torch.cuda.memory_allocated() / 2**20 if device == "cuda" else None


def say(**figures: Any) -> None:
    print("RESULT " + json.dumps(figures), flush=True)


def results(output: str) -> Iterator[dict[str, Any]]:
    """What `say` said, read by the parent; a line cut off by a time limit is left out."""
    for line in output.splitlines(keepends=True):
        if line.startswith("RESULT ") and line.endswith("\n"):
            yield json.loads(line.removeprefix("RESULT "))


_PARTS: dict[str, Callable[[Spec], None]] = {
    "make": make,
    "matrix": matrix,
    "pipeline": pipeline,
    "embed": embed,
}

if __name__ == "__main__":
    part, path = sys.argv[1:]
    wanted = json.loads(Path(path).read_text(encoding="utf-8"))
    _require_device(wanted["device"])
    _PARTS[part](wanted)
