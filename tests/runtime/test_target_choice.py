"""A bundle's targets: what the manifest says of them, which one a device takes, and what it says
when it takes another."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fakes
import fieldpack
from fieldpack.bundle.golden import Golden, write_golden
from fieldpack.bundle.manifest import Manifest, describe_files, read_manifest, write_manifest
from fieldpack.bundle.targets import Target
from fieldpack.devices import PLUG_INS, placement, provider_devices, register_plug_in
from fieldpack.generation.openvino import missing
from fieldpack.retrieval.quoting import QuoteSettings
from fieldpack.targets.choice import shared_words
from fieldpack.targets.engines import elsewhere, require_placement
from openvino_tools import openvino_tools, tiny_ir

__all__ = ["openvino_tools", "tiny_ir"]

PLUG_IN = Target("openvino", "genai", "openvino", "model", "config", packages={"x": "1"})
NPU = Target(
    "openvino-npu",
    "openvino",
    "NPU",
    "variants/ir",
    "emulated",
    prompt_limit=512,
    total_limit=576,
    machine="some CPU",
    answers=("yes",),
    note="emulated",
    packages={"openvino-genai": "2026.4.1.0"},
    figures={"tokens_per_s": 9.5},
)


def sealed_with(folder: Path, *targets: Target) -> Path:
    """A folder with a manifest that names these."""
    folder.mkdir()
    (folder / "prompt.json").write_text("{}")
    write_manifest(folder, Manifest("n", "1", files=describe_files(folder), targets=targets))
    return folder


@pytest.mark.parametrize("model", [True, False], ids=["a model", "quotes alone"])
def test_a_target_that_nothing_has_is_refused_when_the_bundle_is_opened(
    model: bool, exported_llama: Path, tmp_path: Path
) -> None:
    """A bundle without a language model took any name."""
    folder = fakes.write_bundle(
        tmp_path / "b",
        model=exported_llama,
        settings=replace(fakes.SETTINGS, quoting=QuoteSettings()),
    )
    if not model:
        shutil.rmtree(folder / "model")
        fakes.reseal(folder)
    with pytest.raises(fieldpack.BundleUnsupported, match="has no target 'nonsense'; it has auto,"):
        fieldpack.open(folder, target="nonsense")
    for name in ("cpu", "auto"):
        with fieldpack.open(folder, target=name, threads=1) as expert:
            assert expert.search("filter")


def test_records_come_back_as_they_went(tmp_path: Path) -> None:
    folder = sealed_with(tmp_path / "b", PLUG_IN, NPU)
    manifest = read_manifest(folder)
    assert manifest.targets == (PLUG_IN, NPU) and manifest.schema == (1, 2)


def test_a_bundle_without_targets_is_written_as_before(tmp_path: Path) -> None:
    data = json.loads((sealed_with(tmp_path / "b") / "manifest.json").read_text())
    assert "targets" not in data and data["schema"] == "1.1"


@pytest.mark.parametrize(
    "change",
    [
        {"folder": "../elsewhere"},
        {"proof": "rumoured"},
        {"prompt_limit": -1},
        {"prompt_limit": 1 << 30},
        {"figures": {"a": "b"}},
        {"figures": [1]},
        {"answers": "yes"},
        {"name": None},
    ],
)
def test_a_record_that_cannot_be_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = sealed_with(tmp_path / "b", NPU) / "manifest.json"
    data = json.loads(path.read_text())
    data["targets"][0] |= change
    path.write_text(json.dumps(data))
    with pytest.raises(fieldpack.BundleCorrupt):
        read_manifest(path.parent)


@pytest.mark.parametrize("targets", [{}, "cpu", [5], ["cpu"]])
def test_targets_of_another_type_are_refused(tmp_path: Path, targets: object) -> None:
    path = sealed_with(tmp_path / "b", NPU) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "targets": targets}))
    with pytest.raises(fieldpack.BundleCorrupt):
        read_manifest(path.parent)


# --- which target a device takes ---

QUESTION = "What does the A class cost?"


@pytest.fixture(scope="module")
def openvino_bundle(sealed: Path, tiny_ir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sealed toy with an IR beside its model, and one golden question. Each test writes the
    targets it wants into a copy's manifest."""
    folder = Path(shutil.copytree(sealed, tmp_path_factory.mktemp("targets") / "bundle"))
    shutil.copytree(tiny_ir, folder / "variants" / "ir")
    fakes.reseal(folder)
    return folder


