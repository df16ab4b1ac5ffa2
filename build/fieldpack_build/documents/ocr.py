"""Reads the text in an image, offline: RapidOCR with the PP-OCR models that come in its wheel,
through onnxruntime.

Knows nothing of documents or files. Pages must stand upright: of one upside down the words are
right and the lines in reverse, one on its side is not read.
"""

from __future__ import annotations

import multiprocessing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import fieldpack  # before onnxruntime: it switches off its telemetry  # noqa: F401
from fieldpack_build.errors import MachineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MODELS = {"Det": "*_det_*.onnx", "Cls": "*_cls_*.onnx", "Rec": "*_rec_*.onnx"}
# Pixels to which a larger image is reduced: A4 at 170 dots an inch, 4 s a page on one core. A
# smaller one stays as it is: RapidOCR would bring its short side to 736, 17 times the work for a
# strip of 900 x 120 and the same text.
_LONGEST_SIDE = 2000
_SURE = 0.5  # under this RapidOCR's own score a "text" is a stain or a pattern


class _Cell(NamedTuple):
    left: float
    top: float
    bottom: float
    text: str


def page_text(image: NDArray[np.uint8]) -> str:
    """Return the text of an image [height, width, 3] in RGB, "" for none.

    Lines are from top to bottom, parts of a line "a  b". Raises MachineError where the extra is not
    installed.
    """
    result = _engine()(image[:, :, ::-1])
    if result.boxes is None or result.txts is None:
        return ""
    cells = [
        _Cell(float(box[:, 0].min()), float(box[:, 1].min()), float(box[:, 1].max()), text.strip())
        for box, text in zip(result.boxes, result.txts, strict=True)
    ]
    return "\n".join("  ".join(cell.text for cell in line) for line in _lines(cells))


def _lines(cells: list[_Cell]) -> list[list[_Cell]]:
    """Cells whose middles lie within each other's height are one line."""
    lines: list[list[_Cell]] = []
    for cell in sorted(cells, key=lambda cell: (cell.top + cell.bottom) / 2):
        middle = (cell.top + cell.bottom) / 2
        if lines and lines[-1][-1].top < middle < lines[-1][-1].bottom:
            lines[-1].append(cell)
        else:
            lines.append([cell])
    return [sorted(line) for line in lines]


@cache
def _engine() -> Any:
    try:
        import rapidocr
    except ModuleNotFoundError as error:
        raise MachineError(
            'knowledge.ocr: no OCR library here; pip install "fieldpack[ocr]"'
        ) from error
    except ImportError as error:  # OpenCV without a library of the system that it wants
        raise MachineError(
            f'knowledge.ocr: {error}; pip install opencv-python-headless, then "fieldpack[ocr]"'
        ) from error
    folder = Path(rapidocr.__file__).parent / "models"
    # With the path of each model given, RapidOCR has nothing left to look for on the network.
    models: dict[str, str] = {}
    for part, pattern in _MODELS.items():
        path = min(folder.glob(pattern), default=None)
        if path is None:
            raise MachineError(
                f"knowledge.ocr: no {pattern} in {folder}; pip install --force-reinstall "
                '"fieldpack[ocr]"'
            )
        models[f"{part}.model_path"] = str(path)
    # In a pool of readers each has a core; alone it may have them all (-1).
    threads = 1 if multiprocessing.parent_process() else -1
    settings = {
        "Global.log_level": "critical",
        "Global.max_side_len": _LONGEST_SIDE,
        "Det.limit_type": "max",
        "Det.limit_side_len": _LONGEST_SIDE,
        "Global.text_score": _SURE,
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
    }
    return rapidocr.RapidOCR(params={**models, **settings})
