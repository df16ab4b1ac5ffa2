"""Phi-3's two sets of rotary factors: an answer depends on its text alone, not on how or when that
was read, on both sides of the length at which they change; and every form of the configuration that
transformers reads exports."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fakes
import fieldpack
from fieldpack.generation.generator import TextGenerator
from fieldpack.generation.kv_cache import KVCache
from fieldpack.generation.longrope import FILE, LongRope
from fieldpack_build.export import FP32, Candidate, adjust_config, build_onnx
from fieldpack_build.export.builder_source import builder_source
from fieldpack_build.models import causal_lm
from fieldpack_build.models.torch_cache import TorchCache
from fieldpack_build.pipeline.store import Store
from fieldpack_build.pipeline.task import Task
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.stages import base
from fieldpack_build.stages import export as export_stage
from long_texts import (
    IDS,
    TOKENS,
    Logits,
    gap,
    open_cache,
    read,
    tokens,
    torch_logits,
    torch_tokens,
)

ORIGINAL = 96  # tokens: half of it, all of it and three times it are a second's work
CLOSE = 1e-3  # of logits of about 5 in float32; factors of the wrong set move them by several units
LENGTHS = (ORIGINAL // 2, ORIGINAL, 3 * ORIGINAL)
FORMS = (
    "transformers 5",
    "transformers 5, partial rotary",
    "transformers 4",
    "transformers 4, partial rotary, rope_type",
)


@dataclass(frozen=True)
class Model:
    source: Path
    exported: Path
    logits: Logits

    def new_cache(self) -> KVCache:
        return open_cache(self.exported)


def write_source(folder: Path, form: str) -> Path:
    """A random Phi-3 whose config.json is in `form`. The kernel wants a multiple of 16 rotated
    values of a head: 16 of 32."""
    share = 0.5 if "partial" in form else 1.0
    pairs = int(16 * share)
    factors = {
        "short_factor": [1 + 0.02 * i for i in range(pairs)],
        "long_factor": [1 + 0.9 * i for i in range(pairs)],
    }
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "partial_rotary_factor": share,
        "original_max_position_embeddings": ORIGINAL,
        **factors,
    }
    fakes.write_tiny_model(
        folder, "phi3", original_max_position_embeddings=ORIGINAL, rope_parameters=rope
    )
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    assert "type" not in config["rope_parameters"]
    if form.startswith("transformers 4"):
        del config["rope_parameters"]
        kind = "rope_type" if "rope_type" in form else "type"
        config |= {"rope_scaling": {kind: "longrope", **factors}, "rope_theta": 10000.0}
        config |= {"partial_rotary_factor": share} if share != 1 else {}
        path.write_text(json.dumps(config), encoding="utf-8")
    return folder


def export(source: Path, folder: Path, candidate: Candidate = FP32, context: int = 512) -> Path:
    build_onnx(source, folder, candidate, folder.parent / "work")
    adjust_config(folder, causal_lm.load_tokenizer(source), fakes.CHAT, context)
    return folder


@pytest.fixture(scope="module", params=FORMS)
def every(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("longrope")
    source = write_source(folder / "hf", request.param)
    return Model(source, export(source, folder / "onnx"), torch_logits(source))


@pytest.fixture(scope="module")
def phi(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("longrope")
    source = write_source(folder / "hf", FORMS[0])
    return Model(source, export(source, folder / "onnx"), torch_logits(source))


def test_slices_say_what_reading_at_once_says(every: Model) -> None:
    for length in (*LENGTHS, ORIGINAL + 1):
        assert gap(read(every.new_cache(), IDS[:length]), every.logits(IDS[:length])) < CLOSE, (
            length
        )


def test_the_answers_are_transformers_fresh_and_kept(every: Model) -> None:
    cache = every.new_cache()
    for length in (
        *LENGTHS,
        LENGTHS[0],
        LENGTHS[2],
        LENGTHS[1],
    ):  # each after a longer and after a shorter one
        expected = torch_tokens(every.logits, IDS[:length])
        assert tokens(every.new_cache(), IDS[:length]) == expected, f"fresh, {length}"
        assert tokens(cache, IDS[:length]) == expected, f"after another question, {length}"


@pytest.mark.parametrize("before", [1, 2, 3, 10, TOKENS - 1, TOKENS])
@pytest.mark.parametrize("speculate", [True, False])
def test_an_answer_that_crosses_the_switch_is_read_again(
    phi: Model, before: int, speculate: bool
) -> None:
    """`before`: tokens of room that the prompt leaves under the original length; the last leaves
    all of the answer there."""
    ids = IDS[: ORIGINAL - before]
    assert tokens(phi.new_cache(), ids, speculate=speculate) == torch_tokens(phi.logits, ids)


@pytest.mark.parametrize("longest", [1, 3, 8])
def test_drafts_across_the_switch_change_no_word(
    phi: Model, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fieldpack.generation.prompt_lookup.MAX_DRAFT", longest)
    again = (IDS[:12] * 9)[: ORIGINAL - 15]  # drafts are found at every step
    assert tokens(phi.new_cache(), again) == torch_tokens(phi.logits, again)


def test_a_rewound_cache_says_what_a_fresh_one_says(phi: Model) -> None:
    cache = phi.new_cache()
    read(cache, IDS[: 2 * ORIGINAL])
    other = [*IDS[: ORIGINAL + 20], *IDS[7:40]]  # parts from what is held behind the switch
    assert gap(read(cache, other), phi.logits(other)) < CLOSE and cache.count == len(other)
    under = [*IDS[: ORIGINAL // 2], *IDS[3:20]]  # and before it
    assert gap(read(cache, under), phi.logits(under)) < CLOSE


def test_every_row_of_a_step_has_the_factors_of_its_length(phi: Model) -> None:
    cache, start = phi.new_cache(), ORIGINAL - 5
    read(cache, IDS[:start])
    rows = cache.forward(IDS[start : start + 12])
    for number, row in enumerate(rows, 1):
        assert gap(row, phi.logits(IDS[: start + number])) < CLOSE, number
    cache.trim(ORIGINAL - 2)
    rows = cache.forward(IDS[ORIGINAL - 2 : ORIGINAL + 2])
    assert max(gap(row, phi.logits(IDS[: ORIGINAL - 1 + n])) for n, row in enumerate(rows)) < CLOSE


def test_a_stream_and_what_was_read_ahead(phi: Model) -> None:
    generator = TextGenerator.open(phi.exported)
    text = "The pump is serviced every 400 hours. " * 20
    for words in (14, 40, 90, 20):
        prompt = " ".join(text.split()[:words])
        generator.read_ahead(prompt[: len(prompt) // 2], max_context=500)
        ids = generator.encode(prompt)
        expected = torch_tokens(phi.logits, ids)
        ends = [n for n, token in enumerate(expected) if token in generator._end_tokens]
        expected = expected[: ends[0] + 1] if ends else expected
        assert "".join(
            generator.stream(prompt, max_new_tokens=TOKENS, max_context=500)
        ) == generator.decode(expected)


def test_a_guided_answer_crosses_the_switch(phi: Model) -> None:
    """Inside a JSON string every token of letters is allowed behind one of letters (behind half a
    character only its rest is): the one chosen is the best of them at least, by transformers'
    logits of the whole text, on both sides of the switch; and the string that was begun goes on."""
    generator = TextGenerator.open(phi.exported)
    ids = generator.encode("The pump is serviced every 400 hours. " * 9)[: ORIGINAL - 16]
    said = list(
        generator._constrained_tokens(
            ids, 40, json.dumps({"type": "string", "minLength": 60, "maxLength": 90}), None
        )
    )
    assert (
        len(said) == 40
        and generator.decode(said).lstrip()[0] == '"'
        and generator.decode(said).count('"') == 1
    )
    words = [generator.decode([token]) for token in range(len(phi.logits(ids)))]
    letters = [
        token for token, word in enumerate(words) if word.isascii() and word.strip().isalpha()
    ]
    checked = [place for place in range(2, len(said)) if said[place - 1] in letters]
    for place in checked:
        logits = phi.logits([*ids, *said[:place]])
        assert logits[said[place]] > logits[letters].max() - CLOSE, place
    assert sum(len(ids) + place > ORIGINAL for place in checked) > 5 < len(checked)


def test_a_quantized_model_takes_the_choice_too(phi: Model, tmp_path: Path) -> None:
    folder = export(phi.source, tmp_path / "int8", Candidate("int8", None, 32))
    cache = open_cache(folder)
    for length in LENGTHS:
        mine, theirs = read(cache, IDS[:length]), phi.logits(IDS[:length])
        assert np.corrcoef(mine, theirs)[0, 1] > 0.98, length
        assert tokens(cache, IDS[:length]) == tokens(open_cache(folder), IDS[:length]), length


def test_the_tables_have_the_rows_of_the_context(phi: Model, tmp_path: Path) -> None:
    import onnx

    def rows(folder: Path) -> set[int]:
        graph = onnx.load(str(folder / "model.onnx"), load_external_data=False).graph
        choice = next(node for node in graph.node if node.op_type == "If")
        return {
            node.attribute[0].t.dims[0] for branch in choice.attribute for node in branch.g.node
        }

    assert rows(phi.exported) == {ORIGINAL, 512}
    with pytest.raises(fieldpack.EngineFailed, match="cos_cache"):
        open_cache(phi.exported).prefill(IDS[:600], capacity=700, max_capacity=900)


def test_the_builder_s_type_and_scale(tmp_path: Path) -> None:
    """transformers' own scale of the attention, also where the configuration names one."""
    source = write_source(tmp_path / "hf", FORMS[0])
    path = source / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["rope_parameters"]["attention_factor"] = 1.5
    path.write_text(json.dumps(config), encoding="utf-8")
    written = builder_source(source, tmp_path / "work") / "config.json"
    rope = json.loads(written.read_text(encoding="utf-8"))["rope_parameters"]
    assert (rope["type"], rope["short_mscale"], rope["long_mscale"]) == ("longrope", 1.5, 1.5)
    assert "type" not in json.loads(path.read_text(encoding="utf-8"))["rope_parameters"], (
        "a source is nobody's to change"
    )


