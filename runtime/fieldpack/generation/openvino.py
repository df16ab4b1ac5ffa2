"""Generates text with OpenVINO GenAI on an Intel CPU, GPU or NPU: the engine behind the targets
`openvino-cpu`, `openvino-gpu` and `openvino-npu`. Its model is the int4 IR that optimum-intel
exports. Knows nothing of documents, bundles or chat.

On CPUs and GPUs the shapes are dynamic, and blocks of the KV cache are kept between prompts. The
NPU compiles static shapes: a prompt of at most `prompt_limit` tokens, and no more than
`total_limit` tokens in all, beyond which OpenVINO stops without a word (2026.4). Here such an
answer is marked as cut.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from ..devices import available_cores
from ..errors import BundleCorrupt, BundleUnsupported, QuestionError, QuestionTooLong
from ..untrusted import is_out_of_memory, untrusted
from .engine import Capabilities, GenerationLock, GenerationStats
from .kv_cache import engine_errors, raise_if_cancelled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKAGES = ("openvino", "openvino-genai", "openvino-tokenizers")
MODEL, GENERATION_CONFIG = "openvino_model.xml", "generation_config.json"
# The defaults, bfloat16 where the processor has it and keys and values in u8, round by blocks: words
# then depend on the drafts before them.
CPU_PRECISION = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f16"}
_BLOCK = 32  # tokens of a KV cache block on a CPU (OpenVINO's CPU plug-in)
# Contexts that the kept blocks may fill: the prompt at hand, and the one before it.
_CACHED_PROMPTS = 2
_DRAFT, _MATCH = 5, 3  # tokens of a looked-up draft, and tokens that must match before it
_REPLACEMENT = "\ufffd"  # what the tokenizer gives for bytes that are not yet a character


@dataclass(frozen=True, slots=True)
class StaticShape:
    """What an NPU's model is compiled for, in tokens. `emulated`: the static pipeline runs on the
    CPU; it shows shapes, limits and cache, and nothing of the NPU's compiler, numbers or speed."""

    max_prompt: int
    max_answer: int
    emulated: bool = False

    @property
    def total(self) -> int:
        """Return how many tokens prompt and answer may have together."""
        return self.max_prompt + self.max_answer

    @property
    def properties(self) -> dict[str, Any]:
        """Return what OpenVINO's NPU pipeline is configured with."""
        emulated = {"NPUW_DEVICES": "CPU"} if self.emulated else {}
        return {"MAX_PROMPT_LEN": self.max_prompt, "MIN_RESPONSE_LEN": self.max_answer, **emulated}