def with_targets(
    source: Path, folder: Path, *targets: Target, golden: Golden | None = None
) -> Path:
    shutil.copytree(source, folder)
    if golden:
        write_golden(folder, [golden])
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, files=describe_files(folder), targets=targets))
    return folder


def golden_of(said: fieldpack.Answer, **changes: Any) -> Golden:
    document = said.passages[0].document if said.passages else None
    return replace(Golden(said.question, said.text, said.refused, document), **changes)


CPU_IR = Target("openvino-cpu", "openvino", "CPU", "variants/ir", "config")
STATIC = replace(NPU, folder="variants/ir", prompt_limit=256, total_limit=320)


def test_a_named_target_is_taken_strictly(openvino_bundle: Path, tmp_path: Path) -> None:
    bundle = with_targets(openvino_bundle, tmp_path / "b", STATIC)
    if not missing("NPU"):
        pytest.skip("this machine has an NPU")
    with (
        fieldpack.open(bundle, target="openvino-npu") as expert,
        pytest.raises(fieldpack.BundleUnsupported, match="openvino-npu: OpenVINO sees no NPU"),
    ):
        expert.ask(QUESTION)
    with (
        fieldpack.open(bundle, target="abacus") as expert,
        pytest.raises(fieldpack.BundleUnsupported, match="it has auto, cpu, openvino-npu"),
    ):
        expert.ask(QUESTION)


def test_auto_falls_back_to_the_cpu_and_says_why(openvino_bundle: Path, tmp_path: Path) -> None:
    if not missing("NPU"):
        pytest.skip("this machine has an NPU")
    bundle = with_targets(openvino_bundle, tmp_path / "b", STATIC)
    with fieldpack.open(bundle, target="auto") as expert, fieldpack.open(bundle) as plain:
        assert expert.ask(QUESTION).text == plain.ask(QUESTION).text
        assert expert.runs_on == "cpu" and plain.runs_on_because == ""
        assert "not on openvino-npu: OpenVINO sees no NPU here" in expert.runs_on_because


