"""Which stages a change makes run again, and which it does not. Planning looks at files and runs
nothing, so dummy files in the place of models are enough."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fieldpack_build.errors import DataError
from fieldpack_build.pipeline.stage import Stage
from fieldpack_build.pipeline.store import Receipt, Store, files_of
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.recipe.rehearse import rehearse
from fieldpack_build.stages.table import NAMES, STAGES, make_plan
from toys import OPTIONAL

RECIPE = """\
name: tiny
version: 1.0.0
base: {model: ../models/base, license: MIT}
knowledge:
  documents: documents
  embedder: {model: ../models/embedder}
train: {method: lora, data: train.jsonl}
answer: {system: Answer from the passages.}
evaluate: {questions: questions.jsonl, gates: [f1 >= 0.4]}
"""
ROW = '{"question": "What does it cost?", "answer": "It costs 4."}\n'
WITH_ALL = ("answer.refuse_below=auto", "evaluate.attribution={questions: 4}")
EVERY = tuple(name for name in NAMES if name not in OPTIONAL)
RERANKED = "knowledge.retrieval.reranker={model: ../models/reranker}"
SYNTHESIZED = "train.synthesize={url: http://localhost/v1, name: writer}"
TARGETED = "targets=[openvino-cpu, cpu]"
SHIPPED = {"evaluate", "package"}
TUNED = {"train", "merge", "export", *SHIPPED}
EXPORTED = {"export", "baseline", *SHIPPED}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """recipes/r.yaml with its documents and rows; models/base and models/embedder beside it."""
    home = tmp_path / "checkout" / "recipes"
    (home / "documents").mkdir(parents=True)
    (home / "documents" / "fees.md").write_text("# Fees\n\nIt costs 4.\n")
    (home / "r.yaml").write_text(RECIPE)
    for name in ("train", "questions"):
        (home / f"{name}.jsonl").write_text(ROW)
    for name in ("base", "embedder", "reranker"):
        folder = home.parent / "models" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(name.encode())
    return home


def keys(home: Path, *overrides: str) -> dict[str, str]:
    """Every call with a fresh cache: a key may depend on nothing in it."""
    cache = home.parent.parent / f"cache-{time.monotonic_ns()}"
    return {
        step.name: step.key
        for step in make_plan(load_recipe(home / "r.yaml", overrides), Store(cache)).steps
    }


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def test_every_stage_has_a_key_of_its_own(project: Path) -> None:
    found = keys(project)
    assert tuple(found) == EVERY and len(set(found.values())) == len(EVERY)
    assert keys(project) == found
    found = keys(project, RERANKED, SYNTHESIZED, TARGETED, *WITH_ALL)
    assert tuple(found) == NAMES and len(set(found.values())) == len(NAMES)


def test_without_rows_the_threshold_is_held_against_the_library(project: Path) -> None:
    """A stage of its own, unless the recipe says no; where there are rows, that key is nothing."""
    assert "quoting" in keys(project, "train=none")
    without = keys(project, "train=none", "answer.made_up_questions=false")
    assert "quoting" not in without
    assert keys(project, "answer.made_up_questions=false") == keys(project)
    before = keys(project, "train=none")
    (project / "documents" / "fees.md").write_text("# Fees\n\nIt costs 5.\n")
    assert {"knowledge", "quoting"} <= changed(before, keys(project, "train=none"))


def test_targets_add_a_stage_and_change_nothing_before_it(project: Path) -> None:
    without, targeted = keys(project), keys(project, TARGETED)
    assert keys(project, "targets=[cpu]") == without
    assert {name for name in targeted if targeted[name] != without.get(name)} == {
        "targets",
        "package",
    }
    again = keys(project, "targets=[{openvino-cpu: {group: 64}}, cpu]")
    assert changed(targeted, again) == {"targets", "package"}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("evaluate.gates=[f1 >= 0.5]", SHIPPED),
        ("evaluate.sample=10", SHIPPED),
        ("answer.refuse_below=0.4", {"quoting", *SHIPPED}),
        ("answer.max_answer_tokens=50", SHIPPED),
        ("answer.system=Be brief.", TUNED),
        ("answer.refusal=I do not know.", {"quoting", *TUNED}),
        ("answer.passages=5", {"quoting", *TUNED}),
        ("train.learning_rate=1e-5", TUNED),
        ("train.epochs=2", TUNED),
        ("train.method=qlora", TUNED),
        ("train.passages=1", TUNED),
        ("train.follow_documents=true", TUNED),
        ("train.packing=true", TUNED),
        ("train.dora=true", TUNED),
        ("train.validation=0.1", TUNED),
        ("train.effective_batch=8", TUNED),
        ("train.effective_batch=4", set()),
        ("train.batch_size=4", set()),
        ("train.gradient_checkpointing=true", set()),
        ("train.launch.processes=auto", set()),
        ("train.track=[wandb]", set()),
        ("train.format=question", {"quoting", *TUNED}),
        ("train.conversation_turns=each", {"quoting", *TUNED}),
        ("train.on_leak=warn", set()),
        ("train.on_leak=drop", {"quoting", *TUNED}),
        ("train.checkpoint_steps=5", set()),
        ("train.device=cpu", set()),
        ("train.allow_cpu=false", set()),
        ("export.precision=int8", EXPORTED),
        ("export.block_size=128", EXPORTED),
        ("knowledge.chunk.tokens=64", {"knowledge", "quoting", *SHIPPED}),
        ("knowledge.on_error=fail", {"knowledge", "quoting", *SHIPPED}),
        ("base.license=Apache-2.0", {"package"}),
        ("knowledge.embedder.license=MIT", {"package"}),
        ("bundle.description=Fees", {"package"}),
        ("version=1.0.1", {"package"}),
    ],
)
def test_a_changed_setting_runs_what_it_shapes(
    project: Path, override: str, expected: set[str]
) -> None:
    assert changed(keys(project), keys(project, override)) == expected


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_stage_says_what_it_makes(stage: Stage) -> None:
    """Its `run` has a docstring and a result of a type of its own."""
    module, _, name = stage.function.partition(":")
    run = getattr(importlib.import_module(module), name)
    assert run.__doc__ and run.__doc__.split(".")[0].strip()
    assert "dict" not in run.__annotations__["return"]


def test_a_new_name_of_a_key_runs_nothing_again(project: Path) -> None:
    """Keys are made of the names that the recipe's keys had first."""
    old = ("knowledge.retrieval.weight=0.3", "train.share=2", "train.turns=each")
    new = (
        "knowledge.retrieval.vector_weight=0.3",
        "train.questions_per_prompt=2",
        "train.conversation_turns=each",
    )
    assert keys(project, *old) == keys(project, *new) != keys(project)
    steps = make_plan(load_recipe(project / "r.yaml", new), Store(project / "cache"))
    quoting, train = steps.step("quoting"), steps.step("train")
    assert quoting and quoting.parts["settings"]["retrieval"]["weight"] == 0.3
    assert train and train.parts["settings"]["train"]["share"] == 2


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.synthesize.rows=400", {"synthesize", *TUNED}),
        ("train.synthesize.key_env=KEY", set()),
        ("train.synthesize.workers=9", set()),
        ("train.learning_rate=1e-5", TUNED),
        ("knowledge.chunk.tokens=64", {"knowledge", "quoting", *SHIPPED}),
    ],
)
def test_written_rows_are_part_of_what_is_tuned(
    project: Path, override: str, expected: set[str]
) -> None:
    before = keys(project, SYNTHESIZED)
    assert changed(before, keys(project, SYNTHESIZED, override)) == expected
    assert changed(keys(project), {k: v for k, v in before.items() if k != "synthesize"}) == TUNED