class OpenVinoGenerator:
    """An opened OpenVINO GenAI pipeline. One generation runs at a time; others wait."""

    def __init__(
        self,
        folder: Path,
        pipeline: Any,
        *,
        end_tokens: Iterable[int],
        capabilities: Capabilities,
        device: str,
    ) -> None:
        """`folder`: where the pipeline was opened. `end_tokens`: tokens that end an answer."""
        self._folder, self._pipeline = folder, pipeline
        self._tokenizer = pipeline.get_tokenizer()
        self._end_tokens = frozenset(end_tokens)
        self._lock = GenerationLock()
        self.capabilities = capabilities
        self.device = device

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        device: str = "CPU",
        threads: int | None = None,
        max_context: int,
        speculate: bool = True,
        static: StaticShape | None = None,
    ) -> OpenVinoGenerator:
        """Open the IR in `folder` on `device`, which is CPU, GPU or NPU. `max_context`: tokens of
        the longest prompt with its answer. `static`: required on an NPU, and refused elsewhere.

        Raises BundleUnsupported where a package or the device is missing, or the model does not
        compile; BundleCorrupt where a file is damaged."""
        if (device == "NPU") != (static is not None):
            raise ValueError("static shapes go with the NPU, and the NPU with static shapes")
        if why := missing(device, emulated=static is not None and static.emulated):
            raise BundleUnsupported(why)
        end_tokens = read_end_tokens(folder / GENERATION_CONFIG)
        drafts = speculate and static is None
        capabilities = Capabilities(
            schema=static is None,
            drafts=drafts,
            rewinding=static is None,
            prompt_limit=static.max_prompt if static else None,
            total_limit=static.total if static else None,
        )
        dynamic = _dynamic_options(device, threads, max_context, drafts=drafts)
        options = static.properties if static else dynamic
        import openvino_genai

        with untrusted(folder):
            try:
                pipeline = openvino_genai.LLMPipeline(str(folder), device, **options)
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                raise BundleUnsupported(
                    f"{folder}: the model does not open on {device}: {_reason(error)}"
                ) from None
            return cls(
                folder,
                pipeline,
                end_tokens=end_tokens,
                capabilities=capabilities,
                device=device,
            )

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without the model's special tokens around it."""
        ids: list[int] = self._ids(text).reshape(-1).tolist()
        return ids

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has."""
        return int(self._ids(text).size)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of token ids."""
        return "".join(self._pieces(ids))

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
        """Stream an answer as `Engine.stream` does. A cancel is heard once the prompt has been read:
        OpenVINO cannot be stopped before that. Raises QuestionTooLong for a prompt over the limit
        that the target was compiled for."""
        stats = stats if stats is not None else GenerationStats()
        started = time.perf_counter()
        ids = self._ids(prompt)
        stats.prompt_tokens = ids.size
        limits = self.capabilities
        if limits.prompt_limit is not None and ids.size > limits.prompt_limit:
            raise QuestionTooLong(
                f"the prompt has {ids.size:,} tokens, this target was compiled for "
                f"{limits.prompt_limit:,}; ask with fewer passages, or with --target cpu"
            )
        total = min(max_context, limits.total_limit or max_context)
        max_tokens = min(max_new_tokens, total - ids.size)
        if max_tokens < 1:
            stats.cut = True
            return
        config = self._config(max_tokens, repetition_penalty, schema)

        def counted() -> Iterator[int]:
            for token in self._tokens(ids, config, cancel, guided=schema is not None):
                stats.tokens += 1
                stats.cut = token not in self._end_tokens
                stats.total_ms = (time.perf_counter() - started) * 1000
                if stats.tokens == 1:
                    stats.first_token_ms = stats.total_ms
                yield token

        with self._lock.hold(cancel):
            yield from self._pieces(counted())

    def read_ahead(
        self, prompt: str, *, max_context: int, cancel: threading.Event | None = None
    ) -> None:
        """Prefill a prompt, so that an answer to what begins with it starts sooner; do nothing on a
        target whose KV cache cannot be trimmed. Raises Cancelled, EngineFailed."""
        if not self.capabilities.rewinding:
            return
        ids = self._ids(prompt)[:, : max_context - 1]
        with self._lock.hold(cancel):
            raise_if_cancelled(cancel)
            if ids.size:
                for _ in self._tokens(ids, self._config(1, 1.0, None), cancel):
                    pass
            raise_if_cancelled(cancel)

    def _ids(self, text: str) -> NDArray[np.int64]:
        """Return the token ids of `text`, int64 [1, n]."""
        import numpy as np

        if not text:
            return np.zeros((1, 0), dtype=np.int64)
        with untrusted(self._folder):
            tokens = self._tokenizer.encode(text, add_special_tokens=False).input_ids
            return np.array(tokens.data, dtype=np.int64).reshape(1, -1)

    def _config(self, max_tokens: int, penalty: float, schema: str | None) -> Any:
        import openvino_genai

        config = openvino_genai.GenerationConfig()
        config.do_sample = False
        config.max_new_tokens = max_tokens
        config.repetition_penalty = penalty
        config.apply_chat_template = False
        config.stop_token_ids = set(self._end_tokens)
        if self.capabilities.drafts:
            config.num_assistant_tokens, config.max_ngram_size = _DRAFT, _MATCH
        if schema is not None:
            if not self.capabilities.schema:
                raise QuestionError(
                    f"{self.device} cannot follow a JSON schema; ask with --target cpu"
                )
            config.structured_output_config = openvino_genai.StructuredOutputConfig(
                json_schema=schema
            )
        return config

    def _tokens(
        self,
        ids: NDArray[np.int64],
        config: Any,
        cancel: threading.Event | None,
        *,
        guided: bool = False,
    ) -> Iterator[int]:
        """Yield tokens as they come. OpenVINO's call ends with the answer, so it runs in a thread
        of its own, which ends with this iterator. Raises Cancelled, EngineFailed, QuestionError."""
        import openvino
        import openvino_genai

        queue: SimpleQueue[int | None] = SimpleQueue()
        stop = threading.Event()
        status = openvino_genai.StreamingStatus

        class Streamer(openvino_genai.StreamerBase):  # type: ignore[misc]
            def write(self, tokens: int | list[int]) -> Any:
                for token in tokens if isinstance(tokens, list) else [tokens]:
                    queue.put(token)
                stopped = stop.is_set() or (cancel is not None and cancel.is_set())
                return status.CANCEL if stopped else status.RUNNING

            def end(self) -> None:
                pass

        def generate() -> None:
            try:
                with engine_errors(None):
                    self._pipeline.generate(openvino.Tensor(ids), config, Streamer())
            finally:
                queue.put(None)

        with ThreadPoolExecutor(1, "openvino") as pool:
            done = pool.submit(generate)
            try:
                while (token := queue.get()) is not None:
                    raise_if_cancelled(cancel)
                    yield token
                    if token in self._end_tokens:
                        break
                else:
                    _raise_failure(done.exception(), guided=guided)
                raise_if_cancelled(cancel)
            finally:
                stop.set()

    def _pieces(self, tokens: Iterable[int]) -> Iterator[str]:
        """Yield the text of `tokens` as soon as it is whole characters. A token is decoded behind
        the one before it, as a space may depend on what stands in front of it."""
        held: list[int] = []
        shown = ""
        for token in tokens:
            held.append(token)
            text = self._text(held)
            if len(text) > len(shown) and not text.endswith(_REPLACEMENT):
                yield text[len(shown) :]
                held = held[-1:]
                shown = self._text(held)

    def _text(self, tokens: list[int]) -> str:
        with untrusted(self._folder):
            return str(self._tokenizer.decode(tokens))


