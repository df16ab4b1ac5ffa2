"""What every text-generation engine has to do. A test class inherits `EngineContract` and gives it
an opened engine; the toy models are random, so texts are compared with each other and never with
words."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import fieldpack
from fieldpack.generation.engine import Engine, GenerationStats

PROMPT = "<|im_start|>user\nWhat does the A class cost a year?<|im_end|>\n<|im_start|>assistant\n"
SCHEMA = {"enum": ["yes", "no"]}  # with no room for white space, which a random model likes best


def text_of(engine: Engine, prompt: str = PROMPT, **options: Any) -> str:
    return "".join(engine.stream(prompt, **{"max_new_tokens": 30, "max_context": 400, **options}))


class EngineContract:
    def test_tokens_are_the_text_s_own(self, engine: Engine) -> None:
        ids = engine.encode(PROMPT)
        assert engine.count_tokens(PROMPT) == len(ids) and engine.encode("") == []
        plain = "The A class costs 0.85% a year."
        assert engine.decode(engine.encode(plain)) == plain
        assert len(engine.encode("<|im_end|>")) == 1  # a special token is one, and none is added

    def test_greedy_text_repeats(self, engine: Engine) -> None:
        stats = GenerationStats()
        first = text_of(engine, stats=stats)
        assert first == text_of(engine) != ""
        assert stats.prompt_tokens == engine.count_tokens(PROMPT)
        assert 1 <= stats.tokens <= 30 and 0 < stats.first_token_ms <= stats.total_ms

    def test_a_limit_cuts_and_says_so(self, engine: Engine) -> None:
        whole, cut = GenerationStats(), GenerationStats()
        text_of(engine, stats=whole)
        short = text_of(engine, max_new_tokens=2, stats=cut)
        assert cut.tokens == 2 and cut.cut and text_of(engine).startswith(short)
        assert whole.cut == (whole.tokens == 30)

    def test_the_context_is_kept(self, engine: Engine) -> None:
        stats = GenerationStats()
        room = engine.count_tokens(PROMPT) + 5
        text_of(engine, max_context=room, stats=stats)
        assert stats.tokens <= 5
        none = GenerationStats()
        assert text_of(engine, max_context=engine.count_tokens(PROMPT), stats=none) == ""
        assert none.cut and none.tokens == 0

    def test_a_cancel_ends_it(self, engine: Engine) -> None:
        cancel = threading.Event()
        pieces = engine.stream(PROMPT * 2, max_new_tokens=60, max_context=400, cancel=cancel)
        next(pieces)
        cancel.set()
        with pytest.raises(fieldpack.Cancelled):
            list(pieces)
        assert text_of(engine)

    def test_a_closed_stream_frees_the_engine(self, engine: Engine) -> None:
        pieces = engine.stream(PROMPT, max_new_tokens=60, max_context=400)
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
        assert text_of(engine)

    def test_threads_give_the_sequential_texts(self, engine: Engine) -> None:
        prompts = [f"<|im_start|>user\nQuestion {i}: what is it?<|im_end|>\n" for i in range(3)]
        alone = [text_of(engine, prompt, max_new_tokens=12) for prompt in prompts]
        with ThreadPoolExecutor(3) as pool:
            together = pool.map(lambda prompt: text_of(engine, prompt, max_new_tokens=12), prompts)
            assert list(together) == alone

    def test_reading_ahead_changes_no_word(self, engine: Engine) -> None:
        expected = text_of(engine)
        engine.read_ahead(PROMPT, max_context=400)
        assert text_of(engine) == expected
        cancel = threading.Event()
        cancel.set()
        if engine.capabilities.rewinding:
            with pytest.raises(fieldpack.Cancelled):
                engine.read_ahead(PROMPT, max_context=400, cancel=cancel)

    def test_a_penalty_changes_the_text(self, engine: Engine) -> None:
        plain = text_of(engine, "a b a b a b a b", max_new_tokens=24)
        assert (
            text_of(engine, "a b a b a b a b", repetition_penalty=2.0, max_new_tokens=24) != plain
        )

    def test_a_schema_is_followed_or_refused(self, engine: Engine) -> None:
        if not engine.capabilities.schema:
            with pytest.raises(fieldpack.QuestionError):
                text_of(engine, schema=json.dumps(SCHEMA))
            return
        answer = json.loads(text_of(engine, max_new_tokens=60, schema=json.dumps(SCHEMA)))
        assert answer in SCHEMA["enum"]
        with pytest.raises(fieldpack.QuestionError):
            text_of(engine, schema='{"type": "nonsense"}')

    def test_limits_are_told_and_held(self, engine: Engine) -> None:
        limits = engine.capabilities
        if limits.prompt_limit is None:
            assert limits.total_limit is None
            return
        assert limits.total_limit is not None
        with pytest.raises(fieldpack.QuestionTooLong):
            text_of(engine, "The pump. " * limits.prompt_limit, max_context=10_000)
        stats = GenerationStats()
        text_of(engine, max_new_tokens=10_000, max_context=10_000, stats=stats)
        assert stats.prompt_tokens + stats.tokens <= limits.total_limit
        assert stats.cut == (stats.prompt_tokens + stats.tokens == limits.total_limit)
