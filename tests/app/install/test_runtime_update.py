"""A release that needs a newer Fieldpack brings it: environments beside each other, one pointer for
release and runtime. The wheels are the sources of this repository under another version, and one
that shows them the libraries of the tests' own environment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import fieldpack
import shipping
from fieldpack.bundle.runtime_list import own_platform
from fieldpack_app.install.environments import environment_name, make_environment
from fieldpack_build.ship.repository import Repository, hashed_name

NEWER = "9.9.0"


@dataclass
class Managed(shipping.Device):
    """A device whose `fieldpack` lies in an environment in its store, as install.sh makes it."""

    def run(self, *words: str | Path, timeout: float = 300) -> shipping.Ran:
        command = [self.store / "env" / "current" / "bin" / "fieldpack", *words]
        return self.started(command, timeout)

    def run_in(self, environment: str, *words: str | Path) -> shipping.Ran:
        return self.started([self.store / "env" / environment / "bin" / "fieldpack", *words], 300)

    def started(self, command: list[str | Path], timeout: float) -> shipping.Ran:
        done = subprocess.run(
            [str(word) for word in command],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        return shipping.Ran(done.returncode, done.stdout, done.stderr)

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
        return f"{hours} hours" in self.run("ask", "toy", shipping.QUESTION).out


@pytest.fixture(scope="module")
def made(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sticks of release 1 and of release 2, which needs a newer Fieldpack, and a device with
    release 1. Its paths are absolute: tests put it back where it was made."""
    folder = tmp_path_factory.mktemp("runtime")
    yard = shipping.make_yard(folder)
    yard.ship(toy)
    shipping.write_toy_runtime(folder / "stick")
    yard.ship(toy)  # signs the wheels that are there now
    shutil.copytree(folder / "stick", folder / "stick-1")
    said = "Change the filter after 900 hours of use."
    second = shipping.next_version(toy, folder / "toy-1.1.0", "1.1.0", said=said)
    source = shipping.write_newer_source(NEWER, folder / "source")
    shipping.write_toy_runtime(folder / "stick", source)
    ship = ["-m", "fieldpack_build.cli", "ship", second, "--to", folder / "stick", "--no-runtime"]
    shipping.run_as(source, *ship, "--keys", folder / "keys", "--min-runtime", NEWER)
    device = Managed(folder / "device")
    env = device.store / "env"
    wheels = Path(shutil.copytree(folder / "stick-1" / "runtime" / own_platform(), folder / "w"))
    listed = (wheels / "runtime.json").read_bytes()
    name = environment_name(fieldpack.__version__, listed)
    (pip,) = wheels.glob("pip-*.whl")
    make_environment(env / name, wheels, (wheels / "requirements.txt").read_text(), pip)
    use = [env / name / "bin" / "python", "-I", "-m", "fieldpack_app.install.environments", "use"]
    done = device.started([*use, device.store], 120)
    assert done.code == 0, done.err
    done = device.install(folder / "stick-1")
    assert done.code == 0, done.err
    _copy(device.home, folder / "kept")
    return folder


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)  # keeps hard links


@pytest.fixture
def device(made: Path) -> Iterator[Managed]:
    shutil.rmtree(made / "device", ignore_errors=True)
    _copy(made / "kept", made / "device")
    yield Managed(made / "device")


@pytest.fixture
def stick(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "stick", tmp_path / "stick"))


def test_a_release_brings_the_fieldpack_that_it_needs(device: Managed, stick: Path) -> None:
    (old,) = device.environments
    assert device.version == fieldpack.__version__ and device.answers(400)
    done = device.run("update", stick)
    assert done.code == 0 and "toy 1.1.0 (release 2) updated" in done.out, done.err
    assert f"Fieldpack {NEWER} is here" in done.err
    assert device.version == NEWER and device.answers(900)
    assert device.run_in(old, "--version").out.split()[-1] == NEWER  # hands over
    assert device.run("status", "--json").json["fieldpack"] == NEWER
    # One pointer for both: the old release with the old Fieldpack, and back.
    assert device.run("rollback").code == 0
    assert device.version == fieldpack.__version__ and device.answers(400)
    assert device.run("gc").code == 0 and len(device.environments) == 2
    assert device.run("rollback").code == 0
    assert device.version == NEWER and device.answers(900)


