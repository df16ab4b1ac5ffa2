"""Every engine gives the vectors of the runtime's own embedder, or does not embed at all."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fakes
from fieldpack.retrieval.embedder import Embedder, EmbedderSettings
from fieldpack_build.embedding import agreement, torch_model
from fieldpack_build.embedding.cuda_engine import CudaEngine, halving
from fieldpack_build.embedding.engine import WINDOW
from fieldpack_build.embedding.engines import OnnxEngine, choose, open_engine, problems
from fieldpack_build.embedding.ray_engine import RayEngine
from fieldpack_build.errors import CheckFailed, MachineError
from fieldpack_build.recipe.schema import EmbedderSource, Knowledge
from toys import DOCUMENTS, Project

pytest_plugins = ["toys"]

TEXTS = [text for _, text in DOCUMENTS.values()]


def silent(note: str) -> None:
    pass


def knowledge(**keys: object) -> Knowledge:
    return Knowledge(documents="d", embedder=EmbedderSource(model="m"), **keys)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.write_letter_embedder(
        tmp_path_factory.mktemp("letters") / "embedder", passage_prefix="p: "
    )


# --- here -----------------------------------------------------------------------------------------


def test_onnx_is_the_runtime_s_embedder_however_texts_are_cut(letters: Path) -> None:
    texts = [f"text {i} " + "xyz" * (i % 11) for i in range(WINDOW + 5)]
    engine = open_engine(knowledge(engine="onnx"), letters, None, silent)
    vectors = engine.embed(texts)
    embedder = Embedder.open(letters)
    expected = np.concatenate(
        [embedder.embed_passages(texts[:WINDOW]), embedder.embed_passages(texts[WINDOW:])]
    )
    assert vectors.tobytes() == expected.tobytes()
    assert engine.embed([]).shape == (0, fakes.DIM)
    assert engine.block % WINDOW == 0 and engine.describe()["engine"] == "onnx"


def test_auto_is_onnx_where_there_is_no_gpu(letters: Path) -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")
    assert choose(knowledge()) == "onnx"
    assert isinstance(open_engine(knowledge(), letters, letters, silent), OnnxEngine)
    with pytest.raises(
        MachineError, match="torch sees no CUDA GPU here; say auto or onnx"
    ) as caught:
        open_engine(knowledge(engine="cuda"), letters, letters, silent)
    assert caught.value.exit_code == 10


def test_an_address_that_nobody_reads_is_a_problem() -> None:
    assert problems(knowledge()) == problems(knowledge(engine="ray", ray_address="auto")) == []
    assert "only knowledge.engine: ray reads it" in problems(knowledge(ray_address="head:6379"))[0]


def test_canaries_refuse_what_points_elsewhere() -> None:
    ones = np.eye(3, dtype=np.float32)
    assert agreement.require_agreement("x", ones, ones) == 1
    with pytest.raises(CheckFailed, match=r"x differs .* cosine 0\.0000, at least 0\.999"):
        agreement.require_agreement("x", ones, ones[::-1])
    with pytest.raises(CheckFailed, match="cosine nan"):
        agreement.require_agreement("x", ones * np.float32(np.nan), ones)
    with pytest.raises(CheckFailed, match=r"cosine -1"):
        agreement.require_agreement("x", ones[:, :2], ones)


# --- sentence-transformers, on a CPU --------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(toy: Project) -> Path:
    """The toy's embedding model as the embedder stage exports it."""
    key = toy.build(only="embedder")["keys"]["embedder"]
    return toy.store.folder("embedder", key)


def test_sentence_transformers_agrees_with_the_export(toy: Project, exported: Path) -> None:
    engine = CudaEngine.open(toy.folder / "models" / "embedder", exported, silent, device="cpu")
    texts = [*TEXTS, "", "fog " * 500]
    assert engine.embed(texts) == pytest.approx(OnnxEngine.open(exported).embed(texts), abs=1e-4)
    assert np.linalg.norm(engine.embed(TEXTS), axis=1) == pytest.approx(np.ones(len(TEXTS)))
    assert engine.embed([]).shape == (0, 64)
    facts = engine.describe()
    assert (facts["device"], facts["precision"]) == ("cpu", "float32") and facts[
        "cosine_to_onnx"
    ] >= 0.999
    engine.close()


