"""The real engine on a random two-layer llama: repeatable, stoppable, shared by threads."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import fieldpack
from fieldpack.devices import Device
from fieldpack.generator import GenerationStats, TextGenerator, check_config

PROMPT = "<|im_start|>user\nWhat does the A class cost a year?<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def generator(exported_llama: Path) -> TextGenerator:
    return TextGenerator.open(exported_llama, device=Device("cpu", 1))


def text_of(generator: TextGenerator, prompt: str = PROMPT, **options: Any) -> str:
    return "".join(generator.stream(prompt, **{"max_new_tokens": 30, "max_context": 900, **options}))


def test_the_same_prompt_gives_the_same_text(generator: TextGenerator) -> None:
    assert text_of(generator) == text_of(generator) != ""


def test_a_long_prompt_in_slices_is_counted_and_answered(generator: TextGenerator) -> None:
    stats = GenerationStats()
    text_of(generator, "The A class costs 0.85% a year. " * 40, stats=stats)
    assert stats.prompt_tokens == generator.count_tokens("The A class costs 0.85% a year. " * 40) > 256
    assert 1 <= stats.tokens <= 30
    assert 0 < stats.first_token_ms <= stats.total_ms
    assert stats.tokens == 1 or stats.tokens_per_s > 0


@pytest.mark.parametrize(("new", "context"), [(5, 900), (500, 60)])
def test_lengths_are_kept(generator: TextGenerator, new: int, context: int) -> None:
    stats = GenerationStats()
    text_of(generator, max_new_tokens=new, max_context=context, stats=stats)
    assert stats.tokens <= new and stats.prompt_tokens + stats.tokens <= context


def test_cancelled_before_the_start(generator: TextGenerator) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(fieldpack.Cancelled):
        text_of(generator, cancel=cancel)
    assert text_of(generator)


def test_cancelled_on_the_way(generator: TextGenerator) -> None:
    cancel = threading.Event()
    pieces = generator.stream(PROMPT, max_new_tokens=200, max_context=900, cancel=cancel)
    next(pieces)
    cancel.set()
    with pytest.raises(fieldpack.Cancelled):
        next(pieces)
    assert text_of(generator)


def test_a_cancel_is_heard_while_another_answer_runs(generator: TextGenerator) -> None:
    running = generator.stream(PROMPT, max_new_tokens=200, max_context=900)
    next(running)  # holds its turn
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    with pytest.raises(fieldpack.Cancelled):
        text_of(generator, cancel=cancel)
    running.close()  # type: ignore[attr-defined]


def test_a_closed_stream_frees_the_model(generator: TextGenerator) -> None:
    pieces = generator.stream(PROMPT, max_new_tokens=200, max_context=900)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert text_of(generator)


def test_threads_give_the_sequential_results(generator: TextGenerator) -> None:
    prompts = [f"<|im_start|>user\nQuestion {i}: what is it?<|im_end|>\n" for i in range(6)]
    alone = [text_of(generator, prompt) for prompt in prompts]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda prompt: text_of(generator, prompt), prompts)) == alone
    assert len(set(alone)) > 1


def write_config(folder: Path, session_options: object, **other: object) -> Path:
    config = {"model": {"decoder": {"session_options": session_options}, **other}}
    path = folder / "genai_config.json"
    path.write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(
    "options",
    [{"custom_ops_library": "evil.so"}, {"provider_options": [{"cuda": {}}]}, {"provider_options": 5},
     {"ep_library": "x"}, {"enable_profiling": "/tmp/x"}],
)  # fmt: skip
def test_a_config_that_could_load_code_is_refused(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(fieldpack.BundleUnsupported, match="not allowed in a bundle"):
        check_config(write_config(tmp_path, options))
    nested = write_config(tmp_path, {}, pipeline=[{"a": {"session_options": options}}])
    with pytest.raises(fieldpack.BundleUnsupported):
        check_config(nested)


def test_a_key_named_twice_is_refused(bundle: Path) -> None:
    """genai obeys both, json shows the last: a library was loaded past the check."""
    path = bundle / "model" / "genai_config.json"
    evil = '"session_options": {"custom_ops_library": "evil.so"}, "session_options": {'
    path.write_text(path.read_text().replace('"session_options": {', evil, 1))
    with pytest.raises(fieldpack.BundleCorrupt, match="twice"):
        TextGenerator.open(path.parent)


@pytest.mark.parametrize("content", ["", "[" * 100_000, "{"])
def test_a_config_that_is_no_json_is_corrupt(tmp_path: Path, content: str) -> None:
    (tmp_path / "genai_config.json").write_text(content)
    with pytest.raises(fieldpack.BundleCorrupt):
        check_config(tmp_path / "genai_config.json")


@pytest.mark.parametrize("content", ["[]", '{"model": {"decoder": {"filename": "../x"}}}'])
def test_a_config_that_genai_cannot_use_is_a_sentence(bundle: Path, content: str) -> None:
    (bundle / "model" / "genai_config.json").write_text(content)
    with pytest.raises(fieldpack.BundleUnsupported, match="does not open here"):
        TextGenerator.open(bundle / "model")


@pytest.mark.parametrize("provider", ["cuda", "abacus"])
def test_a_provider_that_is_not_here_is_named(exported_llama: Path, provider: str) -> None:
    with pytest.raises(fieldpack.BundleUnsupported, match=r"CUDAExecutionProvider|abacus"):
        TextGenerator.open(exported_llama, device=Device(provider, 1))
