"""The base with a low-rank adapter on it: LoRA (Hu et al. 2021), its 4-bit form QLoRA (Dettmers et
al. 2023: NF4, double quantisation), rsLoRA (Kalajdzievski 2023) and DoRA (Liu et al. 2024), as peft
makes them."""

from __future__ import annotations

import os
from typing import Any

from ..errors import MachineError, RecipeError
from ..models import causal_lm
from .job import Job


def compute_dtype(job: Job) -> Any:
    """Return the dtype that the base computes in: what `train.dtype` says, under auto bfloat16
    where the device multiplies it in hardware. A CPU with AVX512-BF16 trains 480 tokens/s in
    bfloat16 against 250 in float32 (SmolLM2-135M, 2 cores); with AVX2 alone one bfloat16 product
    takes 1,120 ms against 26."""
    import torch

    if job.train.dtype != "auto":
        return getattr(torch, job.train.dtype)
    if job.device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def load_model_with_adapter(job: Job) -> Any:
    """Load the model to train: the base frozen, the adapter in float32.

    Raises RecipeError for `train.targets` that the model does not have."""
    import torch
    from peft import LoraConfig, get_peft_model

    train = job.train
    torch.manual_seed(train.seed)
    model = _load_base(job)
    # Not peft's prepare_model_for_kbit_training: it casts embeddings and norms to float32, which
    # costs half as much memory again (6.7 against 4.4 GB here, 2.4 GB for Phi-4-mini's embeddings
    # alone) and gains nothing: loss 0.550 against 0.554 after six steps. The adapter itself is
    # float32.
    model.config.use_cache = False
    adapter = LoraConfig(
        r=train.rank,
        lora_alpha=train.alpha,
        lora_dropout=train.dropout,
        target_modules=train.targets,
        use_rslora=train.rslora,
        use_dora=train.dora,
        task_type="CAUSAL_LM",
    )
    try:
        model = get_peft_model(model, adapter)
    except ValueError as error:
        if "not found" not in str(error):
            raise
        linear = {
            name.rsplit(".", 1)[-1]
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear)
        }
        raise RecipeError(
            f"train.targets: {str(error).splitlines()[0]}; its linear layers are "
            f"{', '.join(sorted(linear))}"
        ) from None
    if job.sharded:  # shards are gathered a layer at a time, in one dtype
        if train.method == "lora":
            return model.to(compute_dtype(job))
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(compute_dtype(job))
    return model


def _load_base(job: Job) -> Any:
    """Load the base in the dtype and quantization that the recipe names."""
    from transformers import BitsAndBytesConfig

    dtype = compute_dtype(job)
    options: dict[str, object] = {"dtype": dtype}
    if job.device == "cuda" and not job.sharded:
        options["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}
    if job.train.packing or job.train.questions_per_prompt > 1:
        # flash attention's kernels keep rows apart in batches of one only
        options["attn_implementation"] = "sdpa"
    if job.train.method == "qlora":
        # Under FSDP the packed weights are sharded like others, which they can be in a floating
        # point's clothes only.
        storage = {"bnb_4bit_quant_storage": dtype} if job.sharded else {}
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            **storage,
        )
    model = causal_lm.load_model(job.base, **options)
    # On a CPU with AVX512-BF16 bitsandbytes' Linear4bit repacks 4-bit weights for an inference
    # kernel at the first forward pass without gradients (0.50; a held-out evaluation, or the proof
    # that rows are isolated), keeps them so, and that kernel has no backward: from then on no
    # gradient passes through any frozen layer, and a training goes on without a word, learning next
    # to nothing.
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def checkpoint_activations(model: Any) -> None:
    """Keep a layer's input only and compute the layer again for its gradient: a third slower, a
    tenth of the memory."""
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()


def optimizer_name(job: Job) -> str:
    """Return transformers' name of the recipe's optimizer.

    Under auto on CUDA that is the 8-bit AdamW whose state is paged out when memory is short
    (QLoRA's own); on a CPU it is torch's. Raises MachineError on a CPU for bitsandbytes' 8-bit
    ones, which want a GPU."""
    name = job.train.optimizer
    if name == "auto":
        paged = job.device == "cuda" and job.train.method == "qlora"
        return "paged_adamw_8bit" if paged else "adamw_torch"
    if name != "adamw" and job.device == "cpu":
        raise MachineError(
            f"train.optimizer: {name} wants a CUDA GPU, and training is on the CPU; write auto "
            "or adamw"
        )
    return "adamw_torch" if name == "adamw" else name
