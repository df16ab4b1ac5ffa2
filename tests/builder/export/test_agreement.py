"""How near an export is to torch: the comparison, what rounding explains, and exports that compute
something else."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fakes
from fieldpack_build.export import build_onnx, choose
from fieldpack_build.export.agreement import Agreement, allowed, compare
from fieldpack_build.export.choose import Limits
from fieldpack_build.export.held_out import Sample
from fieldpack_build.export.reference_logits import cost_of_rounding, write_reference
from fieldpack_build.export.search import probe
from fieldpack_build.models.precision import parse
from fieldpack_build.recipe.schema import Export
from fieldpack_build.stages.export import agreement_limits

PRECISIONS = ("fp32", "int8-32", "int4-rtn-32")


# --- the comparison -------------------------------------------------------------------------------


def test_a_model_agrees_with_itself_and_not_with_another() -> None:
    rng = np.random.default_rng(0)
    full, other = rng.normal(size=(2, 40, 100)).astype(np.float32)
    assert compare([(full, full)]).same_next_token == 1 and compare([(full, full)]).kl == 0
    measured = compare([(full, other), (full, full)])
    assert (measured.positions, 0.45 < measured.same_next_token < 0.6) == (80, True)
    assert 0.2 < measured.kl < 1


def test_two_logits_that_are_level_are_no_disagreement() -> None:
    full = np.zeros((1, 4), dtype=np.float32)
    full[0, :2] = 10, np.nextafter(np.float32(10), np.float32(0))
    other = full[:, [1, 0, 2, 3]]
    assert compare([(full, other)]).different == 0
    full[0, 1] = 9.99
    assert compare([(full, full[:, [1, 0, 2, 3]])]).different == 1


def test_what_is_not_a_number_agrees_with_nothing() -> None:
    full = np.ones((2, 4), dtype=np.float32)
    broken = full.copy()
    broken[1, 2] = np.nan
    measured = compare([(full, broken)])
    assert (measured.finite, measured.different) == (False, 1)


def test_where_rounding_changes_no_token_three_may_change() -> None:
    limits = allowed(Agreement(positions=300, different=0, kl=0.0, rounding_kl=1e-8))
    assert limits == {"max_kl": 1e-8, "min_same_next_token": 0.99}
    rounded = allowed(Agreement(positions=300, different=30, kl=0.1, rounding_kl=0.0))
    assert rounded["max_kl"] == pytest.approx(0.225)
    assert rounded["min_same_next_token"] == pytest.approx(1 - (45 + 3 * 45**0.5) / 300)


def test_a_small_count_of_changed_tokens_does_not_set_the_limit_alone() -> None:
    """Two roundings of one size change other tokens, and on another CPU or of another sum other
    tokens again."""
    rng = np.random.default_rng(0)
    full = rng.normal(size=(160, 400)).astype(np.float32)
    rounded, exported = (full + rng.normal(size=(2, 160, 400), scale=0.03)).astype(np.float32)
    measured = compare([(full, rounded)], expect=True)
    counts = [
        compare([(full, full + rng.normal(size=full.shape, scale=0.03))]).different
        for _ in range(40)
    ]
    assert measured.expected is not None and np.mean(counts) < measured.expected < 2.5 * np.mean(
        counts
    )
    min_same = allowed(replace(measured, different=min(counts)))["min_same_next_token"]
    assert (
        compare([(full, exported)]).same_next_token > min_same and 1 - max(counts) / 160 > min_same
    )
    assert (
        compare([(full, full + rng.normal(size=full.shape, scale=0.15))]).same_next_token < min_same
    )


def test_the_recipe_may_set_both_limits() -> None:
    rounding = {"max_kl": 0.2, "min_same_next_token": 0.8}
    assert agreement_limits(Export(), rounding) == rounding
    assert agreement_limits(Export(max_kl=0, min_same_next_token=0.99), rounding) == {
        "max_kl": 0,
        "min_same_next_token": 0.99,
    }


def test_the_next_step_depends_on_the_precision_and_the_cause() -> None:
    within = {
        "kl": 0.1,
        "same_next_token": 0.9,
        "positions": 300,
        "rounding": {"kl": 0.1, "same_next_token": 0.9, "max_kl": 0.2, "min_same_next_token": 0.8},
    }
    assert choose.advice({**within, "precision": "int4"}) == "try export.precision auto or int8"
    assert "raise the limit" in choose.advice({**within, "precision": "fp32"})
    assert "another precision will not help" in choose.advice(
        {**within, "precision": "int4", "kl": 0.3}
    )
    strict = {**within, "size_mb": 1.0, "max_kl": 0.05, "min_same_next_token": 0.95}
    assert choose.refusal(strict, Limits()) == (
        "KL from torch 0.1 nats, export.max_kl is 0.05; 90.0% of next tokens are torch's, "
        "export.min_same_next_token is 95.0%"
    )


# --- real exports ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.write_tiny_model(tmp_path_factory.mktemp("agreement") / "llama")


@pytest.fixture(scope="module")
def reference(model: Path) -> Path:
    rng = np.random.default_rng(3)
    rows = [rng.integers(5, 380, size=112).tolist() for _ in range(4)]
    samples = [Sample("The pump is serviced every 400 hours.", row[:80], row[80:]) for row in rows]
    folder = model.parent / "reference"
    write_reference(
        model,
        samples,
        folder,
        ends=(),
        max_own_tokens=16,
        candidates=[parse(name) for name in PRECISIONS],
    )
    return folder


def _export(source: Path, name: str, reference: Path, out: Path) -> dict[str, Any]:
    build_onnx(source, out / "model", parse(name), out / "work")
    rounding = cost_of_rounding(reference, parse(name))
    measured = probe(out / "model", reference, max_context=256, new_tokens=2)
    return {
        **measured,
        "precision": parse(name).precision,
        "rounding": rounding,
        **agreement_limits(Export(), rounding),
    }


@pytest.mark.parametrize("name", PRECISIONS)
def test_an_export_is_as_near_to_torch_as_its_rounding_is(
    model: Path, reference: Path, tmp_path: Path, name: str
) -> None:
    figures = _export(model, name, reference, tmp_path)
    assert choose.refusal(figures, Limits()) is None
    if name == "fp32":
        assert figures["same_next_token"] == 1 and figures["kl"] < 1e-7
    else:
        assert figures["kl"] > figures["rounding"]["kl"] / 4, (
            "the rounding in torch is of the size of the export's"
        )


@pytest.mark.parametrize("name", PRECISIONS)
def test_an_export_that_computes_something_else_is_refused(
    model: Path, reference: Path, tmp_path: Path, name: str
) -> None:
    """Its rope turns at another speed than torch's. The weights are random, so that the right
    answers are no likelier in the one than in the other: the perplexity ratio says that all is
    well."""
    spoilt = shutil.copytree(model, tmp_path / "spoilt")
    config = json.loads((spoilt / "config.json").read_text(encoding="utf-8"))
    config["rope_parameters"]["rope_theta"] = 100.0
    (spoilt / "config.json").write_text(json.dumps(config), encoding="utf-8")
    figures = _export(spoilt, name, reference, tmp_path)
    assert figures["perplexity_ratio"] < Export().max_perplexity_ratio
    assert "KL from torch" in (choose.refusal(figures, Limits()) or "")
    assert choose.computes_something_else(figures)
    assert "another precision will not help" in choose.advice(figures)