def test_a_new_question_asks_no_model_again(project: Path) -> None:
    before, dropping = keys(project, SYNTHESIZED), keys(project, "train.on_leak=drop")
    (project / "questions.jsonl").write_text(ROW * 2)
    assert changed(before, keys(project, SYNTHESIZED)) == SHIPPED
    assert changed(dropping, keys(project, "train.on_leak=drop")) == {"quoting", *TUNED}, (
        "what is dropped depends on the questions"
    )


def test_a_new_document_leaves_the_model_alone(project: Path) -> None:
    before = keys(project)
    (project / "documents" / "new.md").write_text("# New\n\nText.\n")
    assert changed(before, keys(project)) == {"knowledge", "quoting", *SHIPPED}


def test_a_new_document_tunes_again_where_the_recipe_asks_for_it(project: Path) -> None:
    follow = "train.follow_documents=true"
    before = keys(project, follow)
    (project / "documents" / "new.md").write_text("# New\n\nText.\n")
    assert changed(before, keys(project, follow)) == {"knowledge", "quoting", *TUNED}


def test_what_thresholds_are_learned_from_is_part_of_their_key(project: Path) -> None:
    auto = "answer.refuse_below=auto"
    before = keys(project, auto)
    assert "calibrate" in before and "calibrate" not in keys(project)
    learned = {"calibrate", "quoting", *SHIPPED}
    assert changed(before, keys(project, auto, "answer.max_wrong_refusals=0.2")) == learned
    assert changed(before, keys(project, auto, "evaluate.calibration=0.5")) == learned
    assert changed(before, keys(project, auto, "evaluate.gates=[f1 >= 0.5]")) == SHIPPED
    (project / "questions.jsonl").write_text(ROW.replace("4", "5"))
    assert changed(before, keys(project, auto)) == learned
    from_rows = keys(project, auto, "evaluate.calibration=train")
    (project / "train.jsonl").write_text(ROW.replace("4", "6"))
    assert changed(from_rows, keys(project, auto, "evaluate.calibration=train")) == {
        "calibrate",
        "quoting",
        *TUNED,
    }