def import_openvino() -> Any:
    """Import OpenVINO GenAI and its tokenizers; return the module `openvino`. Raises ImportError.

    `openvino` imports its telemetry package where pip has installed it. A device sends nothing, so
    that package is not to be found; OpenVINO then uses a stub of its own."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino
    import openvino_genai
    import openvino_tokenizers

    assert openvino_genai and openvino_tokenizers
    return openvino


def missing(device: str, *, emulated: bool = False) -> str:
    """Return why OpenVINO GenAI cannot run on `device` here, and what to do; empty where it can."""
    try:
        openvino = import_openvino()
    except ImportError as error:
        return f'{error.name} is not installed: pip install "fieldpack[openvino]"'
    devices = openvino.Core().available_devices
    needed = "CPU" if emulated else device
    if not any(name.split(".")[0] == needed for name in devices):
        return f"OpenVINO sees no {needed} here (it sees {', '.join(devices) or 'nothing'})"
    return ""


def driver_version(device: str) -> str:
    """Return what names the driver and the processor behind `device`, for remembering that a model
    gave right answers there."""
    openvino = import_openvino()
    core = openvino.Core()
    supported = core.get_property(device, "SUPPORTED_PROPERTIES")
    names = (
        "FULL_DEVICE_NAME",
        "DEVICE_ARCHITECTURE",
        "NPU_DRIVER_VERSION",
        "NPU_COMPILER_VERSION",
    )
    known = {name: str(core.get_property(device, name)) for name in names if name in supported}
    return json.dumps({"openvino": openvino.__version__, **known}, sort_keys=True)


def read_end_tokens(path: Path) -> list[int]:
    """Return the tokens that end an answer. Raises BundleCorrupt."""
    try:
        fields: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        ends = fields["eos_token_id"]
        return [int(token) for token in (ends if isinstance(ends, list) else [ends])]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleCorrupt(f"{path}: {error}; copy the bundle again") from None


def _dynamic_options(
    device: str, threads: int | None, max_context: int, *, drafts: bool
) -> dict[str, Any]:
    import openvino_genai

    scheduler = openvino_genai.SchedulerConfig()
    scheduler.enable_prefix_caching = True
    # Without a bound the blocks of every prompt ever read are kept.
    scheduler.num_kv_blocks = _CACHED_PROMPTS * -(-max_context // _BLOCK) + 1
    scheduler.max_num_batched_tokens = max_context
    options: dict[str, Any] = {"scheduler_config": scheduler}
    if drafts:
        options["prompt_lookup"] = True
    if device == "CPU":
        options["INFERENCE_NUM_THREADS"] = threads or available_cores()
        options |= CPU_PRECISION
    return options


def _raise_failure(error: BaseException | None, *, guided: bool) -> None:
    """Raise what a generation ended with, if anything. OpenVINO compiles a schema's grammar inside
    the generation, so its failure is the schema's where one was given."""
    if error is None:
        return
    if guided and error.__cause__ is not None:
        reason = _reason(error.__cause__)
        raise QuestionError(f"the JSON schema cannot be followed: {reason}") from None
    raise error


def _reason(error: BaseException) -> str:
    """Return the last line of OpenVINO's error that says something: the first ones name its files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[-300:]
