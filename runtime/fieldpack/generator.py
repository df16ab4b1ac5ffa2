"""Streams text from a language model in onnxruntime-genai's format. Knows nothing of documents, bundles or chat.

The prompt goes in in slices: genai holds the interpreter's lock for the whole of an `append_tokens` call, cannot
cancel it, and keeps the logits of all its positions (493 MB peak for 1,000 tokens of SmolLM2-135M against 300).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .devices import Device, require_provider
from .errors import BundleCorrupt, BundleUnsupported, Cancelled

SLICE = 128  # tokens; the same first token and speed as one call, a cancel is heard within one slice
# What genai_config.json may say of a session. It can load libraries, so it is read as code: all else is refused.
_HARMLESS_OPTIONS = frozenset({"log_id", "provider_options", "intra_op_num_threads", "inter_op_num_threads"})
CONFIG = "genai_config.json"


@dataclass(slots=True)
class GenerationStats:
    """Filled while a generation runs. Milliseconds from its start; `tokens` counts what was generated."""

    prompt_tokens: int = 0
    tokens: int = 0
    first_token_ms: float = 0.0
    total_ms: float = 0.0

    @property
    def tokens_per_s(self) -> float:
        """Decode speed: the first token belongs to the prefill."""
        spent = self.total_ms - self.first_token_ms
        return (self.tokens - 1) / spent * 1000 if self.tokens > 1 and spent > 0 else 0.0


class TextGenerator:
    """`open(folder)` wants what genai's model builder writes. One generation runs at a time; others wait."""

    def __init__(self, model: Any, tokenizer: Any, *, skip_tokens: int = 0) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._skip = skip_tokens
        self._turn = threading.Lock()

    @classmethod
    def open(cls, folder: Path, *, device: Device | None = None, skip_tokens: int = 0) -> TextGenerator:
        check_config(folder / CONFIG)
        import onnxruntime_genai as og

        device = device or Device()
        if device.provider != "cpu":
            require_provider(device.provider)
        threads = {"model": {"decoder": {"session_options": {"intra_op_num_threads": device.threads}}}}
        try:
            config = og.Config(str(folder))
            config.clear_providers()
            if device.provider != "cpu":
                config.append_provider(device.provider)
            config.overlay(json.dumps(threads))
            model = og.Model(config)
            return cls(model, og.Tokenizer(model), skip_tokens=skip_tokens)
        except RuntimeError as error:
            raise BundleUnsupported(f"{folder}: the model does not open here: {str(error).splitlines()[0]}") from None

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text).tolist()
        return ids[self._skip :]

    def count_tokens(self, text: str) -> int:
        return len(self.encode(text))

    def decode(self, ids: Iterable[int]) -> str:
        """As `stream` puts its pieces together."""
        decoder = self._tokenizer.create_stream()
        return "".join(decoder.decode(token) for token in ids)

    def stream(
        self, prompt: str, *, max_new_tokens: int, max_context: int, repetition_penalty: float = 1.0,
        cancel: threading.Event | None = None, stats: GenerationStats | None = None,
    ) -> Iterator[str]:  # fmt: skip
        """Greedy decoding, piece by piece. Close the iterator or set `cancel` (raises Cancelled) to stop early."""
        stats = stats if stats is not None else GenerationStats()
        started = time.perf_counter()
        ids = self.encode(prompt)
        stats.prompt_tokens = len(ids)
        with self._my_turn(cancel):
            length = min(len(ids) + max_new_tokens, max_context)
            generator = self._begin(ids, length, repetition_penalty, cancel)
            decoder = self._tokenizer.create_stream()
            while not generator.is_done():
                _check(cancel)
                generator.generate_next_token()
                piece = decoder.decode(generator.get_next_tokens()[0])
                stats.tokens += 1
                stats.total_ms = (time.perf_counter() - started) * 1000
                if stats.tokens == 1:
                    stats.first_token_ms = stats.total_ms
                if piece:
                    yield piece

    def _begin(self, ids: list[int], length: int, repetition_penalty: float, cancel: threading.Event | None) -> Any:
        """A genai generator that has read the prompt and may go on to `length` tokens."""
        import onnxruntime_genai as og

        params = og.GeneratorParams(self._model)
        params.set_search_options(max_length=length, do_sample=False, repetition_penalty=repetition_penalty)
        generator = og.Generator(self._model, params)
        for at in range(0, len(ids), SLICE):
            _check(cancel)
            generator.append_tokens(ids[at : at + SLICE])
        return generator

    @contextmanager
    def _my_turn(self, cancel: threading.Event | None) -> Iterator[None]:
        """Wait for the generation before this one; a cancel is heard while waiting."""
        while not self._turn.acquire(timeout=0.1):
            _check(cancel)
        try:
            yield
        finally:
            self._turn.release()


def check_config(path: Path) -> None:
    """Refuse a genai_config.json that would load a library or run on another provider than the CPU's by itself."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (OSError, ValueError, RecursionError) as error:
        raise BundleCorrupt(f"{path}: {error}; copy the bundle again") from None
    for options in _session_options(config):
        unknown = sorted(options.keys() - _HARMLESS_OPTIONS)
        if unknown or options.get("provider_options") not in (None, [], [{}]):
            what = ", ".join(unknown) or "provider_options"
            raise BundleUnsupported(f"{path}: session option {what} is not allowed in a bundle; build it again")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A key named twice: json keeps the last, genai obeys both (it loaded a library from the first; measured)."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("a key is there twice")
    return dict(pairs)


def _session_options(node: object) -> Iterator[dict[str, Any]]:
    """Every `session_options` or `run_options` anywhere in the file."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("session_options", "run_options") and isinstance(value, dict):
                yield value
            yield from _session_options(value)
    elif isinstance(node, list):
        for value in node:
            yield from _session_options(value)


def _check(cancel: threading.Event | None) -> None:
    if cancel is not None and cancel.is_set():
        raise Cancelled("the answer was stopped")
