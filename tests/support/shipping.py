"""Toy releases: a bundle that quotes (no language model: it is made and opened in a second), keys,
a shipped folder, and the device's commands run as their user runs them."""

from __future__ import annotations

import ensurepip
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy

import fakes
import fieldpack
import fieldpack_app
import fieldpack_build
from fieldpack.bundle.golden import Golden, write_golden
from fieldpack.bundle.manifest import Manifest, describe_files, write_manifest
from fieldpack.bundle.runtime_list import own_platform
from fieldpack.passages import Chunk, DocumentRecord
from fieldpack.prompt import ChatFormat, write_prompt
from fieldpack.retrieval.embedder import Embedder
from fieldpack.retrieval.quoting import QuoteSettings
from fieldpack_app.install.environments import environment_name, make_environment
from fieldpack_build.index.writer import IndexWriter
from fieldpack_build.ship.repository import create
from fieldpack_build.ship.ship import Shipment, ship

QUESTION = "When is the filter changed?"
ANSWER = "Change the filter after 400 hours of use."


def write_quoting_bundle(
    folder: Path,
    *,
    version: str = "1.0.0",
    name: str = "toy",
    chunks: Sequence[Chunk] = fakes.CHUNKS,
    golden: bool = False,
) -> Path:
    """A sealed bundle without a language model. `golden`: with a question of its own, answered here
    and now."""
    fakes.write_letter_embedder(folder / "embedder")
    write_library(folder, chunks)
    write_prompt(
        folder, ChatFormat("", "", "", ""), replace(fakes.SETTINGS, quoting=QuoteSettings())
    )
    seal(folder, name, version)
    if golden:
        with fieldpack.open(folder) as expert:
            answer = expert.ask(QUESTION)
        write_golden(
            folder, [Golden(QUESTION, answer.text, answer.refused, answer.passages[0].document)]
        )
        seal(folder, name, version)
    return folder


def write_library(folder: Path, chunks: Sequence[Chunk]) -> None:
    """Write knowledge/ with a record of each document whose SHA-256 is that of its texts."""
    embedder = Embedder.open(folder / "embedder")
    writer = IndexWriter(folder / "knowledge", dim=fakes.DIM, dtype="f16")
    for path in dict.fromkeys(chunk.document for chunk in chunks):
        own = [chunk for chunk in chunks if chunk.document == path]
        digest = sha256("".join(chunk.text for chunk in own).encode()).hexdigest()
        vectors = embedder.embed_passages([f"{chunk.context}\n{chunk.text}" for chunk in own])
        writer.add(DocumentRecord(path, own[0].title, digest, 1), own, vectors)
    writer.finish()


def seal(folder: Path, name: str = "toy", version: str = "1.0.0") -> None:
    """Write the manifest for what the folder holds now."""
    limits = {"max_context": 512, "max_answer_tokens": 24, "max_question_chars": 500}
    write_manifest(
        folder,
        Manifest(name, version, "A toy", describe_files(folder), limits, {"provider": "cpu"}, {}),
    )


def next_version(bundle: Path, folder: Path, version: str, *, said: str | None = None) -> Path:
    """Copy a bundle as another version; with `said`, its documents say that in place of the
    filter's hours."""
    if said is None:
        shutil.copytree(bundle, folder)
    else:
        chunks = [
            replace(chunk, text=said, end=chunk.start + len(said))
            if chunk.text == ANSWER
            else chunk
            for chunk in fakes.CHUNKS
        ]
        shutil.copytree(bundle, folder)
        shutil.rmtree(folder / "knowledge")
        write_library(folder, chunks)
    seal(folder, json.loads((bundle / "manifest.json").read_text())["name"], version)
    return folder


@dataclass
class Yard:
    """Keys, and the stick that they sign."""

    keys: Path
    stick: Path

    def ship(self, bundle: Path, to: Path | None = None, **options: Any) -> Shipment:
        return ship(bundle, to or self.stick, keys=self.keys, **options)

    def ship_with_runtime(self, bundle: Path, version: str, to: Path | None = None) -> None:
        """Ship by a build of another version, with its toy wheels, a bundle that needs it."""
        stick = to or self.stick
        source = write_newer_source(version, self.keys.parent / f"source-{version}")
        self.ship(bundle, to=stick)  # a folder that runtime/ may be put into
        write_toy_runtime(stick, source)
        words = ["-m", "fieldpack_build.cli", "ship", bundle, "--to", stick, "--no-runtime"]
        run_as(source, *words, "--keys", self.keys, "--min-runtime", version)


def make_yard(folder: Path) -> Yard:
    create(folder / "keys")
    return Yard(folder / "keys", folder / "stick")


