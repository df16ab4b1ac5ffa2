"""Every architecture of `architectures`: what `build check` says of it and, where it is accepted,
that the exported model says what transformers says. The whole matrix has a mark of its own (`pytest
-m matrix`, minutes); docs/architectures.md is its table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

import architectures
import matrix
from fieldpack_build.errors import StageError
from fieldpack_build.export import FP32, build_onnx
from fieldpack_build.models.inspection import Use, inspect_model
from fieldpack_build.models.precision import parse
from matrix import Row

REFUSED = ("Granite 4, Mamba", "GPT-2", "Falcon", "BLOOM", "StableLM", "Mixtral", "OLMo 2")
NOT_QUANTIZED = ("gpt-oss",)
# Each needs another of export/corrections.py.
CORRECTED = ("SmolLM3", "Gemma 3", "OLMo, clipped", "Qwen3, YaRN")


def written() -> dict[str, list[str]]:
    """Architecture -> the other cells of its line in the docs."""
    lines = [
        line
        for line in matrix.TABLE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
    return {name: rest for name, *rest in cells}


def test_the_table_has_a_line_for_every_architecture() -> None:
    assert list(written()) == list(architectures.ARCHITECTURES)


@pytest.mark.parametrize("name", list(architectures.ARCHITECTURES))
def test_check_says_what_the_table_says(tmp_path: Path, name: str) -> None:
    row = matrix.check(Row(name), matrix.prepare(name, tmp_path), tmp_path)
    assert row.check == written()[name][0] == ("no" if name in REFUSED else "yes")
    if row.check == "no":
        assert row.why == written()[name][-1] != ""


@pytest.mark.parametrize("name", CORRECTED)
def test_a_corrected_export_says_what_transformers_says(tmp_path: Path, name: str) -> None:
    row = matrix.run_row(name, tmp_path, lengths=(170,), int4=False)
    assert row.works, row


def test_a_rope_that_changes_with_the_length_is_refused(tmp_path: Path) -> None:
    dynamic = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
    source = architectures.write(tmp_path / "model", "Llama", rope_parameters=dynamic)
    with pytest.raises(StageError, match="picks its factors by the text's length"):
        build_onnx(source, tmp_path / "out", FP32, tmp_path / "work")


def test_what_cannot_be_quantized_is_refused_with_a_way_out(tmp_path: Path) -> None:
    source = architectures.write(tmp_path / "model", "gpt-oss")
    wanted = parse("int4-k_quant_mixed-32"), parse("int8-32")
    fixed = inspect_model(source, Use(export=wanted[:1])).problems
    chosen = inspect_model(source, Use(export=wanted, fixed=False)).problems
    assert len(fixed) == len(chosen) == 1 and "from its publisher's MXFP4 tensors alone" in fixed[0]
    assert fixed[0].endswith("; set export.precision: fp32")
    assert chosen[0].endswith("; none of export.candidates fits: add fp32")
    assert inspect_model(source, Use(export=(FP32,))).problems == ()


def test_a_wrong_token_is_seen() -> None:
    """The comparison itself: one token changed, one left away, one too many."""
    letters: Mapping[int, str] = dict(enumerate("abcdef"))

    class Letters:
        def decode(self, ids: list[int]) -> str:
            return "".join(letters[n] for n in ids)

    expected = matrix.Answer([0, 1, 2, 3], [1.0, 1e-6, 1.0, 1.0], noise=1e-6)

    def parts(text: str) -> int | None:
        return matrix.parts_at(Letters().decode, text, len(text), expected)

    assert [parts(text) for text in ("abcd", "abed", "fbcd", "abc", "abcde")] == [None, 2, 0, 3, 3]
    assert [expected.is_tie(place) for place in range(4)] == [False, True, False, False]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    names = list(architectures.ARCHITECTURES)
    return {row.name: row for row in matrix.run_rows(names, tmp_path_factory.mktemp("matrix"))}


@pytest.mark.matrix
@pytest.mark.timeout(1800)
def test_what_check_accepts_works(rows: dict[str, Row]) -> None:
    accepted = [row for row in rows.values() if row.check == "yes"]
    failed = [row for row in accepted if not row.works]
    assert not failed and len(accepted) == len(rows) - len(REFUSED)
    assert {row.name for row in accepted if row.export != ("fp32", "int4")} == set(NOT_QUANTIZED)
    assert all(row.trained and row.trained[0] for row in accepted)
    # Answers long enough to tell something: a model of random weights may close one at its first
    # token.
    assert all(row.tokens >= row.compared * matrix.NEW_TOKENS / 2 for row in accepted)
    # Ties are counted as equal, so there must not be many.
    assert sum(row.ties for row in accepted) <= len(accepted) / 4


@pytest.mark.matrix
def test_the_table_in_the_docs_is_what_was_measured(rows: dict[str, Row]) -> None:
    assert matrix.TABLE.read_text(encoding="utf-8") == matrix.table(rows.values()), (
        "run: python matrix.py --write"
    )
