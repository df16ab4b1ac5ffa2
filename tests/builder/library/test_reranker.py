"""The letter reranker's scores, known by hand; one random cross-encoder through the real toolchain
and into a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import fakes
import fieldpack
from fieldpack.bundle.manifest import describe_files
from fieldpack.retrieval.reranker import Reranker, RerankerSettings
from fieldpack_build.bundle.assemble import _NOT_SHIPPED
from fieldpack_build.check import check_recipe
from fieldpack_build.errors import CheckFailed, RecipeError, SourceError
from fieldpack_build.pipeline.task import Task
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.stages import reranker as stage
from fieldpack_build.stages.table import STAGES, make_plan
from toys import Project, write_tiny_reranker

pytest_plugins = ["toys"]

HERE = "knowledge.retrieval.reranker={model: models/reranker, license: MIT}"


# --- the runtime's half ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fakes.write_letter_reranker(tmp_path / "reranker")


def test_scores_come_in_the_order_given(folder: Path) -> None:
    texts = ["z" * (i * 7 % 5) + "abc" * (i * 3 % 8) for i in range(30)]
    found = Reranker.open(folder).score("zzz, the question's own letters do not count", texts)
    assert found.dtype == np.float32 and found.tolist() == [i * 7 % 5 for i in range(30)]
    assert Reranker.open(folder).score("q", []).shape == (0,)
    assert Reranker.open(folder).score("", ["", "z"]).tolist() == [0, 1]


def test_the_passage_is_cut_and_not_the_question(tmp_path: Path) -> None:
    small = Reranker.open(fakes.write_letter_reranker(tmp_path, max_tokens=16))
    assert small.score("abc", ["z" * 100]).tolist() == [
        16 - 3 - 3
    ]  # three letters, [CLS] and two [SEP]
    assert small.score("a" * 500, ["z" * 100]).tolist() == [16 - 3 - 8], (
        "a long question leaves half to the passage"
    )


@pytest.mark.parametrize(
    ("labels", "activation", "expected"),
    [
        (1, "identity", 2.0),
        (1, "sigmoid", 1 / (1 + np.exp(-2))),
        (2, "softmax", np.exp(2) / (1 + np.exp(2))),
    ],
)
def test_heads(
    tmp_path: Path,
    labels: Literal[1, 2],
    activation: Literal["identity", "sigmoid", "softmax"],
    expected: float,
) -> None:
    fakes.write_letter_reranker(tmp_path, labels=labels)
    RerankerSettings(512, labels, activation).write(tmp_path)
    reranker = Reranker.open(tmp_path)
    assert reranker.score("q", ["zaz"])[0] == pytest.approx(expected, abs=1e-6)
    assert reranker.logits("q", ["zaz"]).shape == (1, labels)
    assert np.isfinite(reranker.score("q", ["z" * 500])).all()


@pytest.mark.parametrize(
    "settings",
    [
        "",
        "[]",
        "{}",
        '{"max_tokens": 4}',
        '{"max_tokens": 99, "labels": 3}',
        '{"max_tokens": 99, "labels": 2}',
        '{"max_tokens": 99, "activation": "relu"}',
        '{"max_tokens": 99, "colour": 1}',
        "[" * 100_000,
    ],
)
def test_damaged_settings_are_corrupt(folder: Path, settings: str) -> None:
    (folder / "reranker.json").write_text(settings, encoding="utf-8")
    with pytest.raises(fieldpack.BundleCorrupt, match=r"reranker\.json"):
        Reranker.open(folder)


def test_settings_read_back(tmp_path: Path) -> None:
    RerankerSettings(300, 2, "softmax", 1).write(tmp_path)
    assert RerankerSettings.read(tmp_path) == RerankerSettings(300, 2, "softmax", 1)


# --- the build's half -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mine(toy: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The toy with a random cross-encoder: a head of one label over a BERT of two layers."""
    folder = tmp_path_factory.mktemp("reranked")
    project = Project(
        Path(shutil.copytree(toy.folder, folder / "project")), toy.cache, folder / "dist"
    )
    write_tiny_reranker(project.folder / "models" / "reranker")
    return project