def write_newer_source(version: str, folder: Path) -> Path:
    """The device's half as another version, to be put first on PYTHONPATH."""
    source = Path(fieldpack.__file__).parent
    shutil.copytree(source, folder / "fieldpack", ignore=shutil.ignore_patterns("__pycache__"))
    init = folder / "fieldpack" / "__init__.py"
    text = init.read_text().replace(f'"{fieldpack.__version__}"', f'"{version}"')
    init.write_text(text)
    return folder


_WRITE_WHEELS = """
import sys
from pathlib import Path
from fieldpack_build.ship.runtime_folder import write_lists
from fieldpack_build.ship.wheel import write_wheel
target = Path(sys.argv[1])
write_wheel(target)
write_lists(target, sorted(path.name for path in target.glob("*.whl")))
"""


def write_toy_runtime(folder: Path, source: Path | None = None) -> Path:
    """runtime/<this platform>/ with three wheels: pip's, as Python brings it; Fieldpack's, of
    `source` if given; and one that lets an environment see the libraries of the tests' own."""
    target = folder / "runtime" / own_platform()
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    (pip,) = (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")
    shutil.copy(pip, target)
    info = "toylibs-1.0.dist-info"
    members = {
        "toylibs.pth": f"{Path(numpy.__file__).parent.parent}\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: toylibs\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(target / "toylibs-1.0-py3-none-any.whl", "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in members))
    run_as(source, "-c", _WRITE_WHEELS, target)
    return target


def run_as(source: Path | None, *words: str | Path) -> None:
    """Run Python with a version of the device's half, and the build of the tests."""
    own = [Path(module.__file__ or "").parent.parent for module in (fieldpack_build, fieldpack_app)]
    paths = [*([source] if source else []), Path(fieldpack.__file__).parent.parent, *own]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    command = [sys.executable, "-P", *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Device:
    """A store and a home of their own; `run` is the command `fieldpack`, in a process of its
    own."""

    home: Path

    @property
    def store(self) -> Path:
        return self.home / "store"

    def environment(self) -> dict[str, str]:
        self.home.mkdir(parents=True, exist_ok=True)
        return {
            **os.environ,
            "HOME": str(self.home),
            "FIELDPACK_STORE": str(self.store),
            "XDG_STATE_HOME": str(self.home / "state"),
        }

    def run(self, *words: str | Path, timeout: float = 600) -> Ran:
        command = [sys.executable, "-P", "-m", "fieldpack_app.cli", *map(str, words)]
        done = subprocess.run(
            command,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def install(self, source: Path | str, *words: str) -> Ran:
        return self.run("install", source, "--fingerprint", self.fingerprint(source), *words)

    def fingerprint(self, source: Path | str) -> str:
        from fieldpack_app.install.source import open_source
        from fieldpack_app.install.trust import fingerprint, first_root

        return fingerprint(first_root(open_source(str(source))))

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.store / "state.json").read_text())
        return found

    def entry(self, name: str = "toy") -> dict[str, Any]:
        return next(row for row in self.state()["bundles"] if row["name"] == name)


@dataclass
class Managed(Device):
    """A device whose `fieldpack` lies in an environment in its store, as install.sh makes it."""

    def run(self, *words: str | Path, timeout: float = 600) -> Ran:
        command = [self.store / "env" / "current" / "bin" / "fieldpack", *words]
        return self.started(command, timeout)

    def run_in(self, environment: str, *words: str | Path) -> Ran:
        return self.started([self.store / "env" / environment / "bin" / "fieldpack", *words], 300)

    def started(self, command: list[str | Path], timeout: float) -> Ran:
        done = subprocess.run(
            [str(word) for word in command],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def environment(self) -> dict[str, str]:
        base = super().environment()
        return {name: value for name, value in base.items() if name != "PYTHONPATH"}

    @property
    def version(self) -> str:
        return self.run("--version").out.split()[-1]

    @property
    def environments(self) -> set[str]:
        return {path.name for path in (self.store / "env").iterdir() if not path.is_symlink()}

    def answers(self, hours: int) -> bool:
        return f"{hours} hours" in self.run("ask", "toy", QUESTION).out

    def make_environment(self, stick: Path) -> None:
        """Install the wheels that a stick carries, as install.sh does it."""
        wheels = stick / "runtime" / own_platform()
        name = environment_name(fieldpack.__version__, (wheels / "runtime.json").read_bytes())
        environment = self.store / "env" / name
        copied = Path(shutil.copytree(wheels, self.home / "wheels"))
        (pip,) = copied.glob("pip-*.whl")
        make_environment(environment, copied, (copied / "requirements.txt").read_text(), pip)
        shutil.rmtree(copied)
        command = [environment / "bin" / "python", "-I", "-m"]
        done = self.started([*command, "fieldpack_app.install.runtime_update", self.store], 300)
        assert done.code == 0, done.err


def copy_with_links(source: Path, target: Path) -> None:
    """Copy a device; its slots stay links to its blobs."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def flip(path: Path, bit: int) -> None:
    """Turn one bit of a file, counted from its beginning."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ (1 << bit % 8)]))
