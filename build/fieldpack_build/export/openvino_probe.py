"""Opens one IR in a process of its own and says how it fares against the reference. Runs by its path,
with OpenVINO on its import path.

stdin: {"folder", "reference", "texts"}; stdout: one JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai

from fieldpack_build.export.reference_figures import figures_against, read_rows


def main() -> None:
    spec = json.loads(sys.stdin.readline())
    folder, reference = Path(spec["folder"]), Path(spec["reference"])
    model = Reader(folder / "openvino_model.xml")
    figures = figures_against(model.logits, read_rows(reference), reference)
    print(json.dumps({**figures, "tokens": tokens_of(folder, spec["texts"])}))


def tokens_of(folder: Path, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of `texts` by the IR's own tokenizer, with no token added in front."""
    tokenizer = openvino_genai.Tokenizer(str(folder))
    encoded = (tokenizer.encode(text, add_special_tokens=False).input_ids.data for text in texts)
    return [np.array(ids).reshape(-1).tolist() for ids in encoded]


class Reader:
    """A compiled IR, read a text at a time. Its shapes and weights are the device's; its precision is
    what OpenVINO chooses for this CPU."""

    def __init__(self, path: Path) -> None:
        self._request = openvino.Core().compile_model(path, "CPU").create_infer_request()

    def logits(self, prompt: Sequence[int], answer: Sequence[int]) -> Any:
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
    main()
