"""From a model's folder to the ONNX model a device opens: candidates of precision, their building,
measuring and choice. Knows nothing of stages, caches or bundles."""

from ..models.precision import FP32, Candidate
from .build_onnx import adjust_config, build_onnx, folder_mb

__all__ = ["FP32", "Candidate", "adjust_config", "build_onnx", "folder_mb"]
