"""Exports a model to OpenVINO's int4 format (IR): optimum-intel converts it, nncf compresses it.
Measures what came out in a process that has OpenVINO. Knows nothing of stages, targets or bundles.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldpack.child import ChildFailed, ask_child, python
from fieldpack.generation.openvino import GENERATION_CONFIG, MODEL

from .. import toolchains
from ..errors import StageError
from ..models.precision import Candidate
from .facts import ProbeFigures

EXPORTER, RUNTIME = "optimum_intel", "openvino"  # toolchains
CHANNEL = -1  # a scale for each row of a matrix, as optimum-intel writes it
GROUPS = (128, 64, CHANNEL)  # Intel's guide names 128 or per channel for its NPUs
# What OpenVINO GenAI reads. optimum-intel also writes tokenizer files of transformers' own.
_SHIPPED = (
    MODEL,
    "openvino_model.bin",
    "openvino_tokenizer.xml",
    "openvino_tokenizer.bin",
    "openvino_detokenizer.xml",
    "openvino_detokenizer.bin",
    "config.json",
    GENERATION_CONFIG,
)


@dataclass(frozen=True, slots=True)
class Toolchains:
    """Folders of installed packages: `exporter` converts, `runtime` opens."""

    exporter: Path
    runtime: Path


@dataclass(frozen=True, slots=True)
class Rounding:
    """How an IR's weights become int4, after the recipe's own algorithm for the CPU. `calibrated`:
    by GPTQ on the training prompts, else to the nearest. `mixed`: the matrices that lose most by
    it, the same as on the CPU, are in int8."""

    calibrated: bool = False
    mixed: bool = False

    @classmethod
    def like(cls, exported: Candidate) -> Rounding:
        """Return the rounding that is most like that of the CPU's model."""
        return cls(exported.calibrated, exported.mixed)

    def name(self, group: int) -> str:
        """Return what an IR of this group size is called: its folder's name in a bundle."""
        kinds = ["gptq"] * self.calibrated + ["mixed"] * self.mixed
        return "-".join(["openvino-int4", *kinds, "channel" if group == CHANNEL else str(group)])

    def candidate(self, group: int, config: Mapping[str, Any]) -> Candidate:
        """Return the candidate as which the model is rounded before it is exported."""
        algorithm = "gptq_mixed" if self.mixed else "gptq"
        return Candidate("int4", algorithm, _block(group, config))


def divides(group: int, config: Mapping[str, Any]) -> bool:
    """Return whether every row of a model of this config.json falls into whole groups. Where one
    does not, nncf refuses ("InvalidGroupSizeError")."""
    if group == CHANNEL:
        return True
    heads = int(config["num_attention_heads"])
    head = int(config.get("head_dim") or int(config["hidden_size"]) // heads)
    widths = (int(config["hidden_size"]), int(config["intermediate_size"]), heads * head)
    return all(width % group == 0 for width in widths)


def rounded_as(group: int, config: Mapping[str, Any]) -> Candidate:
    """Return the candidate whose rounding in torch costs what this export may cost: symmetric int4
    by groups, to the nearest, the output matrix in int8."""
    return Candidate("int4", "k_quant_last", _block(group, config))


def _block(group: int, config: Mapping[str, Any]) -> int:
    """Return how many weights share a scale. A row that is one group is no longer than the model's
    widest."""
    widest = max(int(config["hidden_size"]), int(config["intermediate_size"]))
    return widest if group == CHANNEL else group


def build_ir(
    source: Path,
    folder: Path,
    *,
    group: int,
    mixed: bool = False,
    ends: Sequence[int],
    tools: Toolchains,
) -> None:
    """Export the model in `source` (as transformers writes it, in float32) to `folder`. `group`:
    weights that share a scale. `mixed`: the matrices that lose most are in int8. `ends`: tokens
    that end an answer. Raises StageError."""
    partial = folder.with_name(folder.name + ".building")
    for old in (partial, folder):
        shutil.rmtree(old, ignore_errors=True)
    command = [
        "-m",
        "optimum.commands.optimum_cli",
        "export",
        "openvino",
        "-m",
        str(source),
        "--task",
        "text-generation-with-past",
        "--weight-format",
        "fp32",
        str(partial),
    ]
    toolchains.run(tools.exporter, command, tools.runtime)
    if missing := [name for name in _SHIPPED if not (partial / name).is_file()]:
        raise StageError(f"optimum-intel wrote no {missing[0]}; the stage's log has its words")
    for path in sorted(partial.iterdir()):
        if path.name not in _SHIPPED:
            path.unlink()
    script = Path(__file__).with_name("openvino_compress.py")
    question = {"model": str(partial / MODEL), "group": group, "mixed": mixed}
    ask_in_openvino(tools, script, question, exporting=True)
    # The tokens that end an answer on the device's other engines end it here, too.
    settings = json.loads((partial / GENERATION_CONFIG).read_text(encoding="utf-8"))
    settings["eos_token_id"] = list(ends)
    (partial / GENERATION_CONFIG).write_text(
        json.dumps(settings, indent=1) + "\n", encoding="utf-8"
    )
    partial.rename(folder)


class IrFigures(ProbeFigures):
    """What `openvino_probe.py` measures of an IR. `tokens`: the token ids of each text by its own
    tokenizer."""

    tokens: list[list[int]]


def probe_ir(
    folder: Path, reference: Path, texts: Sequence[str], *, tools: Toolchains
) -> IrFigures:
    """Measure an IR against the reference and encode `texts` with its tokenizer, in a process of
    its own. Raises StageError if it does not open."""
    question = {"folder": str(folder), "reference": str(reference), "texts": list(texts)}
    script = Path(__file__).with_name("openvino_probe.py")
    figures: IrFigures = ask_in_openvino(tools, script, question)
    return figures


def static_failure(folder: Path, max_prompt: int, max_answer: int, *, tools: Toolchains) -> str:
    """Return why the IR in `folder` does not open and answer as an NPU's static pipeline, emulated on
    the CPU in a process of its own; empty where it does. The shapes are in tokens."""
    question = {"folder": str(folder), "max_prompt": max_prompt, "max_answer": max_answer}
    script = Path(__file__).with_name("openvino_static.py")
    try:
        answer: str = ask_in_openvino(tools, script, question)
    except StageError as error:  # it took the process with it
        return str(error)
    return answer


def ask_in_openvino(
    tools: Toolchains, script: Path, question: Mapping[str, object], *, exporting: bool = False
) -> Any:
    """Put a question to a script of ours in a process that can import OpenVINO, and with
    `exporting` nncf too, and return its answer (`fieldpack.child.ask_child`). Raises StageError
    with the script's last words."""
    packages = [str(tools.exporter)] * exporting + [str(tools.runtime)]
    paths = [*packages, *filter(None, [os.environ.get("PYTHONPATH")])]
    changes = {"PYTHONPATH": os.pathsep.join(paths)}
    try:
        return ask_child(python(script), question, changes=changes)
    except ChildFailed as failed:
        raise StageError(f"does not run: {failed}") from None
