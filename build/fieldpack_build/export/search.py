"""Builds candidates one after the other, opens and measures each, keeps the best so far and
remembers what it found: an interrupted export does not try again what it has tried. Knows nothing
of how a candidate is built or judged.

<work>/<name>.json      what was found of a candidate
<work>/<name>/          the exported model, of the best one so far only
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldpack.child import python, safe_environment

from ..errors import StageError
from ..models.precision import Candidate
from . import choose
from .build_onnx import folder_mb
from .choose import Limits

Figures = Mapping[str, Any]
Build = Callable[[Candidate, Path], None]
Measure = Callable[[Candidate, Path], Figures]


@dataclass(frozen=True, slots=True)
class CandidateSearch:
    """`build(candidate, folder)` raises StageError, `measure(candidate, folder)` too."""

    work: Path
    limits: Limits
    build: Build
    measure: Measure

    def run(self, candidates: Sequence[Candidate], told: Callable[[str], None]) -> list[Figures]:
        """What was found of each, in the candidates' order; the best one's folder is there
        afterwards."""
        self.work.mkdir(parents=True, exist_ok=True)
        found: list[Figures] = []
        for number, candidate in enumerate(candidates, 1):
            figures = self._remembered(candidate, found)
            if figures is None:
                told(f"candidate {number} of {len(candidates)}: {candidate.name}")
                figures = self._try(candidate)
                _write(self.work / f"{candidate.name}.json", figures)
            found.append(figures)
            self._drop_losers(found)
        return found

    def folder(self, name: str) -> Path:
        return self.work / name

    def _remembered(self, candidate: Candidate, before: Sequence[Figures]) -> Figures | None:
        """None where it was not tried, or its folder is wanted and gone."""
        path = self.work / f"{candidate.name}.json"
        if not path.is_file():
            return None
        figures: Figures = json.loads(path.read_text(encoding="utf-8"))
        best = choose.choose([*before, figures], self.limits)
        return figures if best is not figures or self.folder(candidate.name).is_dir() else None

    def _try(self, candidate: Candidate) -> Figures:
        half = self.work / f"{candidate.name}.building"
        shutil.rmtree(half, ignore_errors=True)
        figures: dict[str, Any] = {"name": candidate.name, "precision": candidate.precision}
        try:
            self.build(candidate, half)
            figures["size_mb"] = folder_mb(half)
            if (
                choose.refusal(figures, self.limits) is None
            ):  # nobody needs to know how good a file is that is too large
                figures |= self.measure(candidate, half)
                if figures["kl"] is None:
                    raise StageError(
                        "its logits are not numbers (NaN or infinite): its weights are not, or it "
                        "overflows"
                    )
                figures["degradation"] = choose.degradation(figures)
        except StageError as error:
            figures["failed"] = str(error)
        shutil.rmtree(self.folder(candidate.name), ignore_errors=True)
        if half.is_dir():
            half.rename(self.folder(candidate.name))
        return figures

    def _drop_losers(self, found: Sequence[Figures]) -> None:
        best = choose.choose(found, self.limits)
        for figures in found:
            if figures is not best:
                shutil.rmtree(self.folder(figures["name"]), ignore_errors=True)


def probe(folder: Path, reference: Path, *, max_context: int, new_tokens: int) -> Figures:
    """What `probe.py` says of an exported model. Raises StageError if it does not open or its
    process dies of it."""
    spec = {
        "folder": str(folder),
        "reference": str(reference),
        "max_context": max_context,
        "new_tokens": new_tokens,
    }
    script = Path(__file__).with_name("probe.py")
    given = json.dumps(spec) + "\n"
    done = subprocess.run(
        python(script), env=safe_environment(), input=given, capture_output=True, text=True
    )
    sys.stderr.write(done.stderr)
    if done.returncode == 0:
        figures: Figures = json.loads(done.stdout.splitlines()[-1])
        return figures
    last = [line for line in done.stderr.splitlines() if line.strip()] or ["no word"]
    raise StageError(
        f"does not open or run: {last[-1].strip()[:300]} (exit code {done.returncode})"
    )


def _write(path: Path, figures: Figures) -> None:
    """Beside, then renamed: a half-written one would stop the next run."""
    half = path.with_suffix(".half")
    half.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    half.rename(path)