def test_auto_takes_a_target_once_it_answered_as_it_should(
    openvino_bundle: Path, tmp_path: Path
) -> None:
    first = with_targets(openvino_bundle, tmp_path / "a", CPU_IR)
    with fieldpack.open(first, target="openvino-cpu") as expert:
        answer = expert.ask(QUESTION)
        assert expert.runs_on == "openvino-cpu"
    bundle = with_targets(openvino_bundle, tmp_path / "b", CPU_IR, golden=golden_of(answer))
    state = tmp_path / "state"
    with fieldpack.open(bundle, target="auto", state=state) as expert:
        assert expert.runs_on == "openvino-cpu" and "not on" not in expert.runs_on_because
    seen = json.loads((state / "targets.json").read_text())
    assert [entry["why"] for entry in seen.values()] == [""]
    # What is remembered is believed: nothing is asked again.
    for entry in seen.values():
        entry["why"] = "it was remembered"
    (state / "targets.json").write_text(json.dumps(seen))
    with fieldpack.open(bundle, target="auto", state=state) as expert:
        assert expert.runs_on == "cpu" and "it was remembered" in expert.runs_on_because
    # Another bundle is another matter.
    with fieldpack.open(first, target="auto", state=state) as expert:
        assert expert.runs_on == "cpu"
        assert "has no questions to try it with" in expert.runs_on_because


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"refused": True}, "it refused, or no longer did"),
        ({"document": "rules.txt"}, "it read another document"),
        ({"answer": "something else altogether"}, "not 'something else altogether'"),
    ],
)
def test_auto_passes_over_a_target_that_answers_otherwise(
    openvino_bundle: Path, tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    with fieldpack.open(openvino_bundle, verify_contents=False) as expert:
        golden = golden_of(expert.ask(QUESTION), **change)
    # That it repeats what it said where it was built is no excuse.
    with fieldpack.open(
        with_targets(openvino_bundle, tmp_path / "a", CPU_IR), target=CPU_IR.name
    ) as expert:
        repeats = replace(CPU_IR, answers=(expert.ask(QUESTION).text,))
    bundle = with_targets(openvino_bundle, tmp_path / "b", repeats, golden=golden)
    with fieldpack.open(bundle, target="auto") as expert:
        assert expert.runs_on == "cpu" and why in expert.runs_on_because


def test_prompts_are_packed_to_a_static_target_s_limit(
    openvino_bundle: Path, tmp_path: Path
) -> None:
    """Emulated on the CPU: where the CPU reads all passages, the static target reads fewer, and an
    answer that meets its total says that it was cut."""
    bundle = with_targets(openvino_bundle, tmp_path / "b", STATIC)
    long = QUESTION + " Say it with the filter, the valve, the fund and the quiet hours." * 5
    with fieldpack.open(bundle) as plain:
        whole = plain.ask(long)
    with fieldpack.open(bundle, target="openvino-npu:emulated") as expert:
        packed = expert.ask(long)
        assert expert.runs_on == "openvino-npu:emulated"
    assert packed.timings.prompt_tokens <= 256 < whole.timings.prompt_tokens
    assert len(packed.passages) < len(whole.passages)
    assert packed.timings.tokens <= 24 and packed.cut == (packed.timings.tokens == 24)


def test_a_static_target_without_room_is_refused(openvino_bundle: Path, tmp_path: Path) -> None:
    small = replace(STATIC, prompt_limit=128, total_limit=192)
    bundle = with_targets(openvino_bundle, tmp_path / "b", small)
    with (
        fieldpack.open(bundle, target="openvino-npu:emulated") as expert,
        pytest.raises(fieldpack.BundleUnsupported, match="compiled for prompts of 128 tokens"),
    ):
        expert.ask(QUESTION)


def test_the_placement_of_a_provider_s_nodes_is_seen(exported_llama: Path) -> None:
    counts = placement(exported_llama / "model.onnx", "cpu")
    assert counts["CPUExecutionProvider", "MatMulNBits"] > 0
    assert {provider for provider, _ in counts} == {"CPUExecutionProvider"}


def test_a_provider_that_takes_no_matrices_is_refused(sealed: Path) -> None:
    """The check itself, on a provider that is everywhere: of a target that names another one."""
    target = Target("here", "genai", "cpu", "model", "config")
    require_placement(target, sealed)
    counts = placement(sealed / "model" / "model.onnx", "cpu")
    assert elsewhere(counts, "CUDAExecutionProvider") and not elsewhere(
        counts, "CPUExecutionProvider"
    )


@pytest.mark.parametrize("provider", sorted(PLUG_INS))
def test_a_plug_in_answers_as_the_cpu_does(sealed: Path, provider: str) -> None:
    """Skipped where the plug-in is not installed or finds no device of its own."""
    if why := register_plug_in(provider) or ("" if provider_devices(provider) else "no device"):
        pytest.skip(f"{provider}: {why}")
    with fieldpack.open(sealed, target=provider) as expert, fieldpack.open(sealed) as plain:
        said, expected = expert.ask(QUESTION), plain.ask(QUESTION)
        assert expert.runs_on == provider
    assert said.text[:1] == expected.text[:1] and said.passages == expected.passages


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [("a b c d", "a b c d", 1.0), ("a b", "c d", 0.0), ("a a b", "A b", 0.8), ("", "a", 0.0)],
)
def test_shared_words(one: str, other: str, shared: float) -> None:
    assert shared_words(one, other) == pytest.approx(shared)