def test_a_phi_with_one_set_and_two_lengths_exports(tmp_path: Path) -> None:
    """The builder takes it for a model with two sets: KeyError, after training."""
    source = fakes.write_tiny_model(
        tmp_path / "hf", "phi3", original_max_position_embeddings=ORIGINAL
    )
    folder = export(source, tmp_path / "onnx")
    assert LongRope.read(folder) is None
    assert gap(read(open_cache(folder), IDS[:200]), torch_logits(source)(IDS[:200])) < CLOSE


def test_torch_s_own_cache_crosses_the_switch(phi: Model) -> None:
    """What an export is measured against: one token at a time, several across the switch, copied,
    and cut back."""
    import torch

    cache = TorchCache(causal_lm.load_model(phi.source, dtype=torch.float32).eval())
    with torch.no_grad():
        assert (
            gap(
                cache.append(IDS[: ORIGINAL - 3], last_only=True)[-1].numpy(),
                phi.logits(IDS[: ORIGINAL - 3]),
            )
            < CLOSE
        )
        twin = cache.copy()
        rows = cache.append(IDS[ORIGINAL - 3 : ORIGINAL + 5])
        for place in range(ORIGINAL - 3, ORIGINAL + 5):
            expected = phi.logits(IDS[: place + 1])
            assert gap(rows[place - ORIGINAL + 3].numpy(), expected) < CLOSE, place
            assert gap(twin.append([IDS[place]])[-1].numpy(), expected) < CLOSE, place
        cache.crop(ORIGINAL - 10)
        row = cache.append(IDS[ORIGINAL - 10 : ORIGINAL])[-1]
    assert gap(row.numpy(), phi.logits(IDS[:ORIGINAL])) < CLOSE


