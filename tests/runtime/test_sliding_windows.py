"""Layers that see a window of the last tokens alone: prompts shorter and longer than it, fresh,
kept and rewound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fakes
import fieldpack
from fieldpack.devices import Device
from fieldpack.generation.engine import GenerationStats
from fieldpack.generation.generator import TextGenerator
from fieldpack_build.export import FP32, build_onnx
from fieldpack_build.export.builder_source import builder_source
from long_texts import IDS, gap, open_cache, read, tokens, torch_logits, torch_tokens

WINDOW = 48
CLOSE = 1e-3
FAMILIES: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": WINDOW},
    "phi3": {"sliding_window": WINDOW - 1},  # Phi-3-mini-4k: 2,047
    "qwen2": {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    "qwen3": {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    "gemma2": {"sliding_window": WINDOW},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_is_transformers_whatever_the_window(family: str, tmp_path: Path) -> None:
    source = fakes.write_tiny_model(tmp_path / "hf", family, **FAMILIES[family])
    build_onnx(source, tmp_path / "onnx", FP32, tmp_path / "work")
    logits, cache = torch_logits(source), open_cache(tmp_path / "onnx")
    lengths = (WINDOW // 2, WINDOW, WINDOW + 1, 3 * WINDOW)
    expected = {length: torch_tokens(logits, IDS[:length]) for length in lengths}
    for length in (*lengths, *reversed(lengths)):  # up: read on from what is kept; down: set back
        assert (
            gap(read(open_cache(tmp_path / "onnx"), IDS[:length]), logits(IDS[:length])) < CLOSE
        ), length
        assert tokens(open_cache(tmp_path / "onnx"), IDS[:length]) == expected[length], (
            f"fresh, {length}"
        )
        assert tokens(cache, IDS[:length]) == expected[length], f"kept, {length}"
    assert cache.can_rewind
    cache.prefill(IDS[: 3 * WINDOW], capacity=200, max_capacity=900)
    assert cache.prefill([*IDS[:20], *IDS[5:60]], capacity=200, max_capacity=900) == 20, (
        "set back by more than the window"
    )


def test_a_window_that_the_architecture_does_not_know_is_left_alone(tmp_path: Path) -> None:
    for name, family, settings in (
        ("llama", "llama", {"sliding_window": WINDOW}),
        ("none", "mistral", {"sliding_window": None}),
        ("all", "mistral", {"sliding_window": 1024}),
    ):
        source = fakes.write_tiny_model(tmp_path / name, family, **settings)
        assert builder_source(source, tmp_path / "work") == source, name


def test_a_bundle_whose_cache_is_too_short_says_so(tmp_path: Path) -> None:
    """As bundles were made before: a cache as long as the window under layers that look at
    everything. A long question is a sentence, and the next short one is answered."""
    source = fakes.write_tiny_model(tmp_path / "hf", "mistral", sliding_window=WINDOW)
    generator = TextGenerator.open(
        fakes.export_tiny_model(source, tmp_path / "onnx"), device=Device("cpu", 1)
    )
    options: dict[str, Any] = {"max_new_tokens": 4, "max_context": 500}
    short = "".join(generator.stream("What is it?", **options))
    long = "The pump is serviced every 400 hours. " * 12
    with pytest.raises(
        fieldpack.EngineFailed, match=r"at \d+ tokens of text: .*export\.max_context"
    ):
        "".join(generator.stream(long, **options))
    with pytest.raises(fieldpack.EngineFailed):
        generator.read_ahead(long, max_context=500)
    with pytest.raises(fieldpack.EngineFailed):
        list(generator.stream(long, schema='{"type": "string"}', **options))
    stats = GenerationStats()
    assert (
        "".join(generator.stream("What is it?", stats=stats, **options)) == short
        and stats.cached_tokens == 0
    )
