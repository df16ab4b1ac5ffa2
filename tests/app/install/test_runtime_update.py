"""A release that needs a newer Fieldpack brings it: environments beside each other, one pointer for
release and runtime. The wheels are the sources of this repository under another version, and one
that shows them the libraries of the tests' own environment."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import fieldpack
import serving
import shipping
from fieldpack.bundle.runtime_list import own_platform
from fieldpack_build.ship.repository import Repository, hashed_name
from moments import act_at

NEWER = "9.9.0"


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
    yard.ship_with_runtime(second, NEWER)
    device = shipping.Managed(folder / "device")
    device.make_environment(folder / "stick-1")
    done = device.install(folder / "stick-1")
    assert done.code == 0, done.err
    shipping.copy_with_links(device.home, folder / "kept")
    return folder


@pytest.fixture
def device(made: Path) -> Iterator[shipping.Managed]:
    shutil.rmtree(made / "device", ignore_errors=True)
    shipping.copy_with_links(made / "kept", made / "device")
    yield shipping.Managed(made / "device")


@pytest.fixture
def stick(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "stick", tmp_path / "stick"))


def test_a_release_brings_the_fieldpack_that_it_needs(
    device: shipping.Managed, stick: Path
) -> None:
    (old,) = device.environments
    assert device.version == fieldpack.__version__ and device.answers(400)
    done = device.run("update", stick)
    assert done.code == 0 and "toy 1.1.0 (release 3) updated" in done.out, done.err
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


def test_what_nothing_uses_any_more_goes(device: shipping.Managed, stick: Path, made: Path) -> None:
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


def test_wheels_that_are_not_those_signed(device: shipping.Managed, stick: Path) -> None:
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


def test_a_server_of_the_older_version_answers_on_and_says_so(
    device: shipping.Managed, stick: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slot = device.store / "slots" / device.entry()["current"]["digest"] / "bundle"
    said = ""

    def has_said() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "toy-1.0.0 stays until this server is started again" in said

    def opened(path: Path) -> fieldpack.Expert:
        return fieldpack.open(path, threads=1)

    with (
        serving.served([slot], tmp_path / "state", opener=opened) as served,
        served.client() as client,
    ):
        assert client.get("/health").json() == {"status": "ok"}
        assert device.run("update", stick).code == 0
        serving.wait_for(has_said, 60)
        assert f"needs Fieldpack {NEWER}, which is installed" in said
        answer = client.post("/api/ask", json={"question": shipping.QUESTION})
        assert answer.status_code == 200 and "400 hours" in answer.text


def test_a_plain_installation_says_what_to_do(made: Path, stick: Path) -> None:
    device = shipping.Device(stick.parent / "plain")
    assert device.install(made / "stick-1").code == 0
    done = device.run("update", stick)
    assert done.code == 3 and "run install.sh" in done.err
    assert "400 hours" in device.run("ask", "toy", shipping.QUESTION).out


# When the update kills itself: as it copies the second wheel; when pip has ended and the
# environment is not whole; as the new environment takes over.
_MOMENTS = {
    "wheels": 'event == "open" and ".wheels-" in (path := str(arguments[0]))'
    ' and path.endswith(".whl") and (seen.append(path) or len(seen) == 2)',
    "half": 'event == "subprocess.Popen" and "fieldpack_app.install.environments" in arguments[1]',
    "whole": 'event == "os.exec"',
}


def test_killed_while_it_installs(device: shipping.Managed, stick: Path) -> None:
    """At the first wheel, with half an environment, at its end: the old one goes on, the same
    command again ends well."""
    env = device.store / "env"
    (old,) = device.environments
    (packages,) = (env / old / "lib").glob("python*/site-packages")

    def left() -> dict[str, bool]:
        new = [env / one for one in device.environments - {old} if not one.startswith(".")]
        return {
            "wheels": any(env.glob(".wheels-*/*.whl")),
            "half": any((one / "lib").is_dir() for one in new),
            "whole": any((one / "complete").is_file() for one in new),
        }

    for name, moment in _MOMENTS.items():
        hook = act_at(packages, moment, "os.killpg(0, signal.SIGKILL)")
        killed = subprocess.run(
            [env / "current" / "bin" / "fieldpack", "update", stick],
            env=device.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        hook.unlink()
        assert killed.returncode == -signal.SIGKILL
        names = list(_MOMENTS)
        expected = {one: names.index(one) <= names.index(name) for one in names}
        expected["wheels"] = name != "whole"  # they are swept up by then
        assert left() == expected
        if device.state()["runtime"] == old:
            assert device.version == fieldpack.__version__ and device.answers(400)
    done = device.run("update", stick)
    assert done.code == 0, done.err
    assert device.version == NEWER and device.answers(900)
    assert not any(env.glob(".wheels-*"))
