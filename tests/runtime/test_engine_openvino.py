"""OpenVINO GenAI does what every engine has to: with dynamic shapes on the CPU, and with the NPU's
static ones emulated there. No NPU has run these."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fieldpack
from engine_contract import PROMPT, EngineContract, text_of
from fieldpack.generation.engine import Engine, GenerationStats
from fieldpack.generation.openvino import OpenVinoGenerator, StaticShape, missing
from fieldpack_build.export.openvino_ir import Toolchains
from openvino_tools import openvino_tools, tiny_ir

__all__ = ["openvino_tools", "tiny_ir"]
STATIC = StaticShape(128, 64, emulated=True)


class TestDynamic(EngineContract):
    @pytest.fixture(scope="class")
    def engine(self, tiny_ir: Path) -> Engine:
        return OpenVinoGenerator.open(tiny_ir, threads=1, max_context=512)

    def test_drafts_change_no_word(self, engine: Engine, tiny_ir: Path) -> None:
        plain = OpenVinoGenerator.open(tiny_ir, threads=1, max_context=512, speculate=False)
        assert engine.capabilities.drafts and not plain.capabilities.drafts
        for prompt in (PROMPT, "The A class costs 0.85% a year. " * 9, "a b a b a b a b"):
            assert text_of(engine, prompt) == text_of(plain, prompt)


class TestStaticEmulated(EngineContract):
    @pytest.fixture(scope="class")
    def engine(self, tiny_ir: Path) -> Engine:
        return OpenVinoGenerator.open(tiny_ir, device="NPU", max_context=512, static=STATIC)

    def test_a_prompt_means_what_it_means_to_the_cpu(self, engine: Engine, tiny_ir: Path) -> None:
        """The first token alone: later ones of a random model turn on the last bit."""
        cpu = OpenVinoGenerator.open(tiny_ir, threads=1, max_context=512, speculate=False)
        for prompt in (PROMPT, "The pump is serviced every 400 hours. " * 2, "Who may open it?"):
            first = {text_of(one, prompt, max_new_tokens=1) for one in (engine, cpu)}
            assert len(first) == 1

    def test_an_answer_that_meets_the_total_is_marked(self, engine: Engine) -> None:
        """OpenVINO itself stops without a word."""
        stats = GenerationStats()
        prompt = "The A class costs 0.85% a year. " * 30
        ids = engine.encode(prompt)[: STATIC.max_prompt]
        text = engine.decode(ids)
        text_of(engine, text, max_new_tokens=500, max_context=900, stats=stats)
        assert stats.prompt_tokens + stats.tokens <= STATIC.total
        assert stats.cut == (stats.prompt_tokens + stats.tokens == STATIC.total)


def test_a_device_that_is_not_here_is_named(tiny_ir: Path) -> None:
    if not missing("NPU"):
        pytest.skip("this machine has an NPU")
    with pytest.raises(fieldpack.BundleUnsupported, match="sees no NPU here"):
        OpenVinoGenerator.open(tiny_ir, device="NPU", max_context=512, static=StaticShape(128, 64))


def test_a_damaged_model_is_a_sentence(tiny_ir: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_ir, tmp_path / "ir"))
    (folder / "openvino_model.xml").write_text("<net")
    with pytest.raises(fieldpack.BundleError, match="does not open"):
        OpenVinoGenerator.open(folder, threads=1, max_context=512)
    (folder / "generation_config.json").write_text("{")
    with pytest.raises(fieldpack.BundleCorrupt):
        OpenVinoGenerator.open(folder, threads=1, max_context=512)


def test_openvino_s_telemetry_is_never_imported(openvino_tools: Toolchains, tmp_path: Path) -> None:
    """pip installs it with openvino, and openvino imports it where it is."""
    package = tmp_path / "openvino_telemetry"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    paths = [str(tmp_path), str(openvino_tools.runtime), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    code = "from fieldpack.generation.openvino import missing; print(repr(missing('CPU')))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert (done.stdout, done.returncode) == ("''\n", 0), done.stderr


def test_without_the_package_the_command_is_named() -> None:
    code = (
        "import sys; sys.modules['openvino'] = None\n"
        "from fieldpack.generation.openvino import missing; print(missing('CPU'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "fieldpack[openvino]"' in done.stdout