def test_the_passage_prefix_is_put_once_and_no_other(toy: Project) -> None:
    model = torch_model.load(toy.folder / "models" / "embedder")
    model.prompts, model.default_prompt_name = {"query": "ask: "}, "query"
    settings = EmbedderSettings(64, 128, passage_prefix="fog: ")
    with_prefix = CudaEngine(model, settings, device="cpu").embed(["the lamp"])
    without = CudaEngine(model, EmbedderSettings(64, 128), device="cpu").embed(["fog: the lamp"])
    assert with_prefix == pytest.approx(without, abs=1e-6)


def test_another_model_is_refused_with_the_figure(
    toy: Project, exported: Path, tmp_path: Path
) -> None:
    import torch
    from transformers import BertModel

    source = Path(shutil.copytree(toy.folder / "models" / "embedder", tmp_path / "other"))
    model = BertModel.from_pretrained(source)
    torch.manual_seed(5)
    torch.nn.init.normal_(model.embeddings.word_embeddings.weight)
    model.save_pretrained(source)
    with pytest.raises(
        CheckFailed, match=r"sentence-transformers on cpu in float32 differs .* cosine -?0\.\d{4}"
    ):
        CudaEngine.open(source, exported, silent, device="cpu")


def test_a_batch_that_does_not_fit_is_halved() -> None:
    tried: list[int] = []
    freed: list[int] = []

    def run(batch: int) -> str:
        tried.append(batch)
        if batch > fits:
            raise MemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")
        return "done"

    fits = 70
    assert halving(run, 1024, MemoryError, lambda: freed.append(1)) == ("done", 64)
    assert tried == [1024, 512, 256, 128, 64] and len(freed) == 4
    fits = 0
    with pytest.raises(MachineError, match=r"one text does not fit the GPU's memory: .* 2 GiB$"):
        halving(run, 2, MemoryError, lambda: None)


# --- a Ray cluster of two workers -----------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(letters: Path) -> Iterator[RayEngine]:
    if (
        find_spec("ray") is None
    ):  # not importorskip: what Ray listens on is settled when it is imported
        pytest.skip('ray is not installed: pip install "fieldpack[ray]"')
    engine = RayEngine.open(letters, None, silent, cores=2)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def many(letters: Path) -> tuple[Sequence[str], NDArray[np.float32]]:
    texts = [f"text {i} " + "abc" * (i * 7 % 31) for i in range(24 * WINDOW + 7)]
    return texts, OnnxEngine.open(letters).embed(texts)


def test_ray_gives_the_same_bytes(
    cluster: RayEngine, many: tuple[Sequence[str], NDArray[np.float32]]
) -> None:
    texts, expected = many
    assert cluster.embed(texts).tobytes() == expected.tobytes()
    assert cluster.embed([]).shape == (0, fakes.DIM)
    facts = cluster.describe()
    assert (facts["workers"], facts["address"], facts["cosine_to_onnx"]) == (2, "local", 1.0)
    assert cluster.block >= 4 * WINDOW


def test_a_killed_worker_is_replaced(
    cluster: RayEngine, many: tuple[Sequence[str], NDArray[np.float32]]
) -> None:
    texts, expected = many
    before = cluster.processes()
    os.kill(before[0], signal.SIGSTOP)  # or else it may have done its share before it is killed
    killer = threading.Timer(0.3, os.kill, (before[0], 9))
    killer.start()
    vectors = cluster.embed(texts)
    killer.join()
    assert vectors.tobytes() == expected.tobytes()
    after = cluster.processes()
    assert after[0] != before[0] and after[1] == before[1]


def test_a_local_cluster_listens_on_loopback_only(cluster: RayEngine) -> None:
    import psutil

    family = [process.pid for process in psutil.Process().children(recursive=True)]
    listening = [
        c.laddr.ip
        for pid in [os.getpid(), *family]
        for c in _connections(pid)
        if c.status == "LISTEN"
    ]
    assert len(listening) > 3 and set(listening) <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def _connections(pid: int) -> list[Any]:
    import psutil

    try:
        return list(psutil.Process(pid).net_connections("inet"))
    except psutil.NoSuchProcess:
        return []


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "nowhere"])
def test_an_unreachable_cluster_is_a_sentence(letters: Path, address: str) -> None:
    with socket.socket() as taken:  # that nobody else gets it, and nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(MachineError, match="write host:port of a Ray head") as caught:
            RayEngine.open(letters, address.format(port=port), silent)
    assert caught.value.exit_code == 10
