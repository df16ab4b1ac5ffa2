"""LongRoPE (Ding et al. 2024, https://arxiv.org/abs/2402.13753): chooses, for a model with two sets
of rotary factors, the set that a text is read with. Knows nothing of caches, text or decoding.

The short factors hold for a text of at most `original_length` tokens, the long ones for all of a
longer text, its first keys included: transformers does it so, and the models were trained so. The
KV cache holds rotated keys, and a cache with keys of both sets gives wrong answers without an
error. So the exported model takes the choice as an input of its graph, and whoever makes a
generator says how long the text is.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BundleCorrupt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILE = "longrope.json"  # beside genai_config.json, whose reader refuses keys that it does not know


@dataclass(frozen=True, slots=True)
class LongRope:
    """How a model takes the choice. `input`: the graph's input, int64 [1], 1 for the long factors;
    `original_length`: tokens of the longest text that is read with the short ones."""

    input: str
    original_length: int

    @classmethod
    def read(cls, folder: Path) -> LongRope | None:
        """Return what the exported model in `folder` says; None where it has one set of factors.
        Raises BundleCorrupt."""
        path = folder / FILE
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            return cls(str(fields["input"]), int(fields["original_length"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise BundleCorrupt(f"{path}: {error}; copy the bundle again") from None

    def write(self, folder: Path) -> None:
        """Write longrope.json into `folder`."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def is_long(self, length: int) -> bool:
        """Return whether a text of `length` tokens is read with the long factors."""
        return length > self.original_length


def new_generator(model: Any, params: Any, rope: LongRope | None, length: int) -> Any:
    """Return an onnxruntime-genai generator with an empty cache for a text of `length` tokens: all
    that is appended is rotated with that length's factors. Raises RuntimeError as genai does."""
    import onnxruntime_genai as og

    generator = og.Generator(model, params)
    if rope is not None:
        generator.set_model_input(rope.input, _flag(long=rope.is_long(length)))
    return generator


@cache
def _flag(*, long: bool) -> NDArray[np.int64]:
    """Return the graph's input. The array is never freed: genai (0.18) borrows its memory, and a
    temporary array changed the choice at random."""
    import numpy as np

    return np.array([int(long)], dtype=np.int64)
