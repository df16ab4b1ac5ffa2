"""Builds candidates one after the other, opens and measures each, keeps the best so far and
remembers what it measured: an interrupted export does not try again what it has tried. Knows
nothing of how a candidate is built or judged.

<work>/<name>.json      what was measured of a candidate
<work>/<name>/          the exported model, of the best one so far only
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from fieldpack.child import ChildFailed, ask_child, python

from ..errors import StageError
from ..models.precision import Candidate
from .build_onnx import folder_mb
from .choose import Limits, choose, degradation, refusal
from .facts import CandidateFigures, ProbeFigures

Build: TypeAlias = Callable[[Candidate, Path], None]
Measure: TypeAlias = Callable[[Candidate, Path], CandidateFigures]


@dataclass(frozen=True, slots=True)
class CandidateSearch:
    """A search for the best of some candidates, in the folder `work`. `build(candidate, folder)`
    and `measure(candidate, folder)` raise StageError where the candidate is no good."""

    work: Path
    limits: Limits
    build: Build
    measure: Measure

    def run(
        self, candidates: Sequence[Candidate], on_progress: Callable[[str], None]
    ) -> list[CandidateFigures]:
        """Return what was measured of each, in the candidates' order; the best one's folder is
        there afterwards."""
        self.work.mkdir(parents=True, exist_ok=True)
        results: list[CandidateFigures] = []
        for number, candidate in enumerate(candidates, 1):
            figures = self._remembered(candidate, results)
            if figures is None:
                on_progress(f"candidate {number} of {len(candidates)}: {candidate.name}")
                figures = self._try(candidate)
                # Beside, then renamed: a half-written one would stop the next run.
                half = self.work / f"{candidate.name}.half"
                half.write_text(json.dumps(figures, indent=1), encoding="utf-8")
                half.rename(half.with_suffix(".json"))
            results.append(figures)
            best = choose(results, self.limits)
            for loser in results:
                if loser is not best:
                    shutil.rmtree(self.folder(loser["name"]), ignore_errors=True)
        return results

    def folder(self, name: str) -> Path:
        """Return where the exported model of a candidate is, or would be."""
        return self.work / name

    def _remembered(
        self, candidate: Candidate, before: Sequence[CandidateFigures]
    ) -> CandidateFigures | None:
        """Read what an earlier run measured; None where it did not, or the candidate would be the
        best and its folder is gone."""
        path = self.work / f"{candidate.name}.json"
        if not path.is_file():
            return None
        figures: CandidateFigures = json.loads(path.read_text(encoding="utf-8"))
        best = choose([*before, figures], self.limits)
        return figures if best is not figures or self.folder(candidate.name).is_dir() else None

    def _try(self, candidate: Candidate) -> CandidateFigures:
        """Build a candidate, and measure it unless it is too large: nobody needs to know how good
        such a file is."""
        partial = self.work / f"{candidate.name}.building"
        shutil.rmtree(partial, ignore_errors=True)
        figures: CandidateFigures = {"name": candidate.name, "precision": candidate.precision}
        try:
            self.build(candidate, partial)
            figures["size_mb"] = folder_mb(partial)
            if refusal(figures, self.limits) is None:
                figures |= self.measure(candidate, partial)
                if figures["kl"] is None:
                    raise StageError(
                        "its logits are not numbers (NaN or infinite): its weights are not, or it "
                        "overflows"
                    )
                figures["degradation"] = degradation(figures)
        except StageError as error:
            figures["failed"] = str(error)
        shutil.rmtree(self.folder(candidate.name), ignore_errors=True)
        if partial.is_dir():
            partial.rename(self.folder(candidate.name))
        return figures


def probe(folder: Path, reference: Path, *, max_context: int, new_tokens: int) -> ProbeFigures:
    """Measure an exported model in a process of its own, `probe.py`. Raises StageError if it does
    not open or its process dies of it."""
    question = {
        "folder": str(folder),
        "reference": str(reference),
        "max_context": max_context,
        "new_tokens": new_tokens,
    }
    try:
        figures: ProbeFigures = ask_child(python(Path(__file__).with_name("probe.py")), question)
    except ChildFailed as failed:
        raise StageError(f"does not open or run: {failed}") from None
    return figures
