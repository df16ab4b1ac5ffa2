"""The folder that genai's model builder is given: the model's own, or links to its files beside a
config.json in the words that the builder understands. It reads some configurations otherwise than
transformers does, without saying so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..models import causal_lm
from .corrections import builder_changes
from .quantize_embeddings import tied_copy

_CONFIG = "config.json"


def builder_source(source: Path, work: Path) -> Path:
    """Return `source`, a model as transformers writes it; or, where the builder would misread it, a
    folder below `work`."""
    source = tied_copy(source, work / "tied")
    raw = json.loads((source / _CONFIG).read_text(encoding="utf-8"))
    config = causal_lm.load_config(source)
    changes = {**_windows(config), **_rope(config), **builder_changes(config)}
    if not changes:
        return source
    folder = work / "source"
    folder.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.name != _CONFIG:
            (folder / path.name).symlink_to(path.resolve())
    if "rope_parameters" in changes:
        raw = {
            key: value for key, value in raw.items() if key not in ("rope_scaling", "rope_theta")
        }
    (folder / _CONFIG).write_text(json.dumps(raw | changes, indent=1), encoding="utf-8")
    return folder


def _windows(config: Any) -> dict[str, object]:
    """Say of each layer that it has the window, where the architecture gives all of them one
    without a list.

    Mistral and Phi-3: the builder looks at `layer_types` alone and would export full attention. A
    `sliding_window` that the architecture's configuration does not declare (a Llama's) has no
    meaning in transformers either."""
    window = getattr(config, "sliding_window", None)
    declared = hasattr(type(config), "sliding_window")
    if (
        not window
        or not declared
        or getattr(config, "layer_types", None)
        or window >= config.max_position_embeddings
    ):
        return {}
    return {"layer_types": ["sliding_attention"] * int(config.num_hidden_layers)}


def _rope(config: Any) -> dict[str, object]:
    """Give long and short factors one form for all that transformers reads (`rope_scaling`,
    transformers 4; `rope_parameters` without `type`, transformers 5), with transformers' own scale
    of the attention.

    The builder takes a Phi-3 whose two lengths differ for one with two sets of factors: not so
    where it has none."""
    rope = getattr(config, "rope_parameters", None)
    rope = rope if isinstance(rope, Mapping) else {}
    original = getattr(config, "original_max_position_embeddings", None)
    if rope.get("rope_type") != "longrope":
        longest = config.max_position_embeddings if config.model_type == "phi3" else original
        return {"original_max_position_embeddings": longest} if original != longest else {}
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    _, scale = ROPE_INIT_FUNCTIONS["longrope"](config)
    scaled = {"type": "longrope", "short_mscale": float(scale), "long_mscale": float(scale)}
    return {
        "rope_parameters": {**rope, **scaled},
        "original_max_position_embeddings": int(rope["original_max_position_embeddings"]),
    }
