"""Opens one IR in a process of its own and says how it fares against the reference. Runs by its
path, with OpenVINO on its import path.

Asked by `openvino_ir.probe_ir`: {"folder", "reference", "texts"}; its answer is
`openvino_ir.IrFigures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import openvino
import openvino_genai
from numpy.typing import NDArray

from fieldpack.child import answer_parent
from fieldpack.generation.openvino import CPU_PRECISION, MODEL
from fieldpack_build.export.openvino_ir import IrFigures
from fieldpack_build.export.reference_figures import figures_against, read_rows


class Question(TypedDict):
    """`folder`: of the IR. `reference`: as `reference_logits` writes it. `texts`: to encode."""

    folder: str
    reference: str
    texts: list[str]


def measure(question: Question) -> IrFigures:
    """Measure how near an IR is to the reference, and encode the texts."""
    folder, reference = Path(question["folder"]), Path(question["reference"])
    model = Reader(folder / MODEL)
    figures = figures_against(model.logits, read_rows(reference), reference)
    return {**figures, "tokens": tokens_of(folder, question["texts"])}


def tokens_of(folder: Path, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of `texts` by the IR's own tokenizer, with no token added in front."""
    tokenizer = openvino_genai.Tokenizer(str(folder))
    encoded = (tokenizer.encode(text, add_special_tokens=False).input_ids.data for text in texts)
    return [np.array(ids).reshape(-1).tolist() for ids in encoded]


class Reader:
    """A compiled IR, read a text at a time, with the precision that a device's CPU computes in."""

    def __init__(self, path: Path) -> None:
        model = openvino.Core().compile_model(path, "CPU", dict(CPU_PRECISION))
        self._request = model.create_infer_request()

    def logits(self, prompt: Sequence[int], answer: Sequence[int]) -> NDArray[np.float32]:
        """Return the logits that predict each token of `answer`, [len(answer), vocabulary]."""
        self._request.reset_state()
        read = [*prompt, *answer[:-1]]
        ids = np.array([read], dtype=np.int64)
        inputs = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "position_ids": np.arange(len(read), dtype=np.int64)[None],
            "beam_idx": np.zeros(1, dtype=np.int32),
        }
        logits = self._request.infer(inputs)["logits"]
        return np.array(logits[0, len(prompt) - 1 :], dtype=np.float32)


if __name__ == "__main__":
    answer_parent(measure)
