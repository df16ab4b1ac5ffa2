"""Streams text from a language model in onnxruntime-genai's format: opens it, turns text into tokens and back, and lets one
answer run at a time. Knows nothing of documents, bundles or chat."""

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
from ..untrusted import untrusted
from .engine import Capabilities, GenerationStats, Turn
from .greedy import answer_tokens
from .kv_cache import SLICE, Kept, check, engine_errors
from .longrope import LongRope, new_generator
from .prompt_lookup import Pace

# What genai_config.json may say of a session. It can load libraries, so it is read as code: all else is refused.
_HARMLESS_OPTIONS = frozenset({"log_id", "provider_options", "intra_op_num_threads", "inter_op_num_threads"})
CONFIG = "genai_config.json"
_EMPTY = re.compile(rb'""')
_AHEAD = 1024  # tokens of room when a prompt's beginning is read, so that the rest and the answer find it


class TextGenerator:
    """`open(folder)` wants what genai's model builder writes. One generation runs at a time; others wait."""

    def __init__(
        self, model: Any, tokenizer: Any, *, rope: LongRope | None = None, skip_tokens: int = 0, speculate: bool = True
    ) -> None:
        """`rope`: of a model with two sets of rotary factors. `speculate`: look for drafts, as long as they gain on this
        machine; the words are the same."""
        self._model = model
        self._rope = rope
        self._tokenizer = tokenizer
        self._skip = skip_tokens
        self._turn = Turn()
        self._kept = Kept(model, rope)
        self._pace = Pace()
        self._speculates = speculate

    @classmethod
    def open(
        cls, folder: Path, *, device: Device | None = None, skip_tokens: int = 0, speculate: bool = True
    ) -> TextGenerator:
        check_config(folder / CONFIG)
        check_tokenizer(folder / "tokenizer.json")
        with untrusted(folder):
            return cls._open(folder, device or Device(), skip_tokens=skip_tokens, speculate=speculate)

    @classmethod
    def _open(cls, folder: Path, device: Device, *, skip_tokens: int, speculate: bool) -> TextGenerator:
        rope = LongRope.read(folder)
        import onnxruntime_genai as og

        if device.provider != "cpu":
            require_provider(device.provider)
        threads = {"model": {"decoder": {"session_options": {"intra_op_num_threads": device.threads}}}}
        try:
            config = og.Config(str(folder))
            config.clear_providers()
            if device.provider != "cpu":
                config.append_provider(genai_name(device.provider))
            config.overlay(json.dumps(threads))
            model = og.Model(config)
            return cls(model, og.Tokenizer(model), rope=rope, skip_tokens=skip_tokens, speculate=speculate)
        except RuntimeError as error:
            raise BundleUnsupported(f"{folder}: the model does not open here: {str(error).splitlines()[0]}") from None

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(drafts=self._speculates, rewinding=self._kept.rewinds)

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
        cancel: threading.Event | None = None, stats: GenerationStats | None = None, schema: str | None = None,
    ) -> Iterator[str]:  # fmt: skip
        """Greedy decoding, piece by piece; `schema`: a JSON schema that the text then follows. Close the iterator or set
        `cancel` (raises Cancelled) to stop early."""
        stats = stats if stats is not None else GenerationStats()
        started = time.perf_counter()
        ids = self.encode(prompt)
        stats.prompt_tokens = len(ids)
        most = min(max_new_tokens, max_context - len(ids))
        if most < 1:
            stats.cut = True
            return
        with self._turn.wait(cancel):
            if schema is None:
                tokens = self._tokens(ids, most, max_context, repetition_penalty, cancel, stats)
            else:
                tokens = self._guided(ids, most, schema, cancel)
            decoder = self._tokenizer.create_stream()
            for token in tokens:
                stats.tokens += 1
                stats.cut = token not in self._ends
                stats.total_ms = (time.perf_counter() - started) * 1000
                if stats.tokens == 1:
                    stats.first_token_ms = stats.total_ms
                if piece := decoder.decode(token):
                    yield piece

    def read_ahead(self, prompt: str, *, max_context: int, cancel: threading.Event | None = None) -> None:
        """Read a prompt, or how it will begin, so that its answer starts at once. Raises Cancelled."""
        ids = self.encode(prompt)[:max_context]
        room = max(len(ids), min(max_context, _AHEAD))
        with self._turn.wait(cancel):
            self._kept.read(ids, room=room, most=max_context, cancel=cancel, timed=self._pace.read)

    def _tokens(
        self, ids: list[int], most: int, max_context: int, penalty: float, cancel: threading.Event | None,
        stats: GenerationStats,
    ) -> Iterator[int]:  # fmt: skip
        stats.cached_tokens = self._kept.read(
            ids, room=len(ids) + most, most=max_context, cancel=cancel, timed=self._pace.read
        )
        yield from answer_tokens(
            self._kept, ids, ends=self._ends, most=most, penalty=penalty, pace=self._pace if self._speculates else None,
            drafts=stats.drafts, cancel=cancel,
        )  # fmt: skip

    def _guided(self, ids: list[int], most: int, schema: str, cancel: threading.Event | None) -> Iterator[int]:
        """Tokens that follow a JSON schema. genai's own search on a cache of its own, which the guidance wants.

        Raises QuestionError for a schema that cannot be followed."""
        self._kept.drop()  # two caches would be twice the memory
        said: list[int] = []
        search = self._guided_search(ids, said, most, schema, cancel)
        while not search.is_done():
            check(cancel)
            if said and self._rope is not None and len(ids) + len(said) == self._rope.original_length + 1:
                del search
                search = self._guided_search(ids, said, most, schema, cancel)
            with engine_errors(search):
                search.generate_next_token()
            said.append(int(search.get_next_tokens()[0]))
            yield said[-1]

    def _guided_search(
        self, ids: list[int], said: list[int], most: int, schema: str, cancel: threading.Event | None
    ) -> Any:
        """genai's search behind `ids` and `said`, with the rotary factors for a text of their length.

        What was said is chosen anew, token by token: only so the guidance knows at what place of the schema it is."""
        import numpy as np
        import onnxruntime_genai as og

        params = og.GeneratorParams(self._model)
        params.set_search_options(max_length=len(ids) + most, do_sample=False)
        try:
            params.set_guidance("json_schema", schema)
            search = new_generator(self._model, params, self._rope, len(ids) + len(said))
        except RuntimeError as error:
            raise QuestionError(f"the JSON schema cannot be followed: {str(error).splitlines()[0]}") from None
        for at in range(0, len(ids), SLICE):
            check(cancel)
            with engine_errors(search):
                search.append_tokens(ids[at : at + SLICE])
        for token in said:
            check(cancel)
            with engine_errors(search):
                only = np.full_like(search.get_logits(), np.finfo(np.float32).min / 2)
                only[..., token] = 0
                search.set_logits(only)
                search.generate_next_token()
        return search

    @cached_property
    def _ends(self) -> frozenset[int]:
        """Tokens that end an answer."""
        return frozenset(int(token) for token in self._tokenizer.eos_token_ids)


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


def check_tokenizer(path: Path) -> None:
    """Refuse an empty merge, over which genai's tokenizer never ends (0.18). Looked for in the bytes: 10 ms for 14 MB, where
    parsing takes 0.4 s."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return  # some models bring another kind
    except OSError as error:
        raise BundleCorrupt(f"{path}: {error.strerror}; copy the bundle again") from None
    for found in _EMPTY.finditer(data):
        start, end = found.span()
        before, after = data[max(start - 80, 0) : start].rstrip()[-1:], data[end : end + 80].lstrip()[:1]
        if before in (b"[", b",") and after in (b"]", b","):
            raise BundleCorrupt(f"{path}: holds an empty merge; copy the bundle again")


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
