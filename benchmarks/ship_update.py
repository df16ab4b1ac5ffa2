"""A night's update of a library over HTTP: bytes that travel, seconds and memory to apply them, and
what a client that asks all the while notices.

    python benchmarks/ship_update.py --embedder BUNDLE/embedder --json ship_update.json

The library is made: documents of ten chunks of words with the frequencies of a language (Zipf,
30,000 of them), and random unit vectors of the embedder's width. Then 1% of the documents say
something else, the index is changed in place as a nightly build does it, and the release is shipped
with patches to a folder that a server shows. The device installs the first release, serves it, and
updates while a client asks one question after another; pauses are the times of single questions,
before the update and during it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from measuring import machine, machine_line, table, write_json

sys.path.append(str(Path(__file__).parent.parent / "tests" / "support"))

import fakes
import fieldpack
import hostile_http
import serving
import shipping
from fieldpack.passages import Chunk, DocumentRecord
from fieldpack.prompt import ChatFormat, write_prompt
from fieldpack.retrieval.quoting import QuoteSettings
from fieldpack_app.install.opening import open_installed
from fieldpack_build.index.writer import IndexWriter

_WORDS, _CHUNKS, _LENGTH = 30_000, 10, 150  # vocabulary; chunks of a document; words of a chunk
_QUESTION = "What does the first part of the document say?"


@click.command()
@click.option("--embedder", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--documents", default=2000, show_default=True)
@click.option("--changed", default=0.01, show_default=True, help="Share of the documents.")
@click.option("--json", "output", type=click.Path(path_type=Path), help="Write the figures there.")
def main(embedder: Path, documents: int, changed: float, output: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), embedder, documents, max(1, round(documents * changed)))
    facts = machine(("onnxruntime", "usearch", "tuf"))
    print(machine_line(facts))
    print(table(["figure", "value"], [[name, value] for name, value in found.items()]))
    if output:
        write_json(output, {"machine": facts, **found})


def measure(work: Path, embedder: Path, documents: int, changed: int) -> dict[str, Any]:
    dim = json.loads((embedder / "embedder.json").read_text())["dim"]
    first, second = work / "library-1.0.0", work / "library-1.0.1"
    shutil.copytree(embedder, first / "embedder")
    write_prompt(
        first, ChatFormat("", "", "", ""), replace(fakes.SETTINGS, quoting=QuoteSettings())
    )
    _write(first / "knowledge", dim, [(number, 0) for number in range(documents)])
    shipping.seal(first, "library", "1.0.0")
    shutil.copytree(first, second)
    step = documents // changed
    _write(second / "knowledge", dim, [(number * step, 1) for number in range(changed)])
    shipping.seal(second, "library", "1.0.1")
    yard, device = shipping.make_yard(work), shipping.Device(work / "device")
    yard.ship(first, patches=True)
    with hostile_http.serving(yard.stick) as source:
        done = device.install(source.url)
        assert done.code == 0, done.err
        started = time.monotonic()
        yard.ship(second, patches=True)
        shipped_in = time.monotonic() - started
        slot = device.store / "slots" / device.entry("library")["current"]["digest"] / "bundle"
        source.sent = 0
        asked, during, said, seconds, peak = _update_under_load(work, device, slot)
    whole = sum(path.stat().st_size for path in (second / "knowledge").iterdir())
    return {
        "chunks": documents * _CHUNKS,
        "documents changed": changed,
        "changed files, MB": round(whole / 1e6, 2),
        "sent by the server, MB": round(source.sent / 1e6, 2),
        "blobs and patches, MB": round(said["copied"] / 1e6, 2),
        "ship with patches, s": round(shipped_in, 1),
        "update, s": round(seconds, 1),
        "of it health check, s": said["health"]["seconds"],
        "peak of the updating process, MB": round(peak / 1e3),
        "questions asked": len(asked),
        "questions that failed": sum(code != 200 for code, _ in asked),
        "median question before, s": round(float(np.median([s for _, s in asked[:during]])), 3),
        "slowest question before, s": round(max(s for _, s in asked[:during]), 3),
        "slowest question during and after, s": round(max(s for _, s in asked[during:]), 3),
    }


def _update_under_load(
    work: Path, device: shipping.Device, slot: Path
) -> tuple[list[tuple[int, float]], int, dict[str, Any], float, int]:
    """Return (status, seconds) of each question, how many came before the update, what the update
    said, its seconds, and its peak memory in KB (its child that checks the health apart)."""

    def opener(path: Path) -> fieldpack.Expert:
        return open_installed(path, lambda folder: fieldpack.open(folder, threads=1))

    def follower(path: Path, before: fieldpack.Expert) -> fieldpack.Expert:
        def opened(folder: Path) -> fieldpack.Expert:
            expert = fieldpack.open(folder, threads=1)
            expert.borrow_models(before)
            return expert

        return open_installed(path, opened)

    asked: list[tuple[int, float]] = []
    stop = threading.Event()
    with (
        serving.served([slot], work / "state", opener=opener, follower=follower) as served,
        served.client() as client,
    ):

        def ask() -> None:
            while not stop.is_set():
                started = time.monotonic()
                code = client.post("/api/ask", json={"question": _QUESTION}).status_code
                asked.append((code, time.monotonic() - started))

        thread = threading.Thread(target=ask)
        thread.start()
        serving.wait_for(lambda: len(asked) >= 40, 300)
        during, started = len(asked), time.monotonic()
        said, peak = _update(device)
        seconds = time.monotonic() - started
        moved = served.application.loaded
        serving.wait_for(lambda: moved.current.manifest.version == "1.0.1", 60)
        after = len(asked)
        serving.wait_for(lambda: len(asked) >= after + 20, 300)
        stop.set()
        thread.join()
    return asked, during, said, seconds, peak


_CHILD = """
import json, re
from pathlib import Path
from fieldpack_app.install.installer import InstallOptions, update
from fieldpack_app.install.store import Store, default_store
(outcome,) = update(Store(default_store()), None, InstallOptions())
# Not ru_maxrss, which a process has from the one that started it.
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(json.dumps([outcome.to_dict(), int(peak)]))
"""


def _update(device: shipping.Device) -> tuple[dict[str, Any], int]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", _CHILD],
        env=device.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    outcome, peak = json.loads(done.stdout)
    assert outcome["action"] == "updated", outcome
    return outcome, peak


def _write(folder: Path, dim: int, documents: list[tuple[int, int]]) -> None:
    """(number, edition) of each document."""
    weights = 1 / np.arange(1, _WORDS + 1)
    weights /= weights.sum()
    writer = IndexWriter(folder, dim=dim)
    for number, edition in documents:
        draw = np.random.default_rng((number, edition))
        path, chunks, begin = f"docs/d{number:05}.md", [], 0
        for part in range(_CHUNKS):
            text = " ".join(f"w{word}" for word in draw.choice(_WORDS, _LENGTH, p=weights))
            chunks.append(
                Chunk(
                    path,
                    f"Document {number}",
                    None,
                    (f"Part {part}",),
                    begin,
                    begin + len(text),
                    text,
                )
            )
            begin += len(text) + 1
        vectors = draw.standard_normal((_CHUNKS, dim)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        writer.add(
            DocumentRecord(path, f"Document {number}", f"{number:032}{edition:032}", 1),
            chunks,
            vectors,
        )
    writer.finish()


if __name__ == "__main__":
    main()