def test_where_test_questions_are_dropped_from_the_rows_a_new_one_learns_again(
    project: Path,
) -> None:
    """What is fitted or calibrated on training rows depends on which of them are dropped."""
    auto = ("answer.refuse_below=auto", "evaluate.calibration=train")
    drop, keep = (*auto, "train.on_leak=drop"), (*auto, "train.on_leak=warn")
    assert changed(keys(project, *keep), keys(project, *drop)) == {"calibrate", "quoting", *TUNED}
    kept, dropped = keys(project, *keep), keys(project, *drop)
    (project / "questions.jsonl").write_text(ROW.replace("4", "5"))
    assert changed(kept, keys(project, *keep)) == SHIPPED
    assert changed(dropped, keys(project, *drop)) == {"calibrate", "quoting", *TUNED}


def test_a_changed_document_is_noticed_and_a_note_beside_is_not(project: Path) -> None:
    before = keys(project)
    (project / "documents" / "notes.tmp").write_text("not of a known format")
    (project / "documents" / ".hidden.md").write_text("hidden")
    assert keys(project) == before
    (project / "documents" / "fees.md").write_text("# Fees\n\nIt costs 5.\n")
    assert changed(before, keys(project)) == {"knowledge", "quoting", *SHIPPED}


def test_a_changed_training_row_tunes_again(project: Path) -> None:
    before = keys(project)
    (project / "train.jsonl").write_text(ROW.replace("4", "5"))
    assert changed(before, keys(project)) == {"quoting", *TUNED}


def test_a_changed_question_is_asked_again(project: Path) -> None:
    before = keys(project)
    (project / "questions.jsonl").write_text(ROW.replace("4", "5"))
    assert changed(before, keys(project)) == SHIPPED


def test_changed_weights_change_all_that_is_made_of_them(project: Path) -> None:
    before = keys(project)
    (project.parent / "models" / "embedder" / "model.safetensors").write_bytes(b"other")
    assert changed(before, keys(project)) == {"embedder", "knowledge", "quoting", *SHIPPED}
    before = keys(project)
    (project.parent / "models" / "base" / "model.safetensors").write_bytes(b"more")
    assert changed(before, keys(project)) == set(EVERY) - {"embedder", "knowledge", "quoting"}
    before = keys(project, RERANKED)
    (project.parent / "models" / "reranker" / "model.safetensors").write_bytes(b"third")
    assert changed(before, keys(project, RERANKED)) == {"reranker", "quoting", *SHIPPED}


