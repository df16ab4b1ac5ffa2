"""The real engine on a random two-layer llama: repeatable, stoppable, shared by threads."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import fakes
import fieldpack
from fieldpack.devices import Device
from fieldpack.generation.engine import GenerationStats
from fieldpack.generation.generator import TextGenerator, check_config

PROMPT = "<|im_start|>user\nWhat does the A class cost a year?<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def generator(exported_llama: Path) -> TextGenerator:
    return TextGenerator.open(exported_llama, device=Device("cpu", 1))


def text_of(generator: TextGenerator, prompt: str = PROMPT, **options: Any) -> str:
    return "".join(
        generator.stream(prompt, **{"max_new_tokens": 30, "max_context": 900, **options})
    )


def test_the_same_prompt_gives_the_same_text(generator: TextGenerator) -> None:
    assert text_of(generator) == text_of(generator) != ""


def test_a_long_prompt_in_slices_is_counted_and_answered(generator: TextGenerator) -> None:
    stats = GenerationStats()
    text_of(generator, "The A class costs 0.85% a year. " * 40, stats=stats)
    assert (
        stats.prompt_tokens == generator.count_tokens("The A class costs 0.85% a year. " * 40) > 256
    )
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


def genais_own(generator: TextGenerator, prompt: str, tokens: int, penalty: float) -> list[int]:
    """What genai's own greedy search says, token by token on a fresh cache."""
    import onnxruntime_genai as og

    ids = generator.encode(prompt)
    params = og.GeneratorParams(generator._model)
    params.set_search_options(
        max_length=len(ids) + tokens, do_sample=False, repetition_penalty=penalty
    )
    search = og.Generator(generator._model, params)
    search.append_tokens(ids)
    said = []
    while not search.is_done():
        search.generate_next_token()
        said.append(int(search.get_next_tokens()[0]))
    return said


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_the_tokens_are_those_of_genai_s_own_search(
    tiny_llama: Path, tmp_path: Path, penalty: float
) -> None:
    """In full precision, where a step of one token and longer ones differ in the last bit alone."""
    folder = fakes.export_tiny_model(tiny_llama, tmp_path / "fp32", precision="fp32")
    plain = TextGenerator.open(folder, device=Device("cpu", 1))
    for prompt in (PROMPT, "The pump is serviced every 400 hours. " * 9):
        text = text_of(plain, prompt, repetition_penalty=penalty)
        assert text == plain.decode(genais_own(plain, prompt, 30, penalty))


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_drafts_change_no_word(
    exported_llama: Path, penalty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long they are: the text with drafts of eight is the text with drafts of one."""
    prompts = [PROMPT, "The A class costs 0.85% a year. " * 30, "A b a b a b a b a b"]
    texts = []
    for longest in (0, 1, 3, 8):
        monkeypatch.setattr("fieldpack.generation.prompt_lookup.MAX_DRAFT", longest)
        generator = TextGenerator.open(
            exported_llama, device=Device("cpu", 1), speculate=longest > 0
        )
        stats = [GenerationStats() for _ in prompts]
        texts.append(
            [
                text_of(generator, p, max_new_tokens=90, repetition_penalty=penalty, stats=s)
                for p, s in zip(prompts, stats, strict=True)
            ]
        )
        assert all(s.drafts.drafted >= s.drafts.accepted >= 0 for s in stats)
        assert any(s.drafts.drafted for s in stats) == (longest > 0)
    assert texts[0] == texts[1] == texts[2] == texts[3]


def test_what_was_read_before_is_not_read_again(generator: TextGenerator) -> None:
    whole, begun = PROMPT + "It costs", PROMPT + "The pump"
    fresh = text_of(generator, "Something else altogether"), text_of(generator, whole)
    stats = GenerationStats()
    text_of(generator, begun)
    assert text_of(generator, whole, stats=stats) == fresh[1]
    assert generator.count_tokens(PROMPT) - 1 <= stats.cached_tokens < stats.prompt_tokens
    assert text_of(generator, "Something else altogether") == fresh[0]


def test_a_cache_that_forgets_is_read_from_the_start(tmp_path: Path) -> None:
    """Gemma 2's layers see the last 32 tokens here: nothing can be set back, and nothing goes
    wrong."""
    model = fakes.export_tiny_model(
        fakes.write_tiny_model(tmp_path / "hf", "gemma2"), tmp_path / "onnx"
    )
    prompts = [
        "The pump is serviced every 400 hours. " * 6 + end
        for end in ("What is it?", "And when?", "What is it?")
    ]
    one = TextGenerator.open(model, device=Device("cpu", 1))
    stats = GenerationStats()
    texts = [text_of(one, prompt, stats=stats) for prompt in prompts]
    assert texts[0] == texts[2] and stats.cached_tokens == 0 and one._cache.can_rewind is False
    assert texts[1] == text_of(TextGenerator.open(model, device=Device("cpu", 1)), prompts[1])


def test_a_longer_prompt_than_the_cache_has_room_for(generator: TextGenerator) -> None:
    short = text_of(generator)
    long = GenerationStats()
    text_of(generator, "The pump is serviced. " * 90, stats=long)
    assert long.prompt_tokens > 256 and text_of(generator) == short


def test_a_stopped_prompt_is_read_again_from_where_it_is_known(generator: TextGenerator) -> None:
    expected = text_of(generator)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(fieldpack.Cancelled):
        generator.read_ahead("The valve. " * 60, max_context=900, cancel=cancel)
    generator.read_ahead(PROMPT, max_context=900)
    assert text_of(generator) == expected


def write_config(folder: Path, session_options: object, **other: object) -> Path:
    config = {"model": {"decoder": {"session_options": session_options}, **other}}
    path = folder / "genai_config.json"
    path.write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(
    "options",
    [
        {"custom_ops_library": "evil.so"},
        {"provider_options": [{"cuda": {}}]},
        {"provider_options": 5},
        {"ep_library": "x"},
        {"enable_profiling": "/tmp/x"},
    ],
)
def test_a_config_that_could_load_code_is_refused(
    tmp_path: Path, options: dict[str, object]
) -> None:
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
