"""`sh install.sh` on a machine that has a Python and nothing else: no network, no pip, an empty
home."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

import shipping
from fieldpack_build.errors import MachineError
from fieldpack_build.pipeline.store import default_cache
from fieldpack_build.ship.runtime_folder import Wanted

MOST = 240e6  # bytes of the device's half, as it is laid out
BARE = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        (platform.system(), platform.machine()) != ("Linux", "x86_64") or not BARE.is_file(),
        reason="wants Linux on x86-64 and the Python under this environment",
    ),
]


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("install")
    toy = shipping.write_quoting_bundle(folder / "toy-1.0.0", golden=True)
    yard = shipping.make_yard(folder)
    wanted = Wanted(default_cache(), ("linux-x86_64",), (f"3.{sys.version_info[1]}",))
    try:
        yard.ship(toy, runtime=wanted)
    except MachineError as error:
        pytest.skip(f"the wheels cannot be had: {error}")
    return yard.stick


def without_network() -> list[str]:
    """A namespace without interfaces, where this machine lets us make one."""
    for words in (["unshare", "-n"], ["unshare", "-rn"]):
        if (
            shutil.which("unshare")
            and not subprocess.run([*words, "true"], capture_output=True).returncode
        ):
            return words
    return []


def run(home: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """In an empty environment: no variable of ours, no cache, no proxy."""
    home.mkdir(exist_ok=True)
    environment = {"HOME": str(home), "PATH": f"{home}/.local/bin:/usr/bin:/bin"}
    command = [*without_network(), *map(str, words)]
    return subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        stdin=subprocess.DEVNULL,
    )


def size_of(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink())


def test_three_commands_on_a_bare_machine(stick: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    refused = run(home, "sh", stick / "install.sh", "--python", BARE)
    assert refused.returncode == 3 and "this device trusts no keys yet" in refused.stderr
    done = run(home, "sh", stick / "install.sh", "--python", BARE, "--yes")
    assert done.returncode == 0, done.stderr
    assert "toy 1.0.0 (release 1) installed" in done.stdout
    asked = run(home, "fieldpack", "ask", "toy", shipping.QUESTION)
    assert asked.returncode == 0 and "400 hours" in asked.stdout, asked.stderr
    data = home / ".local" / "share" / "fieldpack"
    (environment,) = [path for path in (data / "env").iterdir() if not path.is_symlink()]
    assert size_of(environment) < MOST
    assert not (
        environment / "lib" / f"python3.{sys.version_info[1]}" / "site-packages" / "pip"
    ).exists()
    left = {path.relative_to(home).parts[0] for path in home.iterdir()}
    assert left == {".local"}  # nothing in ~/.cache, nothing elsewhere


def test_a_second_run_changes_nothing_and_a_new_version_moves_the_pointer(
    stick: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    first = run(home, "sh", stick / "install.sh", "--python", BARE, "--yes")
    assert first.returncode == 0, first.stderr
    env = home / ".local" / "share" / "fieldpack" / "env"
    before = (env / "current").readlink()
    again = run(home, "sh", stick / "install.sh", "--python", BARE, "--yes")
    assert (
        again.returncode == 0
        and "installing" not in again.stdout
        and "nothing newer" in again.stdout
    ), again.stderr
    assert (env / "current").readlink() == before
    newer = Path(shutil.copytree(stick, tmp_path / "newer"))
    listed = newer / "runtime" / "linux-x86_64" / "runtime.json"
    before_digest = sha256(listed.read_bytes()).hexdigest()
    listed.write_text(listed.read_text() + "\n")  # other wheels, as far as the installer can tell
    sums = listed.with_name("SHA256SUMS")
    digest = sha256(listed.read_bytes()).hexdigest()
    sums.write_text(sums.read_text().replace(before_digest, digest))
    moved = run(home, "sh", newer / "install.sh", "--python", BARE, "--yes")
    assert moved.returncode == 0 and (env / "current").readlink() != before, moved.stderr
    assert "400 hours" in run(home, "fieldpack", "ask", "toy", shipping.QUESTION).stdout


def test_a_damaged_wheel_is_not_installed(stick: Path, tmp_path: Path) -> None:
    bad = Path(shutil.copytree(stick, tmp_path / "bad"))
    wheel = next((bad / "runtime" / "linux-x86_64").glob("click-*.whl"))
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"x")
    done = run(tmp_path / "home", "sh", bad / "install.sh", "--python", BARE, "--yes")
    assert done.returncode == 1 and f"{wheel.name}: damaged" in done.stderr
    assert not (tmp_path / "home" / ".local" / "bin" / "fieldpack").exists()


def test_it_says_what_is_missing(stick: Path, tmp_path: Path) -> None:
    bad = Path(shutil.copytree(stick, tmp_path / "bad"))
    shutil.rmtree(bad / "runtime")
    done = run(tmp_path / "home", "sh", bad / "install.sh", "--python", BARE)
    assert done.returncode == 1 and "linux-x86_64: not there" in done.stderr
    done = run(tmp_path / "home", "sh", stick / "install.sh", "--python", "/usr/bin/false")
    assert done.returncode == 1 and "no Python 3.11 or newer" in done.stderr
    assert run(tmp_path / "home", "sh", stick / "install.sh", "--what").returncode == 2
