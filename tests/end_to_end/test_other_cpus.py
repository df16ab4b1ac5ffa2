"""One bundle on processors with other kernels than this one's: x86-64 with AVX2 alone, and ARM64.
Whole numbers are summed exactly, but scales are not: similarities and logits differ in their last
digits. So passages and words are compared, not logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from other_cpus import Processor, arm64, avx2, this_processor

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.timeout(4 * 3600),
]  # emulated, a hundred times slower
QUESTIONS = ("What does the A class cost?", "When is the filter changed?", "Кто закрывает дверь?")


@pytest.fixture(scope="module")
def emulated_arm64(pytestconfig: pytest.Config) -> Processor:
    """ARM64, its parts fetched once a machine."""
    assert pytestconfig.cache
    try:
        return arm64(Path(pytestconfig.cache.mkdir("fieldpack")))
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def native(sealed: Path) -> dict[str, Any]:
    return this_processor().answer(sealed, QUESTIONS)


def require_the_same(native: dict[str, Any], other: dict[str, Any]) -> None:
    """The letter embedder's passages do not come near each other, so their order is the same. Of a
    random model's words the first alone is: what follows turns on the last digit."""
    for question, mine, theirs in zip(QUESTIONS, native["answers"], other["answers"], strict=True):
        assert theirs["passages"] == mine["passages"], question
        # One unit of the fourth digit, to which both are rounded, and no more.
        assert theirs["similarities"] == pytest.approx(mine["similarities"], abs=1.5e-4), question
        assert theirs["refused"] == mine["refused"], question
        assert theirs["text"][:1] == mine["text"][:1], question


def test_avx2(sealed: Path, native: dict[str, Any]) -> None:
    processor = avx2()
    if processor is None:
        pytest.skip("qemu-x86_64 is not here (Debian: qemu-user)")
    require_the_same(native, processor.answer(sealed, QUESTIONS))


def test_arm64(sealed: Path, native: dict[str, Any], emulated_arm64: Processor) -> None:
    other = emulated_arm64.answer(sealed, QUESTIONS)
    assert (native["machine"], other["machine"]) == ("x86_64", "aarch64")
    require_the_same(native, other)


def test_a_damaged_file_is_found_on_arm64(bundle: Path, emulated_arm64: Processor) -> None:
    path = bundle / "knowledge" / "vectors.bin"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match="BundleCorrupt"):
        emulated_arm64.answer(bundle, QUESTIONS[:1])