def test_a_model_in_a_hidden_folder_is_looked_at_too(project: Path) -> None:
    """`model: ../.models`: its files used to be left out of the key as hidden ones."""
    hidden = project.parent / ".models"
    shutil.copytree(project.parent / "models" / "base", hidden)
    before = keys(project, "base.model=../.models")
    (hidden / "model.safetensors").write_bytes(b"other")
    (hidden / ".cache").mkdir()
    assert "base" in changed(before, keys(project, "base.model=../.models"))
    before = keys(project, "base.model=../.models")
    (hidden / ".cache" / "deep").mkdir()
    (hidden / ".cache" / "deep" / "lock").touch()
    assert keys(project, "base.model=../.models") == before


def test_another_checkout_has_the_same_keys(project: Path, tmp_path: Path) -> None:
    before = keys(project)
    other = shutil.copytree(project.parent, tmp_path / "elsewhere" / "clone")
    assert keys(other / "recipes") == before


def test_a_comment_changes_nothing(project: Path) -> None:
    before = keys(project)
    (project / "r.yaml").write_text(
        "# why\n" + RECIPE.replace("name: tiny", "name:   tiny   # what")
    )
    assert keys(project) == before


def test_a_recipe_has_the_stages_of_its_halves(project: Path) -> None:
    text = RECIPE.replace("train: {method: lora, data: train.jsonl}", "train: none")
    (project / "r.yaml").write_text(text)
    halves = ["base", "embedder", "knowledge", "quoting", "export", "evaluate", "package"]
    assert list(keys(project)) == halves
    assert changed(keys(project), keys(project, "answer.system=Be brief.")) == SHIPPED
    (project / "r.yaml").write_text(
        "".join(RECIPE.splitlines(keepends=True)[:3] + RECIPE.splitlines(keepends=True)[6:])
    )
    assert list(keys(project)) == [
        "base",
        "train",
        "merge",
        "export",
        "baseline",
        "evaluate",
        "package",
    ]
    assert list(keys(project, "evaluate=null")) == ["base", "train", "merge", "export", "package"]
    assert "baseline" not in keys(project, "evaluate.arms=[tuned]")


def test_a_rehearsal_shares_only_the_embedder(project: Path, tmp_path: Path) -> None:
    recipe, store = load_recipe(project / "r.yaml"), Store(tmp_path / "cache")
    real, fake = (
        {s.name: s.key for s in make_plan(r, store).steps} for r in (recipe, rehearse(recipe))
    )
    assert changed(real, fake) == set(EVERY) - {"embedder"}


def test_what_is_done_is_found_and_may_be_done_again(project: Path, tmp_path: Path) -> None:
    recipe, store = load_recipe(project / "r.yaml"), Store(tmp_path / "cache")
    for step in make_plan(recipe, store).steps:
        partial = store.begin(step.name, step.key, keep=False)
        store.commit(
            partial,
            Receipt(step.name, "tiny", step.key, step.parts, {}, files_of(partial), 1.0, 100.0),
        )
    assert all(step.receipt for step in make_plan(recipe, store).steps)
    again = make_plan(recipe, store, redo=["export", "package"]).steps
    assert [step.name for step in again if not step.receipt] == ["export", "package"]


@pytest.mark.parametrize(("name", "stage"), [("train", "quoting"), ("questions", "evaluate")])
def test_a_missing_file_is_a_sentence(project: Path, name: str, stage: str) -> None:
    (project / f"{name}.jsonl").unlink()
    with pytest.raises(DataError) as caught:
        keys(project)
    assert str(caught.value) == f"{project / name}.jsonl: no such file; stage {stage} reads it"


def test_planning_imports_nothing_heavy(project: Path) -> None:
    """In a fresh process: the plan of a real recipe shape, without torch and its family."""
    script = (
        "import sys; from pathlib import Path; from fieldpack_build.stages.table import make_plan\n"
        "from fieldpack_build.recipe.load import load_recipe; from fieldpack_build.pipeline.store "
        "import Store\n"
        "assert len(make_plan(load_recipe(Path(sys.argv[1])), Store(Path(sys.argv[2]))).steps) == "
        "10\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    command = [sys.executable, "-c", script, str(project / "r.yaml"), str(project / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    heavy = {
        "torch",
        "transformers",
        "peft",
        "onnx",
        "onnxruntime",
        "onnxruntime_genai",
        "numpy",
        "huggingface_hub",
    }
    assert not heavy & set(done.stdout.split())
