"""A recipe's targets, from the recipe to an answer: the real toolchains on a random model. No NPU
has run these: its pipeline is emulated on the CPU, and the bundle says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

import fakes
import fieldpack
from fieldpack.bundle.golden import read_golden
from fieldpack.bundle.manifest import read_manifest, verify
from fieldpack.generation.openvino import missing
from fieldpack_build.export.openvino_ir import Rounding, Toolchains
from fieldpack_build.pipeline.task import Task
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.stages.table import make_plan
from fieldpack_build.stages.targets import _reused_formats
from openvino_tools import openvino_tools
from toys import Made, Project, build_here, make_cache, write_project

pytest_plugins = ["toys"]
__all__ = ["openvino_tools"]
OVERRIDES = (
    "train.method=none",  # its rows are there for GPTQ
    "export.algorithm=gptq_mixed",
    "targets=[{openvino-npu: {max_prompt: 512}}, cpu, openvino-cpu, openvino]",
    "export.max_perplexity_ratio=10",  # of random weights
)
MIXED = "openvino-int4-gptq-mixed-64"
FORMAT = "openvino-int4-gptq-64"  # the NPU's emulation opens no toy with some layers in int8


@dataclass(frozen=True)
class Built:
    project: Project
    made: Made


@pytest.fixture(scope="module")
def built(
    machine: Path, openvino_tools: Toolchains, tmp_path_factory: pytest.TempPathFactory
) -> Built:
    root = tmp_path_factory.mktemp("targets")
    folder = write_project(root / "project")
    fakes.write_tiny_model(folder / "models" / "llama", num_hidden_layers=6)
    project = Project(folder, make_cache(root / "cache", machine), root / "dist")
    return Built(project, build_here(project, *OVERRIDES))


def test_the_manifest_tells_what_ran_and_what_did_not(built: Built) -> None:
    manifest = read_manifest(built.made.bundle)
    verify(built.made.bundle, manifest)
    targets = {target.name: target for target in manifest.targets}
    assert list(targets) == ["openvino-npu", "openvino-cpu", "openvino", "cpu"]
    assert {name: targets[name].proof for name in ("openvino-cpu", "cpu")} == {
        "openvino-cpu": "executed",
        "cpu": "executed",
    }
    npu, plug_in = targets["openvino-npu"], targets["openvino"]
    if missing("NPU"):
        assert npu.proof == "emulated" and "on the CPU" in npu.note
        assert "tokens_per_s" not in npu.figures and "f1" not in npu.figures
    assert (npu.prompt_limit, npu.total_limit) == (512, 576)
    assert npu.packages["openvino-genai"].startswith("2026.4")
    assert plug_in.proof == "executed" or (
        plug_in.note.startswith("not run:") and not plug_in.figures
    )
    golden = read_golden(built.made.bundle)
    assert len(targets["cpu"].answers) == len(golden)
    assert list(targets["cpu"].answers) == [one.answer for one in golden]
    assert targets["cpu"].figures["golden_right"] == len(golden) > 0
    assert targets["openvino-cpu"].figures["questions"] == 6 and targets["openvino-cpu"].machine


def test_one_format_serves_both_openvino_targets(built: Built) -> None:
    """128 does not divide rows of 64: the next group size is taken. It is rounded as the CPU's."""
    formats = built.made.results["targets"]["formats"]
    assert [one["folder"] for one in formats] == [FORMAT]
    assert formats[0]["like"] == {"calibrated": True, "mixed": True}
    assert formats[0]["rounded"] == {"calibrated": True, "mixed": False}
    wide, mixed = formats[0]["tried"]
    assert wide == {
        "folder": "openvino-int4-gptq-mixed-128",
        "refused": "128 does not divide the model's widths",
    }
    assert mixed["folder"] == MIXED and mixed["refused"]
    assert formats[0]["kl"] <= formats[0]["max_kl"] and formats[0]["texts_compared"] > 0
    assert [path.name for path in (built.made.bundle / "variants").iterdir()] == [FORMAT]


def test_the_bundle_answers_on_its_targets(built: Built) -> None:
    question = read_golden(built.made.bundle)[0].question
    with fieldpack.open(built.made.bundle, target="openvino-cpu") as expert:
        assert expert.ask(question).text == expert.manifest.targets[1].answers[0]
    # Random weights round to other words: auto passes both over, and says which question it was.
    right = {target.name: target.figures["golden_right"] for target in expert.manifest.targets[:2]}
    with fieldpack.open(built.made.bundle, target="auto") as expert:
        expert.ask(question)
        all_right = expert.manifest.targets[1].figures["golden"]
        if right["openvino-cpu"] < all_right:
            assert expert.runs_on == "cpu"
            assert "not on openvino-cpu: golden question" in expert.runs_on_because
        else:
            assert expert.runs_on in right


def test_a_format_of_the_same_model_is_taken_over(built: Built, tmp_path: Path) -> None:
    """New documents measure the targets again, and export nothing."""
    recipe = load_recipe(built.project.recipe, OVERRIDES)
    plan = make_plan(recipe, built.project.store)
    step = plan.step("targets")
    assert step
    before = built.project.store.folder("targets", step.key)
    task = Task(recipe, {}, tmp_path, built.project.store, previous_output=before)
    source = step.parts["inputs"]["base"]
    alike = Rounding(calibrated=True, mixed=True)
    formats = _reused_formats(task, source, alike, {"auto"})
    assert formats and formats["auto"]["folder"] == FORMAT
    names = sorted(path.name for path in (tmp_path / "variants" / FORMAT).iterdir())
    assert names == sorted(path.name for path in (before / "variants" / FORMAT).iterdir())
    assert _reused_formats(task, "another model", alike, {"auto"}) is None
    assert _reused_formats(task, source, Rounding(), {"auto"}) is None
    assert _reused_formats(task, source, alike, {"auto", "64"}) is None
    assert step.stage.updates and step.stage.updates(step.parts)


def test_without_targets_there_is_no_such_stage(built: Built) -> None:
    plan = make_plan(
        load_recipe(built.project.recipe, ["train=none", "targets=[cpu]"]), built.project.store
    )
    assert "targets" not in [step.name for step in plan.steps]