@pytest.fixture(scope="module")
def exported(mine: Project) -> tuple[Path, dict[str, Any]]:
    """The reranker stage's folder and receipt, made by `build`."""
    outcome = mine.build(HERE, only="reranker")
    return mine.store.folder("reranker", outcome["keys"]["reranker"]), dict(
        mine.receipt("reranker", outcome).result
    )


def test_the_export_scores_as_torch_does(
    mine: Project, exported: tuple[Path, dict[str, Any]]
) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder, result = exported
    assert (result["labels"], result["activation"], result["max_tokens"]) == (1, "sigmoid", 128)
    assert result["difference_to_torch"] <= 1e-3 and result["license"] == "MIT"
    assert {"model.onnx", "tokenizer.json", "reranker.json"} <= {
        path.name for path in folder.iterdir()
    }
    source = mine.folder / "models" / "reranker"
    model, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(source),
        AutoTokenizer.from_pretrained(source),
    )
    question, texts = (
        "How far is the lamp seen?",
        ["It is seen for 18 miles.", "Flour and lentils.", "fog " * 300],
    )
    fed = tokenizer(
        [question] * 3,
        texts,
        padding=True,
        truncation="only_second",
        max_length=128,
        return_tensors="pt",
    )
    with torch.inference_mode():
        expected = torch.sigmoid(model(**fed).logits[:, 0]).numpy()
    assert np.ptp(expected) > 0.01, "a head that gives one score to all proves nothing"
    assert Reranker.open(folder).score(question, texts) == pytest.approx(expected, abs=1e-3)


def test_only_a_recipe_that_names_one_has_the_stage(
    mine: Project, exported: tuple[Path, dict[str, Any]]
) -> None:
    assert "reranker" not in [
        step.name for step in make_plan(load_recipe(mine.recipe), mine.store).steps
    ]
    assert "reranker" not in mine.to_do(HERE)
    active = [step.name for step in make_plan(load_recipe(mine.recipe, [HERE]), mine.store).steps]
    assert active.index("embedder") < active.index("reranker") < active.index("knowledge")
    seal, ask = (
        next(stage for stage in STAGES if stage.name == name) for name in ("package", "evaluate")
    )
    assert "reranker" in seal.needs and "reranker" in ask.needs


def test_the_bundle_carries_it_under_its_own_role(
    exported: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    shutil.copytree(exported[0], tmp_path / "reranker", ignore=_NOT_SHIPPED)
    found = describe_files(tmp_path)
    assert {(entry.path, entry.role) for entry in found} == {
        (f"reranker/{name}", "reranker")
        for name in ("model.onnx", "reranker.json", "tokenizer.json")
    }


def test_another_model_behind_the_export_is_refused(
    exported: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    pairs = len(stage.CANARIES)
    np.savez(tmp_path / "torch.npz", logits=np.zeros((pairs, 1)), scores=np.full(pairs, 0.5))
    with pytest.raises(
        CheckFailed, match=r"the exported reranker differs from torch: a score by \d\.\d{4}"
    ):
        stage._parity(exported[0], tmp_path / "torch.npz")


def test_a_model_of_another_kind_is_refused_before_the_export(
    mine: Project, tmp_path: Path
) -> None:
    recipe = load_recipe(mine.recipe, ["knowledge.retrieval.reranker={model: models/embedder}"])
    with pytest.raises(
        SourceError,
        match=r"BertModel: no cross-encoder; .* wants a \.\.\.ForSequenceClassification",
    ):
        stage.run(Task(recipe, {}, tmp_path, mine.store))


def test_check_names_a_missing_reranker(mine: Project) -> None:
    recipe = load_recipe(mine.recipe, ["knowledge.retrieval.reranker={model: models/none}"])
    with pytest.raises(
        RecipeError, match=r"knowledge\.retrieval\.reranker\.model: .*models/none: no such folder"
    ):
        check_recipe(recipe, "toy.yaml")
