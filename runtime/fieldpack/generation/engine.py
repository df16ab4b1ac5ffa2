"""The interface of a text-generation engine, and what is said of a generation. A new engine is one
file that implements `Engine` and one test class that inherits `tests/runtime/engine_contract.py`.
Knows no engine: the words of a library stay in that library's own file."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from .greedy import Drafts
from .kv_cache import raise_if_cancelled


@dataclass(slots=True)
class GenerationStats:
    """Figures of one generation, filled while it runs. Milliseconds count from its start. `tokens`
    counts what was generated, `cached_tokens` the tokens of the prompt that the cache held already.
    `cut`: the answer met a limit before the model ended it."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    tokens: int = 0
    first_token_ms: float = 0.0
    total_ms: float = 0.0
    drafts: Drafts = field(default_factory=Drafts)
    cut: bool = False

    @property
    def tokens_per_s(self) -> float:
        """The decode speed; the first token belongs to the prefill."""
        decode_ms = self.total_ms - self.first_token_ms
        return (self.tokens - 1) / decode_ms * 1000 if self.tokens > 1 and decode_ms > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an opened engine can do. `schema`: follow a JSON schema. `drafts`: confirm several
    looked-up tokens in one step. `rewinding`: keep what a prompt shares with the one before, so
    that `read_ahead` saves time. `prompt_limit` and `total_limit`: the most tokens of a prompt, and
    of a prompt with its answer, that its compiled shapes take; None where only the model's context
    counts.
    """

    schema: bool = True
    drafts: bool = True
    rewinding: bool = True
    prompt_limit: int | None = None
    total_limit: int | None = None


class Engine(Protocol):
    """An opened language model. One generation runs at a time; others wait for it."""

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do with the opened model."""

    def encode(self, text: str) -> list[int]:
        """Return the token ids of `text`, special tokens in it included and none added."""

    def count_tokens(self, text: str) -> int:
        """Return how many tokens `encode` gives."""

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`, put together as `stream` does it."""

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
        """Yield the greedy continuation of `prompt` piece by piece. `schema`: a JSON schema that
        the text follows. Close the iterator or set `cancel` (raises Cancelled) to stop early.
        Raises QuestionTooLong for a prompt over `prompt_limit`, QuestionError for a schema that
        cannot be followed, EngineFailed where the engine gives up."""

    def read_ahead(
        self, prompt: str, *, max_context: int, cancel: threading.Event | None = None
    ) -> None:
        """Read a prompt, or the beginning of one, so that its answer starts at once; does nothing
        where the engine cannot keep it. Raises Cancelled."""


class GenerationLock:
    """Lets one generation run at a time; the wait for it can be cancelled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, cancel: threading.Event | None) -> Iterator[None]:
        """Wait until no other generation runs, and hold the lock inside the block. Raises Cancelled
        if `cancel` is set while it waits."""
        while not self._lock.acquire(timeout=0.1):
            raise_if_cancelled(cancel)
        try:
            yield
        finally:
            self._lock.release()