def test_what_nothing_uses_any_more_goes(device: Managed, stick: Path, made: Path) -> None:
    (old,) = device.environments
    assert device.run("update", stick).code == 0
    yard = shipping.Yard(Path(shutil.copytree(made / "keys", stick.parent / "keys")), stick)
    third = shipping.next_version(made / "toy-1.1.0", stick.parent / "toy-1.2.0", "1.2.0")
    yard.ship(third)
    waiting = "import sys; from fieldpack_app.install.environments import *;"
    waiting += " hand_over_to_current(); print(flush=True); sys.stdin.readline()"
    python = device.store / "env" / old / "bin" / "python"
    # As a server would that was started before the update.
    environment = {**device.environment(), "FIELDPACK_RUNTIME": old}
    with subprocess.Popen(
        [python, "-I", "-c", waiting],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None and server.stdout.readline() == "\n"
        assert device.run("update", stick).code == 0
        assert old in device.environments
        server.communicate("\n")
    assert device.run("gc").code == 0
    assert len(device.environments) == 1 and device.version == NEWER


def test_wheels_that_are_not_those_signed(device: Managed, stick: Path) -> None:
    folder = stick / "runtime" / own_platform()
    wheel = folder / "toylibs-1.0-py3-none-any.whl"
    good = wheel.read_bytes()
    wheel.write_bytes(good[:-1] + b"x")
    done = device.run("update", stick)
    assert done.code == 3 and "not the wheel that was signed" in done.err
    wheel.write_bytes(good + b"x")
    assert device.run("update", stick).code == 3
    wheel.unlink()
    # Another Python's wheel may be left away; what is needed is not installed from anywhere else.
    (folder / f"fieldpack-{NEWER}-py3-none-any.whl").unlink()
    done = device.run("update", stick)
    assert done.code == 4 and "does not carry the wheels" in done.err
    repository = Repository(stick)
    ((path, digest),) = repository.runtimes().items()
    listed = repository.targets / hashed_name(path, digest)
    listed.write_bytes(listed.read_bytes().replace(b"toylibs", b"evilibs"))
    done = device.run("update", stick)
    assert done.code == 3 and "not the one that was signed" in done.err
    assert device.version == fieldpack.__version__ and device.answers(400)
    assert len([one for one in device.environments if not one.startswith(".")]) == 1


def test_a_plain_installation_says_what_to_do(made: Path, stick: Path) -> None:
    device = shipping.Device(stick.parent / "plain")
    assert device.install(made / "stick-1").code == 0
    done = device.run("update", stick)
    assert done.code == 3 and "run install.sh" in done.err
    assert "400 hours" in device.run("ask", "toy", shipping.QUESTION).out


def test_killed_while_it_installs(device: Managed, stick: Path) -> None:
    """At the first wheel, with half an environment, at its end: the old one goes on, the same
    command again ends well."""
    env = device.store / "env"
    (old,) = device.environments

    def wheels() -> bool:
        return any(env.glob(".wheels-*/*.whl"))

    def half() -> bool:
        return any((env / one / "lib").is_dir() for one in device.environments - {old})

    def whole() -> bool:
        return any((env / one / "complete").is_file() for one in device.environments - {old})

    for happened in (wheels, half, whole):
        process = subprocess.Popen(
            [env / "current" / "bin" / "fieldpack", "update", stick],
            env=device.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        end = time.monotonic() + 120
        while not happened() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert happened()
        if device.state()["runtime"] == old:
            assert device.version == fieldpack.__version__ and device.answers(400)
    done = device.run("update", stick)
    assert done.code == 0, done.err
    assert device.version == NEWER and device.answers(900)
    assert not any(env.glob(".wheels-*"))
