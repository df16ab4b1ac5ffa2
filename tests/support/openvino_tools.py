"""OpenVINO for tests, from the build's own pinned toolchains: nothing is installed into the tests'
environment. A plugin that tests import their fixtures from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

import fakes
from fieldpack_build.export.openvino_ir import EXPORTER, RUNTIME, Toolchains, build_ir
from fieldpack_build.models.causal_lm import load_tokenizer
from fieldpack_build.toolchains import ensure

GROUP = 64  # the tiny models' rows are 64 and 128 wide


@pytest.fixture(scope="session")
def openvino_tools(pytestconfig: pytest.Config) -> Iterator[Toolchains]:
    """Both toolchains, installed once a machine; OpenVINO can be imported while this lives."""
    assert pytestconfig.cache
    folder = Path(pytestconfig.cache.mkdir("fieldpack"))
    toolchains = folder / "toolchains"
    toolchains.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        tools = Toolchains(ensure(EXPORTER, toolchains, print), ensure(RUNTIME, toolchains, print))
    sys.path.append(str(tools.runtime))
    yield tools
    sys.path.remove(str(tools.runtime))


@pytest.fixture(scope="session")
def tiny_ir(openvino_tools: Toolchains, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random llama in OpenVINO's int4 format. Do not write to it. Of six layers: the NPU's
    pipeline folds layers that repeat, and fails on two or four (2026.4: "Model references
    undeclared parameters")."""
    folder = tmp_path_factory.mktemp("openvino")
    model = fakes.write_tiny_model(folder / "hf", "llama", num_hidden_layers=6)
    ends = [load_tokenizer(model).eos_token_id]
    build_ir(model, folder / "ir", group=GROUP, ends=ends, tools=openvino_tools)
    return folder / "ir"
