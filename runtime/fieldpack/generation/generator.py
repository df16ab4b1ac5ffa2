"""Streams text from a language model in onnxruntime-genai's format: opens it, turns text into
tokens and back, and lets one answer run at a time. Knows nothing of documents, bundles or chat."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from ..devices import Device, genai_name, require_provider
from ..errors import BundleCorrupt, BundleUnsupported, QuestionError
from ..untrusted import is_out_of_memory, out_of_memory, untrusted
from .engine import Capabilities, GenerationLock, GenerationStats
from .greedy import answer_tokens
from .kv_cache import SLICE, KVCache, engine_errors, raise_if_cancelled
from .longrope import LongRope, new_generator
from .prompt_lookup import DraftLengthController

# What genai_config.json may say of a session. It can load libraries, so it is read as code: all
# else is refused.
_HARMLESS_OPTIONS = frozenset(
    {"log_id", "provider_options", "intra_op_num_threads", "inter_op_num_threads"}
)
CONFIG = "genai_config.json"
# Sizes by which genai makes tensors: it takes any number, and the engine fails at the first prompt.
_SIZES = frozenset(
    "context_length head_size hidden_size num_attention_heads num_hidden_layers "
    "num_key_value_heads vocab_size".split()
)
_MAX_SIZE = 1 << 24
_EMPTY_STRING = re.compile(rb'""')
# Tokens that the cache has space for when a prompt's beginning is read ahead, so that the rest of
# the prompt and the answer fit.
_READ_AHEAD_CAPACITY = 1024


class TextGenerator:
    """A language model that generates text. One generation runs at a time; others wait."""

    def __init__(
        self,
        folder: Path,
        model: Any,
        tokenizer: Any,
        *,
        rope: LongRope | None = None,
        skip_tokens: int = 0,
        speculate: bool = True,
    ) -> None:
        """`folder`: where the two were opened. `rope`: of a model with two sets of rotary factors.
        `skip_tokens`: how many tokens the tokenizer adds in front of any text, which are left out.
        `speculate`: draft tokens, as long as that is faster on this machine; the words are the
        same."""
        self._folder, self._model = folder, model
        self._rope = rope
        self._tokenizer = tokenizer
        self._skip_tokens = skip_tokens
        self._lock = GenerationLock()
        self._cache = KVCache(model, rope)
        self._draft_length = DraftLengthController()
        self._speculate = speculate

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        device: Device | None = None,
        skip_tokens: int = 0,
        speculate: bool = True,
    ) -> TextGenerator:
        """Open a model in the form that genai's model builder writes. Raises BundleCorrupt,
        BundleUnsupported."""
        device = device or Device()
        check_config(folder / CONFIG)
        check_tokenizer(folder / "tokenizer.json")
        with untrusted(folder):
            rope = LongRope.read(folder)
            import onnxruntime_genai as og

            if device.provider != "cpu":
                require_provider(device.provider)
            options = {"intra_op_num_threads": device.threads}
            try:
                config = og.Config(str(folder))
                config.clear_providers()
                if device.provider != "cpu":
                    config.append_provider(genai_name(device.provider))
                config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
                model = og.Model(config)
                tokenizer = og.Tokenizer(model)
                return cls(
                    folder,
                    model,
                    tokenizer,
                    rope=rope,
                    skip_tokens=skip_tokens,
                    speculate=speculate,
                )
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                raise BundleUnsupported(
                    f"{folder}: the model does not open here: {str(error).splitlines()[0]}"
                ) from None

    @property
    def capabilities(self) -> Capabilities:
        """What this model can do; `rewinding` turns False once its cache was seen to forget."""
        return Capabilities(drafts=self._speculate, rewinding=self._cache.can_rewind)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of `text`, without those that the tokenizer adds in front."""
        with untrusted(self._folder):
            ids: list[int] = self._tokenizer.encode(text).tolist()
        return ids[self._skip_tokens :]

    def count_tokens(self, text: str) -> int:
        """Return how many tokens `text` has."""
        return len(self.encode(text))

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of tokens, put together as `stream` does."""
        with untrusted(self._folder):
            decoder = self._tokenizer.create_stream()
            return "".join(decoder.decode(token) for token in ids)

    def stream(
        self,
        prompt: str,
        *,
        max_new_tokens: int,
        max_context: int,
        repetition_penalty: float = 1.0,
        cancel: threading.Event | None = None,
        stats: GenerationStats | None = None,
        schema: str | None = None,
    ) -> Iterator[str]:
        """Generate greedily and yield the text piece by piece. `schema`: a JSON schema that the text
        follows. Close the iterator or set `cancel` to stop early.

        Raises Cancelled, EngineFailed, QuestionError (a schema that cannot be followed)."""
        stats = stats if stats is not None else GenerationStats()
        started = time.perf_counter()
        ids = self.encode(prompt)
        stats.prompt_tokens = len(ids)
        max_tokens = min(max_new_tokens, max_context - len(ids))
        if max_tokens < 1:
            stats.cut = True
            return
        with self._lock.hold(cancel):
            if schema is None:
                stats.cached_tokens = self._cache.prefill(
                    ids,
                    capacity=len(ids) + max_tokens,
                    max_capacity=max_context,
                    cancel=cancel,
                    on_slice=self._draft_length.record_prefill,
                )
                tokens = answer_tokens(
                    self._cache,
                    ids,
                    end_tokens=self._end_tokens,
                    max_tokens=max_tokens,
                    penalty=repetition_penalty,
                    draft_length=self._draft_length if self._speculate else None,
                    drafts=stats.drafts,
                    cancel=cancel,
                )
            else:
                tokens = self._constrained_tokens(ids, max_tokens, schema, cancel)
            with untrusted(self._folder):
                decoder = self._tokenizer.create_stream()
            for token in tokens:
                stats.tokens += 1
                stats.cut = token not in self._end_tokens
                stats.total_ms = (time.perf_counter() - started) * 1000
                if stats.tokens == 1:
                    stats.first_token_ms = stats.total_ms
                with untrusted(self._folder):
                    piece = decoder.decode(token)
                if piece:
                    yield piece

    def read_ahead(
        self, prompt: str, *, max_context: int, cancel: threading.Event | None = None
    ) -> None:
        """Read a prompt, or its beginning, so that its answer starts at once. Raises Cancelled,
        EngineFailed."""
        ids = self.encode(prompt)[:max_context]
        with self._lock.hold(cancel):
            self._cache.prefill(
                ids,
                capacity=max(len(ids), min(max_context, _READ_AHEAD_CAPACITY)),
                max_capacity=max_context,
                cancel=cancel,
                on_slice=self._draft_length.record_prefill,
            )

    def _constrained_tokens(
        self, ids: list[int], max_tokens: int, schema: str, cancel: threading.Event | None
    ) -> Iterator[int]:
        """Yield tokens that follow a JSON schema, by genai's own search on a cache of its own, which
        the grammar needs. Raises QuestionError for a schema that cannot be followed."""
        self._cache.clear()  # two caches would be twice the memory
        generated: list[int] = []
        search = self._constrained_search(ids, generated, max_tokens, schema, cancel)
        while not search.is_done():
            raise_if_cancelled(cancel)
            length = len(ids) + len(generated)
            if generated and self._rope is not None and length == self._rope.original_length + 1:
                del search
                search = self._constrained_search(ids, generated, max_tokens, schema, cancel)
            with engine_errors(search):
                search.generate_next_token()
            generated.append(int(search.get_next_tokens()[0]))
            yield generated[-1]

    def _constrained_search(
        self,
        ids: list[int],
        generated: list[int],
        max_tokens: int,
        schema: str,
        cancel: threading.Event | None,
    ) -> Any:
        """Return genai's search behind `ids` and `generated`, with the rotary factors for a text of
        their length.

        The generated tokens are chosen again, one by one: only so does the grammar know at what
        place of the schema it is."""
        import numpy as np
        import onnxruntime_genai as og

        with engine_errors(None):
            params = og.GeneratorParams(self._model)
            params.set_search_options(max_length=len(ids) + max_tokens, do_sample=False)
        try:
            params.set_guidance("json_schema", schema)
            search = new_generator(self._model, params, self._rope, len(ids) + len(generated))
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise out_of_memory(error, str(self._folder)) from None
            raise QuestionError(
                f"the JSON schema cannot be followed: {str(error).splitlines()[0]}"
            ) from None
        for start in range(0, len(ids), SLICE):
            raise_if_cancelled(cancel)
            with engine_errors(search):
                search.append_tokens(ids[start : start + SLICE])
        for token in generated:
            raise_if_cancelled(cancel)
            with engine_errors(search):
                only = np.full_like(search.get_logits(), np.finfo(np.float32).min / 2)
                only[..., token] = 0
                search.set_logits(only)
                search.generate_next_token()
        return search

    @cached_property
    def _end_tokens(self) -> frozenset[int]:
        with untrusted(self._folder):
            return frozenset(int(token) for token in self._tokenizer.eos_token_ids)


def check_config(path: Path) -> None:
    """Refuse a genai_config.json that would load a library or run on another provider than the
    CPU's by itself, or that names sizes that cannot be. Raises BundleCorrupt, BundleUnsupported."""

    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # json keeps the last of two equal keys, genai obeys both: it loaded a library from the
        # first (measured).
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise ValueError("a key is there twice")
        for name, value in pairs:
            if name in _SIZES and not (type(value) is int and 0 < value <= _MAX_SIZE):
                raise ValueError(f"{name}: want a size, not {value!r:.80}")
        return dict(pairs)

    try:
        config = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=checked)
    except (OSError, ValueError, RecursionError) as error:
        raise BundleCorrupt(f"{path}: {error}; copy the bundle again") from None
    for options in _session_options(config):
        unknown = sorted(options.keys() - _HARMLESS_OPTIONS)
        if unknown or options.get("provider_options") not in (None, [], [{}]):
            what = ", ".join(unknown) or "provider_options"
            raise BundleUnsupported(
                f"{path}: session option {what} is not allowed in a bundle; build it again"
            )


def check_tokenizer(path: Path) -> None:
    """Refuse an empty merge, over which genai's tokenizer (0.18) never ends. It is looked for in the
    bytes: 10 ms for 14 MB, where parsing takes 0.4 s. Raises BundleCorrupt."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return  # some models bring another kind
    except OSError as error:
        raise BundleCorrupt(f"{path}: {error.strerror}; copy the bundle again") from None
    for match in _EMPTY_STRING.finditer(data):
        start, end = match.span()
        before = data[max(start - 80, 0) : start].rstrip()[-1:]
        after = data[end : end + 80].lstrip()[:1]
        if before in (b"[", b",") and after in (b"]", b","):
            raise BundleCorrupt(f"{path}: holds an empty merge; copy the bundle again")


def _session_options(node: object) -> Iterator[dict[str, object]]:
    """Yield every `session_options` or `run_options` anywhere in the file."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("session_options", "run_options") and isinstance(value, dict):
                yield value
            yield from _session_options(value)
    elif isinstance(node, list):
        for value in node:
            yield from _session_options(value)
