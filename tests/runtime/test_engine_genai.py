"""onnxruntime-genai does what every engine has to."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine_contract import EngineContract
from fieldpack.devices import Device
from fieldpack.generation.engine import Engine
from fieldpack.generation.generator import TextGenerator


class TestGenai(EngineContract):
    @pytest.fixture(scope="class")
    def engine(self, exported_llama: Path) -> Engine:
        return TextGenerator.open(exported_llama, device=Device("cpu", 1))
