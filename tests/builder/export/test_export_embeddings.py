"""Input embeddings beside quantized matrices: no float32 table is left, whether the two matrices
are one or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fakes
from fieldpack.generation.kv_cache import WINDOW
from fieldpack_build.export import Candidate, build_onnx
from fieldpack_build.export.quantize_embeddings import tied_copy
from fieldpack_build.models import causal_lm


def write_untied(folder: Path, *, equal: bool) -> Path:
    import torch

    fakes.write_tiny_model(folder, "qwen2")
    model = causal_lm.load_model(folder)
    model.config.tie_word_embeddings = False
    same = model.get_input_embeddings().weight.detach().clone()
    model.lm_head.weight = torch.nn.Parameter(same if equal else torch.randn_like(same) * 0.2)
    model.save_pretrained(folder)
    return folder


def test_equal_matrices_are_tied_before_the_export_and_others_left_alone(tmp_path: Path) -> None:
    equal = write_untied(tmp_path / "equal", equal=True)
    copy = tied_copy(equal, tmp_path / "copy")
    assert copy == tmp_path / "copy" and causal_lm.load_config(copy).tie_word_embeddings is True
    assert {path.name for path in copy.iterdir()} == {path.name for path in equal.iterdir()}
    assert causal_lm.load_config(equal).tie_word_embeddings is False, (
        "a source is nobody's to change"
    )
    for folder in (
        write_untied(tmp_path / "other", equal=False),
        fakes.write_tiny_model(tmp_path / "tied", "qwen2"),
    ):
        assert tied_copy(folder, tmp_path / "none") == folder and not (tmp_path / "none").exists()


def test_an_untied_table_is_looked_up_in_int8(tmp_path: Path) -> None:
    """Against the same export with the float table put back: only the rounding to int8 may show."""
    import onnx_ir as ir

    source = write_untied(tmp_path / "model", equal=False)
    build_onnx(source, tmp_path / "out", Candidate("int8", None, 32), tmp_path / "work")
    model = ir.load(tmp_path / "out" / "model.onnx")
    names = set(model.graph.initializers)
    assert "model.embed_tokens.weight" not in names and "model.embed_tokens.weight_Q8" in names
    assert not (tmp_path / "work").exists()
    import torch

    with torch.no_grad():
        full = causal_lm.load_model(source)(torch.arange(40, 80).reshape(1, -1)).logits[0].numpy()
    assert abs(logits(tmp_path / "out") - full)[-WINDOW:].mean() < 0.1 * full.std()


def logits(folder: Path) -> Any:
    import numpy as np
    import onnxruntime_genai as og

    model = og.Model(str(folder))
    params = og.GeneratorParams(model)
    params.set_search_options(max_length=41)
    generator = og.Generator(model, params)
    generator.append_tokens(list(range(40, 80)))
    return np.array(generator.get_output("logits"), dtype=np.float32).reshape(40, -1)
