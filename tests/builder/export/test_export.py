"""How the precision is chosen: the pure choice, trials that are interrupted, and the real stage on
a toy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fieldpack
from fieldpack.bundle.manifest import read_manifest
from fieldpack_build.errors import CheckFailed, StageError
from fieldpack_build.export import Candidate, build_onnx
from fieldpack_build.export.choose import Limits, choose, degradation, refusal, table
from fieldpack_build.export.search import CandidateSearch, probe
from fieldpack_build.models.precision import candidate, parse, unfit
from fieldpack_build.pipeline.task import Task
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.recipe.schema import CANDIDATES
from fieldpack_build.stages import export
from toys import Project, build_here

pytest_plugins = ["toys"]

Figures = Mapping[str, Any]

# --- the choice -----------------------------------------------------------------------------------

FIGURES = st.fixed_dictionaries(
    {
        "name": st.uuids().map(str),
        "size_mb": st.floats(1, 1000),
        "memory_mb": st.floats(1, 1000),
        "degradation": st.floats(0, 2) | st.just(float("nan")),
    },
    optional={"failed": st.just("does not open")},
)
LIMIT = st.none() | st.floats(0, 1000)


@given(st.lists(FIGURES, max_size=8), LIMIT, LIMIT, st.none() | st.floats(0, 2))
def test_the_choice_is_the_smallest_within_the_limits(
    candidates: list[Figures], size: float | None, memory: float | None, worse: float | None
) -> None:
    def fits(f: Figures) -> bool:
        within = ((f["size_mb"], size), (f["memory_mb"], memory), (f["degradation"], worse))
        return "failed" not in f and all(limit is None or value <= limit for value, limit in within)

    chosen = choose(candidates, Limits(size, memory, worse))
    assert (chosen is None) == (not any(map(fits, candidates)))
    if chosen is not None:
        assert fits(chosen) and chosen["size_mb"] == min(
            f["size_mb"] for f in candidates if fits(f)
        )


def test_degradation_is_the_worse_of_two_perplexities() -> None:
    assert degradation({"perplexity_ratio": 1.08, "kl": 0.01}) == 0.08
    assert degradation({"perplexity_ratio": 0.97, "kl": 0.0487902}) == pytest.approx(0.05, abs=1e-4)
    assert degradation({"perplexity_ratio": 1.0, "kl": 1e6}) > 1e40
    assert (
        refusal({"degradation": float("nan"), "size_mb": 1.0}, Limits(degradation=1e9)) is not None
    )


def test_names_and_candidates_are_one_another() -> None:
    assert [parse(name).name for name in CANDIDATES] == list(CANDIDATES)
    assert candidate("int8", "k_quant", 64) == Candidate("int8", None, 64)
    assert candidate("fp32", "rtn", 32) == Candidate("fp32")


def test_what_the_builder_would_fail_on_is_known_before(tmp_path: Path) -> None:
    """SmolLM2-135M: 9 heads of 64."""
    config = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(StageError, match="rows of 576, 5 blocks"):
        build_onnx(tmp_path, tmp_path / "out", parse("int4-k_quant-128"), tmp_path / "work")
    fit = [name for name in CANDIDATES if unfit(parse(name), config) is None]
    kinds = ("k_quant", "k_quant_last", "k_quant_mixed")
    assert set(CANDIDATES) - set(fit) == {
        f"int4-{kind}-{block}" for kind in kinds for block in (128, 64)
    }


# --- trials ---------------------------------------------------------------------------------------


class Bench:
    """Candidates that are folders of so many bytes, and figures that are given."""

    def __init__(
        self, work: Path, figures: Mapping[str, tuple[int, float] | str], limits: Limits
    ) -> None:
        self.built: list[str] = []
        self._figures = figures
        self._last = ""
        self.trial = CandidateSearch(work, limits, self._build, self._measure)

    def run(self) -> list[Figures]:
        return self.trial.run([parse(name) for name in self._figures], lambda text: None)

    def _build(self, tried: Candidate, folder: Path) -> None:
        self.built.append(tried.name)
        self._last = tried.name
        spec = self._figures[tried.name]
        if isinstance(spec, str):
            raise StageError(spec)
        folder.mkdir()
        (folder / "model.onnx").write_bytes(bytes(spec[0] * 1000_000))

    def _measure(self, tried: Candidate, folder: Path) -> Figures:
        spec = self._figures[self._last]
        if spec[1] == -1:
            raise KeyboardInterrupt
        return {"memory_mb": 10.0, "perplexity_ratio": 1 + float(spec[1]), "kl": 0.0}


SEEN: dict[str, tuple[int, float] | str] = {
    "int4-rtn-128": (1, 0.5),
    "int4-k_quant-128": (2, 0.04),
    "int4-k_quant-32": (3, 0.01),
    "int8-32": "the builder died",
}


def test_the_winner_stays_and_the_others_leave_the_disk(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SEEN, Limits(degradation=0.05))
    results = bench.run()
    assert [figures["name"] for figures in results] == list(SEEN)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["int4-k_quant-128"]
    reasons = [refusal(figures, bench.trial.limits) for figures in results]
    assert reasons == ["0.5, export.max_degradation is 0.05", None, None, "the builder died"]


def test_what_is_too_large_is_not_measured(tmp_path: Path) -> None:
    results = Bench(tmp_path, SEEN, Limits(size_mb=2.0)).run()
    assert ["degradation" in figures for figures in results] == [True, True, False, False]
    assert refusal(results[2], Limits(size_mb=2.0)) == "3 MB, export.max_size_mb is 2"


def test_an_interrupted_trial_tries_no_candidate_twice(tmp_path: Path) -> None:
    broken = Bench(tmp_path, {**SEEN, "int4-k_quant-32": (3, -1)}, Limits(degradation=0.05))
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    again = Bench(tmp_path, SEEN, Limits(degradation=0.05))
    results = again.run()
    assert again.built == ["int4-k_quant-32", "int8-32"]
    assert [f.get("degradation") for f in results] == [0.5, 0.04, 0.01, None]
    assert again.trial.folder("int4-k_quant-128").is_dir()


def test_a_winner_whose_folder_is_gone_is_built_again(tmp_path: Path) -> None:
    Bench(tmp_path, SEEN, Limits(degradation=0.05)).run()
    (tmp_path / "int4-k_quant-128" / "model.onnx").unlink()
    (tmp_path / "int4-k_quant-128").rmdir()
    again = Bench(tmp_path, SEEN, Limits(degradation=0.05))
    again.run()
    assert again.built == ["int4-k_quant-128"] and again.trial.folder("int4-k_quant-128").is_dir()


def test_a_file_that_does_not_open_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "genai_config.json").write_text('{"model": {}}', encoding="utf-8")
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    (tmp_path / "reference.json").write_text("[]", encoding="utf-8")
    with pytest.raises(StageError, match=r"does not open or run: .*the model does not open here"):
        probe(tmp_path, tmp_path, max_context=64, new_tokens=2)


# --- the stage ------------------------------------------------------------------------------------

AUTO = (
    "export.precision=auto",
    'export.candidates=["int8-32", "int4-rtn-32"]',
    "export.max_degradation=0.02",
)


def test_auto_takes_what_loses_little_and_the_baseline_takes_the_same(
    toy: Project, built: dict[str, Any]
) -> None:
    made = build_here(toy, *AUTO)
    chosen, baseline = made.results["export"], made.results["baseline"]
    refused = {figures["name"]: figures["refused"] for figures in chosen["candidates"]}
    assert refused["int8-32"] is None and "export.max_degradation is 0.02" in refused["int4-rtn-32"]
    assert (chosen["candidate"], baseline["candidate"]) == ("int8-32", "int8-32")
    assert (
        chosen["perplexity_onnx"] != baseline["perplexity_onnx"] and chosen["same_next_token"] > 0.8
    )
    assert chosen["texts"] == 6 and chosen["memory_mb"] > 20
    assert read_manifest(made.bundle).compat["precision"] == "int8"
    page = (made.bundle / "report" / "report.html").read_text(encoding="utf-8")
    assert "int8-32 (ships)" in page and "at most 0.02 worse" in page
    report = json.loads((made.bundle / "report" / "report.json").read_text(encoding="utf-8"))
    assert [c["name"] for c in report["model"]["export"]["candidates"]] == [
        "int8-32",
        "int4-rtn-32",
    ]
    with fieldpack.open(made.bundle) as expert:
        assert expert.ask("How far is the lamp seen?").timings.tokens > 0


def test_no_candidate_within_the_limits_is_an_error_that_lists_them(
    toy: Project, built: dict[str, Any], tmp_path: Path
) -> None:
    recipe = load_recipe(
        toy.recipe,
        ["export.precision=auto", 'export.candidates=["int4-rtn-32"]', "export.max_size_mb=0.01"],
    )
    inputs = {
        name: toy.store.folder(name, built["keys"][name])
        for name in ("base", "merge", "embedder", "knowledge")
    }
    with pytest.raises(
        CheckFailed, match=r"int4-rtn-32 +0\.\d MB +0\.\d+ MB, export\.max_size_mb is 0\.01"
    ):
        export.run(Task(recipe, inputs, tmp_path, toy.store))


def test_the_table_names_what_made_no_file() -> None:
    assert "no file" in table([{"name": "fp16", "failed": "why"}], Limits())
