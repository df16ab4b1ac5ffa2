"""A newer release of which only the documents changed uses the models that are open already, and
files that were linked elsewhere are hashed beside the questions."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

import fakes
import fieldpack
from fieldpack.errors import BundleCorrupt

QUESTION = "What does the A class of the Global Equity Fund cost a year?"


def next_release(sealed: Path, folder: Path, changed: str) -> Path:
    """A copy that differs in one file, which is changed without a change of meaning."""
    shutil.copytree(sealed, folder)
    path = folder / changed
    path.write_text(json.dumps(json.loads(path.read_text()), indent=3) + "\n")
    fakes.reseal(folder)
    return folder


def test_models_of_the_same_files_are_shared(sealed: Path, tmp_path: Path) -> None:
    newer_path = next_release(sealed, tmp_path / "newer", "prompt.json")
    with fieldpack.open(newer_path, threads=1) as alone:
        wanted = alone.ask(QUESTION)
    old = fieldpack.open(sealed, threads=1)
    assert old.ask(QUESTION).text == wanted.text
    with fieldpack.open(newer_path, threads=1) as newer:
        newer.borrow_models(old)
        newer.load()
        assert newer._rag and old._rag and newer._retriever and old._retriever
        assert newer._rag.generator is old._rag.generator
        assert newer._retriever.index is not old._retriever.index
        sessions = old._retriever.embedder._sessions
        assert newer._retriever.embedder._sessions is sessions and sessions
        assert newer.ask(QUESTION).text == wanted.text
        old.close()
        answer = newer.ask(QUESTION)
    assert (answer.text, answer.citations) == (wanted.text, wanted.citations)


@pytest.mark.parametrize(
    ("changed", "model", "embedder"),
    [("model/genai_config.json", False, True), ("embedder/embedder.json", True, False)],
)
def test_models_of_other_files_are_opened(
    sealed: Path, tmp_path: Path, changed: str, model: bool, embedder: bool
) -> None:
    newer_path = next_release(sealed, tmp_path / "newer", changed)
    with fieldpack.open(sealed, threads=1) as old, fieldpack.open(newer_path, threads=1) as newer:
        old.load()
        newer.borrow_models(old)
        newer.load()
        assert newer._rag and old._rag and newer._retriever and old._retriever
        assert (newer._rag.generator is old._rag.generator) == model
        shared = newer._retriever.embedder._sessions is old._retriever.embedder._sessions
        assert shared == embedder


def test_models_on_another_device_are_opened(sealed: Path) -> None:
    with fieldpack.open(sealed, threads=1) as old, fieldpack.open(sealed, threads=2) as newer:
        old.load()
        newer.borrow_models(old)
        newer.load()
        assert newer._rag and old._rag and newer._rag.generator is not old._rag.generator


def test_a_linked_file_is_hashed_beside_the_questions(bundle: Path) -> None:
    path = bundle / "knowledge" / "vectors.bin"
    with fieldpack.open(bundle, threads=1) as expert:
        expert.load()
        os.link(path, bundle.parent / "linked")
        assert expert.search(QUESTION)
        # As large as before, and with the time put back: only its hash tells.
        before = path.stat()
        with path.open("r+b") as file:
            file.write(bytes([path.read_bytes()[0] ^ 1]))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        while path.stat().st_ctime_ns == before.st_ctime_ns:  # the kernel's clock turns every 4 ms
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        end = time.monotonic() + 120
        with pytest.raises(BundleCorrupt, match=r"vectors\.bin: has changed"):
            while time.monotonic() < end:
                expert.documents()
        assert "vectors.bin" in expert.damaged
