"""Writes a copy of a model whose weights are rounded to int4 on calibration texts, for the builder to
export as any other. Knows nothing of where the texts come from."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import StageError
from ..models import causal_lm
from ..models.precision import Candidate
from .gptq import round_to_int4

_WEIGHTS = (".safetensors", ".bin", ".index.json")


def write_rounded(
    source: Path,
    folder: Path,
    candidate: Candidate,
    texts: Sequence[Sequence[int]],
    *,
    half_scales: bool = False,
    on_progress: Callable[[int, int, str], None],
) -> None:
    """Write the model in `source`, in float32 and rounded as `candidate` is, to `folder`. `texts`:
    prompts with their answers, as tokens. `half_scales`: as `round_to_int4` has it. Raises
    StageError where the model cannot be rounded."""
    import torch

    assert candidate.block_size
    model = causal_lm.load_model(source, dtype=torch.float32).eval()
    layers = int(model.config.get_text_config().num_hidden_layers)

    def keep(layer: int, name: str) -> bool:
        return candidate.mixed and stays_int8(layer, name, layers=layers)

    try:
        round_to_int4(
            model,
            texts,
            block_size=candidate.block_size,
            half_scales=half_scales,
            keep=keep,
            on_progress=lambda done, total: on_progress(done, total, "layers calibrated"),
        )
    except ValueError as error:
        raise StageError(f"{error}; take another export.algorithm") from None
    shutil.copytree(
        source, folder, ignore=lambda _, names: {n for n in names if n.endswith(_WEIGHTS)}
    )
    model.save_pretrained(folder)


def stays_int8(layer: int, name: str, *, layers: int) -> bool:
    """Whether genai's builder stores a linear layer in int8 under `mixed_layers:int8`: query, key
    and value and the MLP's last matrix in the first and last eighth of the decoder layers and in
    every third between (its `make_matmul_mixed_precision`, after llama.cpp). Where the builder
    decides otherwise nothing breaks: a matrix has been rounded to int4 for nothing, or is rounded
    to the nearest."""
    eighth = layers / 8
    chosen = layer < eighth or layer >= 7 * eighth or (layer - round(eighth)) % 3 == 2
    kinds = ("q_proj", "k_proj", "v_proj", "qkv_proj", "down_proj")
    return chosen and name.rpartition(".")[2] in kinds