def test_the_export_stage_measures_it_as_transformers_has_it(phi: Model, tmp_path: Path) -> None:
    """Prompts and answers on both sides of the switch, and a context that the model does not take."""
    rows = [
        {"question": "What is it? " * times, "answer": "Every 400 hours. " * 3}
        for times in (1, 2, 3, 4, 5, 8, 20, 40)
    ]
    (tmp_path / "train.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
    )
    path = tmp_path / "toy.yaml"
    path.write_text(
        json.dumps(
            {
                "name": "toy",
                "version": "1.0.0",
                "base": {"model": str(phi.source), "license": "CC0-1.0"},
                "train": {"method": "lora", "data": "train.jsonl"},
                "export": {"precision": "fp32", "max_context": 2048},
                "answer": {"system": "Answer.", "refusal": "No.", "max_answer_tokens": 24},
                "bundle": {"description": "A toy", "license": "CC0-1.0"},
            }
        )
    )
    recipe, store = load_recipe(path), Store(tmp_path / "cache")
    inputs = {"base": tmp_path / "base"}
    for stage, out in ((base, inputs["base"]), (export_stage, tmp_path / "export")):
        out.mkdir()
        task = Task(recipe, inputs, out, store)
        stage.run(task)
    facts = json.loads((tmp_path / "export" / "export.json").read_text(encoding="utf-8"))
    assert (facts["same_next_token"], facts["same_answers"]) == (1.0, 1.0) and facts["kl"] < 1e-5, (
        facts
    )
    assert any("the bundle's context is 1,024" in warning for warning in task.warnings)
    config = json.loads(
        (tmp_path / "export" / "model" / "genai_config.json").read_text(encoding="utf-8")
    )
    assert config["search"]["max_length"] == 1024 and LongRope.read(tmp_path / "export" / "model")


@pytest.mark.parametrize(
    "content", ["", "[]", '{"input": "x"}', '{"input": "x", "original_length": "many"}']
)
def test_a_damaged_file_is_a_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content, encoding="utf-8")
    with pytest.raises(fieldpack.BundleCorrupt, match="copy the bundle again"):
        LongRope.read(tmp_path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rope: Any = LongRope("fieldpack.long_rope", 4096)
    assert LongRope.read(tmp_path) is None
    rope.write(tmp_path)
    assert LongRope.read(tmp_path) == rope and (rope.is_long(4096), rope.is_long(4097)) == (
        False,
        True,
    )
