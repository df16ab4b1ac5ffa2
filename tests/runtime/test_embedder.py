"""Vectors of the letter embedder, known by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

import fakes
import fieldpack
from fieldpack.devices import Device
from fieldpack.retrieval.embedder import Embedder, EmbedderSettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fakes.write_letter_embedder(tmp_path / "embedder", max_tokens=8)


def vector(**counts: int) -> NDArray[np.float32]:
    values = np.zeros(fakes.DIM, dtype=np.float32)
    for letter, count in counts.items():
        values[fakes.LETTERS.index(letter)] = count
    return values / np.float32(max(float(np.linalg.norm(values)), 1e-12))


def test_a_text_is_its_letter_counts(folder: Path) -> None:
    embedder = Embedder.open(folder)
    assert embedder.embed_query("Abba!") == pytest.approx(vector(a=2, b=2))
    assert embedder.embed_query("aab") == pytest.approx(vector(a=2, b=1))
    assert not embedder.embed_query("東京").any() and not embedder.embed_query("").any()


def test_order_and_values_do_not_depend_on_batches(folder: Path) -> None:
    embedder = Embedder.open(folder)
    texts = ["abc"[: 1 + i % 3] * (1 + i * 7 % 5) + "xyz"[i % 3] for i in range(50)]
    steps: list[tuple[int, int]] = []
    together = embedder.embed_passages(
        texts, progress=lambda done, total: steps.append((done, total))
    )
    assert together.shape == (50, fakes.DIM) and together.dtype == np.float32
    assert together == pytest.approx(
        np.stack([embedder.embed_passages([text])[0] for text in texts])
    )
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(50))
    assert steps == [(16, 50), (32, 50), (48, 50), (50, 50)]
    assert embedder.embed_passages([]).shape == (0, fakes.DIM)


def test_long_texts_are_cut_and_counted_whole(folder: Path) -> None:
    embedder = Embedder.open(folder)
    assert embedder.embed_query("a" * 8 + "z" * 100) == pytest.approx(vector(a=1))
    assert embedder.count_tokens("a" * 108) == 108


def test_prefixes_are_embedded_with_their_side_only(tmp_path: Path) -> None:
    embedder = Embedder.open(
        fakes.write_letter_embedder(tmp_path, query_prefix="q", passage_prefix="p")
    )
    assert embedder.embed_query("a") == pytest.approx(vector(q=1, a=1))
    assert embedder.embed_passages(["a"])[0] == pytest.approx(vector(p=1, a=1))


@pytest.mark.parametrize(("pooling", "first"), [("cls", "b"), ("last", "a"), ("mean", None)])
def test_pooling(folder: Path, pooling: Literal["mean", "cls", "last"], first: str | None) -> None:
    replace(EmbedderSettings.read(folder), pooling=pooling).write(folder)
    found = Embedder.open(folder).embed_passages(["ba", "zzzzzz"])[0]  # padded to six
    assert found == pytest.approx(vector(**{first: 1}) if first else vector(a=1, b=1))


def test_the_same_bytes_on_any_number_of_cores(folder: Path) -> None:
    texts = ["abc"[: 1 + i % 3] * (1 + i % 5) for i in range(2100)]  # more than two windows
    found = [
        Embedder.open(folder, device=Device(threads=n)).embed_passages(texts).tobytes()
        for n in (1, 2, 5)
    ]
    assert found[0] == found[1] == found[2]


def test_dense_layers_come_after_pooling(folder: Path) -> None:
    replace(EmbedderSettings.read(folder), dim=2, dense=("identity", "tanh")).write(folder)
    first = np.eye(3, fakes.DIM, dtype=np.float32)
    second = np.array([[1, 1, 0], [0, 0, 2]], dtype=np.float32)
    np.savez(
        folder / "dense.npz",
        w0=first,
        b0=np.array([0, 0, 0.5], np.float32),
        w1=second,
        b1=np.zeros(2, np.float32),
    )
    wanted = np.tanh([1.0, 1.0])  # mean of "ab": a 0.5, b 0.5, c 0 + bias
    assert Embedder.open(folder).embed_query("ab") == pytest.approx(wanted / np.linalg.norm(wanted))
    (folder / "dense.npz").write_bytes(b"PK")
    with pytest.raises(fieldpack.BundleCorrupt, match=r"dense\.npz"):
        Embedder.open(folder)


@pytest.mark.parametrize(
    ("pooling", "expected"), [("max", (1, 1)), ("weightedmean", (5, 1)), ("mean_sqrt_len", (2, 1))]
)
def test_rarer_poolings(folder: Path, pooling: Any, expected: tuple[int, int]) -> None:
    replace(EmbedderSettings.read(folder), pooling=pooling).write(folder)
    assert Embedder.open(folder).embed_query("baa") == pytest.approx(
        vector(a=expected[0], b=expected[1])
    )


def test_a_bundle_of_the_first_version_opens(folder: Path) -> None:
    data = json.loads((folder / "embedder.json").read_text())
    del data["dense"]
    (folder / "embedder.json").write_text(json.dumps(data))
    assert Embedder.open(folder).embed_query("a") == pytest.approx(vector(a=1))


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"dim": 3, "max_tokens": 5, "colour": 1}', "[" * 100_000]
)
def test_damaged_settings_are_corrupt(folder: Path, content: str) -> None:
    (folder / "embedder.json").write_text(content)
    with pytest.raises(fieldpack.BundleCorrupt, match=r"embedder\.json"):
        EmbedderSettings.read(folder)


def test_settings_read_back(folder: Path) -> None:
    settings = EmbedderSettings(5, 6, "last", False, "q: ", "p: ")
    settings.write(folder)
    assert EmbedderSettings.read(folder) == settings
    assert json.loads((folder / "embedder.json").read_text())["query_prefix"] == "q: "
