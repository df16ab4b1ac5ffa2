"""What a model's config.json says of its lengths: rope, original context, sliding window. Takes the
form that transformers 4 writes (`rope_scaling`, `type`) and that of transformers 5
(`rope_parameters`, `rope_type`, also by kind of layer). Plain dictionaries in, plain values out;
what config.json leaves away is the default of transformers' class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .libraries import default_of

Config = Mapping[str, Any]


def text_settings(config: Config) -> Config:
    """Return the language model's own part of a config.json: `text_config` of a model with eyes or
    ears, else all of it."""
    nested = config.get("text_config")
    return nested if isinstance(nested, Mapping) else config


def value(config: Config, name: str) -> Any:
    """Return a setting as transformers would read it: from the file, else the default of its class."""
    if name in config:
        return config[name]
    return default_of(str(config.get("model_type")), name)


def whole_number(config: Config, name: str) -> int | None:
    """Return a setting that must be a positive whole number; None where it is absent or something
    else."""
    number = value(config, name)
    whole = isinstance(number, int) and not isinstance(number, bool)
    return number if whole and number > 0 else None


def rope_settings(config: Config) -> Mapping[str, Any]:
    """Return the rope's parameters as one flat dictionary, empty where the file has none. Where
    they differ by kind of layer, those of the layers that see everything."""
    for name in ("rope_parameters", "rope_scaling"):
        rope = config.get(name)
        if isinstance(rope, Mapping) and rope:
            by_layer = rope.get("full_attention")
            return by_layer if isinstance(by_layer, Mapping) else rope
    return {}


def rope_type(config: Config) -> str:
    """Return the kind of rope scaling: "default" where there is none; the older name "su" is
    longrope."""
    rope = rope_settings(config)
    kind = str(rope.get("rope_type") or rope.get("type") or "default")
    return "longrope" if kind == "su" else kind


def original_context(config: Config) -> int | None:
    """Return the tokens that the model was trained on before its rope was stretched; None where
    nothing was stretched."""
    kind = rope_type(config)
    if kind == "default":
        return None
    for part in (rope_settings(config), config):
        length = part.get("original_max_position_embeddings")
        if isinstance(length, int) and length > 0:
            return length
    if kind == "longrope":
        return whole_number(config, "original_max_position_embeddings")
    return None


def context(config: Config) -> int | None:
    """Return the most tokens that the model was made for."""
    return whole_number(config, "max_position_embeddings")


def sliding_window(config: Config) -> int | None:
    """Return how many tokens back the model sees, in those of its layers that see least; None where
    all see everything."""
    if value(config, "use_sliding_window") is False:
        return None
    kinds = config.get("layer_types")
    if isinstance(kinds, list) and "sliding_attention" not in kinds:
        return None
    return whole_number(config, "sliding_window")
