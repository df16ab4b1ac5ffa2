"""Opens one IR in a process of its own and says how it fares against the reference. Runs by its path,
with OpenVINO on its import path.

stdin: {"folder", "reference"}; stdout: one JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from fieldpack_build.export.reference_figures import figures_against, read_rows


def main() -> None:
    spec = json.loads(sys.stdin.readline())
    folder, reference = Path(spec["folder"]), Path(spec["reference"])
    model = Reader(folder / "openvino_model.xml")
    print(json.dumps(figures_against(model.logits, read_rows(reference), reference)))


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
