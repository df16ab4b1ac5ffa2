"""From a model's folder to the ONNX model a device opens: candidates of precision, their building, measuring and choice.
Knows nothing of stages, caches or bundles."""

from . import choosing
from .building import adjust_config, build_onnx, folder_mb
from .candidates import FP32, Candidate

__all__ = ["FP32", "Candidate", "adjust_config", "build_onnx", "choosing", "folder_mb"]
