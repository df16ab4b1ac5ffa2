"""The recipe's `device`: what fits it is solved from the model's shape, before anything is built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import fakes
from fieldpack_build.check import check_sources
from fieldpack_build.cli import cli
from fieldpack_build.device_budget import Weights, solve
from fieldpack_build.errors import RecipeError
from fieldpack_build.models.precision import parse
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.recipe.schema import CANDIDATES
from toys import write_tiny_embedder

SMOLLM2 = {
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "intermediate_size": 1536,
    "vocab_size": 49152,
}
RECIPE = """\
name: tiny
version: 1.0.0
base: {model: ./model}
knowledge: {documents: documents, embedder: {model: ./embedder}, chunk: {tokens: 64}}
export: {max_context: 512}
answer: {system: Answer from the passages., passages: 3, max_answer_tokens: 64}
"""


@pytest.mark.parametrize(
    ("name", "measured"),
    # The files that genai's builder wrote for SmolLM2-135M: README, "Precision".
    [("int4-rtn-32", 83), ("int4-k_quant_last-32", 99), ("int4-k_quant_mixed-32", 109)],
)
def test_sizes_are_those_that_were_built(name: str, measured: float) -> None:
    weights = Weights.of(SMOLLM2, tied=True)
    assert weights.total == pytest.approx(134.5e6, rel=0.01)
    assert weights.size_mb(parse(name)) == pytest.approx(measured, rel=0.1)


def test_every_candidate_has_a_size_between_its_neighbours() -> None:
    weights = Weights.of(SMOLLM2, tied=True)
    sizes = {name: weights.size_mb(parse(name)) for name in CANDIDATES}
    assert sizes["int4-rtn-32"] < sizes["int4-gptq-32"] < sizes["int4-gptq_mixed-32"]
    assert sizes["int4-gptq_mixed-32"] < sizes["int4-k_quant_mixed-32"] < sizes["int8-32"]
    assert min(sizes.values()) == sizes["int4-rtn-128"]
    assert max(sizes.values()) == sizes["fp32"]


def test_embeddings_that_are_not_tied_are_kept_in_eight_bits() -> None:
    tied, apart = (Weights.of(SMOLLM2, tied=one) for one in (True, False))
    more = apart.size_mb(parse("int4-rtn-32")) - tied.size_mb(parse("int4-rtn-32"))
    assert more == pytest.approx(49152 * 576 * 9 / 8 / 1e6)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe whose base has SmolLM2's shape in its config.json, and no weights worth the name."""
    fakes.write_tiny_model(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **SMOLLM2, "head_dim": 64}))
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.md").write_text("# A\n\nIt costs 4.\n")
    write_tiny_embedder(tmp_path / "embedder")
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    return path


def solved(path: Path, device: str):  # type: ignore[no-untyped-def]
    solution = solve(load_recipe(path, [f"device={device}"]), None)
    assert solution
    return solution


def test_what_fits_is_left_as_it_is(recipe: Path) -> None:
    solution = solved(recipe, "{ram_mb: 4000, disk_mb: 4000, tokens_per_s: 1}")
    assert not solution.problem and solution.best == solution.written
    assert solve(load_recipe(recipe), None) is None


def test_memory_makes_the_export_smaller_before_it_costs_passages(recipe: Path) -> None:
    whole = solved(recipe, "{ram_mb: 4000}").written
    tight = solved(recipe, f"{{ram_mb: {whole.ram_mb - 30}}}")
    assert "device.ram_mb" in tight.problem
    assert tight.best.ram_mb <= whole.ram_mb - 30 and tight.best.passages == 3
    assert tight.best.precision != whole.precision
    hopeless = solved(recipe, "{ram_mb: 100}")
    assert hopeless.best is None and hopeless.overrides() == []


def test_what_is_said_solves_the_problem(recipe: Path) -> None:
    """The settings that the advice names fit, when the recipe is read with them."""
    whole = solved(recipe, "{ram_mb: 4000}").written
    for device in (
        f"{{ram_mb: {whole.ram_mb - 40}}}",
        f"{{disk_mb: {whole.disk_mb - 20}}}",
        f"{{tokens_per_s: {whole.tokens_per_s * 1.1}}}",
    ):
        settings = [f"device={device}", *solved(recipe, device).overrides()]
        again = solve(load_recipe(recipe, settings), None)
        assert again and not again.problem, device


def test_check_refuses_and_says_what_fits(recipe: Path) -> None:
    whole = solved(recipe, "{ram_mb: 4000}").written
    limit = f"device={{ram_mb: {whole.ram_mb - 30}}}"
    with pytest.raises(RecipeError, match=r"this fits: int4-.* --set export.precision=int4"):
        check_sources(load_recipe(recipe, [limit]), "r.yaml")
    with pytest.raises(RecipeError, match="take a smaller base model"):
        check_sources(load_recipe(recipe, ["device={ram_mb: 50}"]), "r.yaml")


def test_check_shows_what_the_device_will_hold(recipe: Path, tmp_path: Path) -> None:
    """The tiny model as it is: of what `build check` prints, the last line."""
    fakes.write_tiny_model(recipe.parent / "model")
    command = [
        "check",
        str(recipe),
        "--set",
        "device={ram_mb: 4000}",
        "--cache",
        str(tmp_path / "c"),
    ]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1].startswith("device: fits: int4-k_quant_mixed-32")
