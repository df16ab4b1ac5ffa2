"""`fieldpack service`: the unit as systemd reads it, and what is written and asked of systemctl. No
systemd runs here: `systemctl` is a script that writes down what it was asked."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fieldpack import InputError
from fieldpack_app.cli import cli
from fieldpack_app.service.unit import Service, unit_text

SERVICE = Service(
    "fieldpack",
    ("/usr/bin/python3", "-P", "-m", "fieldpack_app.cli"),
    ("/opt/bundles/finance-1.0.0",),
    8420,
    Path("/etc/fieldpack/fieldpack.key"),
)


def lines_of(text: str) -> dict[str, str]:
    """The unit's settings; of several of one name the last."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#")


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, ["service", *map(str, args)])


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that notes its arguments, and a home of its own; the file of the notes."""
    (tmp_path / "bin").mkdir()
    notes = tmp_path / "asked"
    script = tmp_path / "bin" / "systemctl"
    script.write_text(
        f'#!/bin/sh\necho "$@" >> {notes}\n'
        'case "$*" in *show*) echo ActiveState=active; echo NRestarts=2; echo MainPID=7;; esac\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    # where the tests' own environment may stand, below /tmp, no service can read it
    command = ("/opt/fieldpack/bin/python", "-P", "-m", "fieldpack_app.cli")
    monkeypatch.setattr("fieldpack_app.service.systemd.own_command", lambda: command)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "FIELDPACK_STORE", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    return notes


# --- the unit -------------------------------------------------------------------------------------


def test_the_unit_says_what_the_documentation_promises() -> None:
    unit = lines_of(unit_text(SERVICE))
    assert unit["ExecStart"].endswith(
        "serve /opt/bundles/finance-1.0.0 --port 8420 --token-file %d/key "
        "--state /var/lib/fieldpack-service/fieldpack"
    )
    assert (unit["Restart"], unit["RestartPreventExitStatus"]) == ("on-failure", "2 3 4")
    assert unit["DynamicUser"] == unit["NoNewPrivileges"] == unit["ProtectHome"] == "yes"
    assert (unit["ProtectSystem"], unit["CapabilityBoundingSet"]) == ("strict", "")
    assert (unit["IPAddressDeny"], unit["IPAddressAllow"]) == ("any", "localhost")
    assert unit["StandardOutput"] == "journal"
    lan = lines_of(unit_text(Service(**{**_fields(), "lan": True})))  # type: ignore[arg-type]
    assert lan["ExecStart"].endswith("--lan --pair-minutes 0"), "no code in the journal"
    assert (
        "192.168.0.0/16" in lan["IPAddressAllow"] and "AF_NETLINK" in lan["RestrictAddressFamilies"]
    )
    assert "AF_NETLINK" not in unit["RestrictAddressFamilies"]


def test_a_store_in_a_home_is_written_to_by_its_owner() -> None:
    store = Path("/home/ana/.local/share/fieldpack")
    unit = lines_of(
        unit_text(
            Service(**{**_fields(), "bundles": ("finance",), "store": store, "owner": "ana"})  # type: ignore[arg-type]
        )
    )
    assert unit["User"] == "ana" and "DynamicUser" not in unit
    assert str(store) in unit["ReadWritePaths"] and unit["ProtectHome"] == "no"
    assert f"FIELDPACK_STORE={store}" in unit["Environment"]


def _fields() -> dict[str, object]:
    return {name: getattr(SERVICE, name) for name in Service.__slots__}


def test_odd_paths_are_quoted_and_line_ends_refused() -> None:
    odd = Service(**{**_fields(), "bundles": ('/opt/a b/100% "x" $HOME \\',)})  # type: ignore[arg-type]
    assert '"/opt/a b/100%% \\"x\\" $$HOME \\\\"' in lines_of(unit_text(odd))["ExecStart"]
    for path in ("/opt/a\nExecStartPre=/bin/rm", "/opt/\x1b"):
        with pytest.raises(InputError, match="cannot stand in a unit"):
            unit_text(Service(**{**_fields(), "bundles": (path,)}))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a /tmp of its own"):
        unit_text(Service(**{**_fields(), "bundles": ("/tmp/finance",)}))  # type: ignore[arg-type]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
@pytest.mark.parametrize("change", [{}, {"lan": True, "devices": True}, {"for_user": True}])
def test_systemd_reads_the_unit_without_a_complaint(
    change: dict[str, object], tmp_path: Path
) -> None:
    service = Service(**{**_fields(), "command": ("/bin/sh",), **change})  # type: ignore[arg-type]
    path = tmp_path / "fieldpack.service"
    path.write_text(unit_text(service))
    scope = ["--user"] if change.get("for_user") else []
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    verify = ["systemd-analyze", "verify", "--man=no", *scope, str(path)]
    done = subprocess.run(verify, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    path.write_text(unit_text(service).replace("NoNewPrivileges", "NoNewPrivilege"))
    done = subprocess.run(verify, capture_output=True, text=True, env=environment)
    assert "NoNewPrivilege" in done.stderr, "the check sees nothing"
    if not scope:
        path.write_text(unit_text(service))
        rate = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(path)]
        done = subprocess.run(rate, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout  # an exposure of at most 2.0 of 10


# --- install, status, remove ----------------------------------------------------------------------


def test_a_users_service_is_installed_shown_and_removed(
    systemctl: Path, sealed: Path, tmp_path: Path
) -> None:
    done = run("install", sealed, "--user", "--port", 8555)
    assert done.exit_code == 0, done.output
    unit = tmp_path / "home/.config/systemd/user/fieldpack.service"
    key_file = tmp_path / "home/.config/fieldpack/fieldpack.key"
    assert str(sealed) in unit.read_text() and "DynamicUser" not in unit.read_text()
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    key = key_file.read_text().strip()
    assert f"open http://127.0.0.1:8555/?token={key}" in done.output and key not in unit.read_text()
    asked = ["daemon-reload", "enable fieldpack.service", "restart fieldpack.service"]
    assert systemctl.read_text().splitlines() == [f"--user {one}" for one in asked]

    again = run("install", sealed, "--user", "--port", 8556, "--json")
    assert json.loads(again.output)["started"] is True
    assert key_file.read_text().strip() == key and "--port 8556" in unit.read_text()

    shown = run("status", "--user", "--json")
    facts = json.loads(shown.output)
    assert (facts["running"], facts["NRestarts"], facts["port"]) == (True, 2, 8556)
    assert facts["health"].startswith("no answer") and shown.exit_code == 1

    removed = run("remove", "--user")
    assert removed.exit_code == 0 and not unit.exists() and not key_file.exists()
    assert "--user disable --now fieldpack.service" in systemctl.read_text()
    assert run("status", "--user").exit_code == 1
    gone = run("remove", "--user")
    assert gone.exit_code == 4 and "no such service" in gone.output


def test_an_image_is_prepared_and_nothing_is_started(
    systemctl: Path, sealed: Path, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    shutil.copytree(sealed, image / "opt" / "tiny")
    done = run("install", "/opt/tiny", "--root", image, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["started"] is False and not systemctl.exists()
    units = image / "etc/systemd/system"
    assert "serve /opt/tiny --port 8420" in (units / "fieldpack.service").read_text()
    assert (
        "LoadCredential=key:/etc/fieldpack/fieldpack.key"
        in (units / "fieldpack.service").read_text()
    )
    assert "PrivateDevices=yes" in (units / "fieldpack.service").read_text()
    (image / "etc" / "group").write_text("root:x:0:\nrender:x:105:ana\n")
    assert run("install", "/opt/tiny", "--target", "openvino-gpu", "--root", image).exit_code == 0
    unit = (units / "fieldpack.service").read_text()
    assert "PrivateDevices=no" in unit and "SupplementaryGroups=render\n" in unit
    link = units / "multi-user.target.wants" / "fieldpack.service"
    assert link.readlink() == Path("/etc/systemd/system/fieldpack.service")
    assert (image / "etc/fieldpack/fieldpack.key").stat().st_mode & 0o777 == 0o600
    assert run("remove", "--root", image).exit_code == 0
    assert not link.is_symlink() and not list(image.rglob("*.key"))


def test_print_changes_nothing(systemctl: Path, sealed: Path, tmp_path: Path) -> None:
    done = run("install", sealed, "--user", "--print", "--name", "library-2")
    assert done.exit_code == 0 and "SyslogIdentifier=library-2" in done.output
    assert not systemctl.exists() and not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["install", "nowhere"], 4, "neither a folder nor the name of an installed bundle"),
        (["install", "{bundle}", "--name", "../x"], 2, "want up to 61 letters"),
        (["install", "{bundle}", "--user", "--root", "/x"], 2, "leave --user out"),
        (["install"], 2, "Missing argument"),
    ],
)
def test_what_is_refused(
    systemctl: Path, sealed: Path, arguments: list[str], code: int, says: str
) -> None:
    done = run(*[one.format(bundle=sealed) for one in arguments])
    assert done.exit_code == code and says in done.output


def test_without_systemd_it_says_so(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    done = run("install", sealed, "--user")
    assert done.exit_code == 4 and "does not run systemd" in done.output
