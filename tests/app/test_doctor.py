"""`fieldpack doctor`: what it says of machines and bundles, whole and otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import fakes
import fieldpack
from fieldpack.bundle.golden import Golden, write_golden
from fieldpack_app.cli import cli
from fieldpack_app.diagnostics import checks as checkup
from fieldpack_app.diagnostics.machine import Machine, this_machine

HERE = Machine(
    cpu="A Processor",
    features=("avx2", "fma"),
    cores=8,
    usable=8,
    quota=None,
    memory=16_000_000_000,
    limit=None,
    available=8_000_000_000,
    load=0.1,
    system="Linux 6.1 x86_64",
    python="3.11.7",
    versions={"onnxruntime": "1.31.0"},
)


def doctor(bundle: Path, *args: object) -> Result:
    return CliRunner().invoke(cli, ["doctor", str(bundle), "--threads", "1", *map(str, args)])


def checks(result: Result) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in json.loads(result.stdout)["checks"]}


# --- a machine ------------------------------------------------------------------------------------


def test_a_good_machine_is_all_ok() -> None:
    found = list(checkup.check_machine(HERE, {"proved_with": {"onnxruntime": "1.31.0"}}))
    assert [finding.level for finding in found] == ["ok", "ok", "ok"]
    assert (
        "as the bundle was proved with" in found[0].says and "8 cores; avx2, fma" in found[1].says
    )


@pytest.mark.parametrize(
    ("change", "name", "level", "advice"),
    [
        ({"versions": {"onnxruntime": "1.30.0"}}, "versions", "note", "onnxruntime==1.31.0"),
        (
            {"versions": {"onnxruntime": "1.31.0", "usearch": None}},
            "versions",
            "wrong",
            "pip install usearch",
        ),
        ({"quota": 1.5}, "processor", "warning", "--threads 1"),
        ({"features": ("fma",)}, "processor", "warning", "no AVX2"),
        ({"features": (), "system": "Linux 6.1 aarch64"}, "processor", "ok", ""),
        ({"usable": 2}, "processor", "note", "taskset"),
        ({"load": 9.0}, "load", "note", "busy"),
    ],
)
def test_what_is_said_of_a_machine(
    change: dict[str, Any], name: str, level: str, advice: str
) -> None:
    found = {
        f.name: f
        for f in checkup.check_machine(
            replace(HERE, **change), {"proved_with": {"onnxruntime": "1.31.0"}}
        )
    }
    assert found[name].level == level and advice in found[name].advice


@pytest.mark.parametrize(("needed", "level"), [(400, "ok"), (7000, "warning"), (9000, "wrong")])
def test_memory_is_held_against_what_the_bundle_needs(needed: float, level: str) -> None:
    assert checkup.memory(HERE, needed).level == level
    tight = checkup.memory(replace(HERE, limit=500_000_000, available=300_000_000), 400)
    assert tight.level == "wrong" and "a cgroup's limit of 500 MB" in tight.says


def test_a_state_folder_without_room() -> None:
    assert checkup.disk(10**9, state="/s", writable=True).level == "ok"
    assert checkup.disk(10**6, state="/s", writable=True).level == "warning"
    assert checkup.disk(10**9, state="/s", writable=False).level == "note"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_limits_of_every_group_above_hold(tmp_path: Path) -> None:
    own = "sys/fs/cgroup/user.slice/app.service"
    machine = this_machine(
        tree(
            tmp_path,
            {
                "proc/meminfo": "MemTotal:  8000000 kB\nMemFree: 1 kB\nMemAvailable:  6000000 kB\n",
                "proc/cpuinfo": (
                    "model name\t: Old One\nflags\t\t: fpu avx2 avx512_vnni\n\nmodel name\t: "
                    "Other\n"
                ),
                "proc/self/cgroup": "0::/user.slice/app.service\n",
                f"{own}/memory.max": "max\n",
                f"{own}/cpu.max": "250000 100000\n",
                "sys/fs/cgroup/user.slice/memory.max": "1000000000\n",
                "sys/fs/cgroup/user.slice/memory.current": "400000000\n",
                "sys/fs/cgroup/user.slice/cpu.max": "max 100000\n",
            },
        )
    )
    assert (machine.cpu, machine.features) == ("Old One", ("avx2", "avx512_vnni"))
    assert (machine.memory, machine.limit, machine.available) == (
        8_192_000_000,
        1_000_000_000,
        600_000_000,
    )
    assert machine.quota == 2.5


def test_limits_of_the_old_kind(tmp_path: Path) -> None:
    machine = this_machine(
        tree(
            tmp_path,
            {
                "proc/meminfo": "MemTotal:  8000000 kB\nMemAvailable:  6000000 kB\n",
                "proc/self/cgroup": "5:memory:/d\n4:cpu,cpuacct:/d\n",
                "sys/fs/cgroup/memory/d/memory.limit_in_bytes": "500000000\n",
                "sys/fs/cgroup/memory/d/memory.usage_in_bytes": "500000001\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/cpu/d/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/d/cpu.cfs_period_us": "100000\n",
            },
        )
    )
    assert (machine.limit, machine.available, machine.quota) == (500_000_000, 0, 0.5)


def test_a_system_without_proc_is_no_error(tmp_path: Path) -> None:
    machine = this_machine(tmp_path)
    assert machine.memory == 0 and machine.quota is None and machine.cpu


# --- a bundle -------------------------------------------------------------------------------------


def with_golden(bundle: Path, expert: fieldpack.Expert, *changes: dict[str, Any]) -> None:
    answer = expert.ask("What does the A class cost a year?")
    golden = Golden(answer.question, answer.text, answer.refused, answer.passages[0].document)
    write_golden(bundle, [replace(golden, **change) for change in changes])
    fakes.reseal(bundle)


def test_a_healthy_bundle(bundle: Path, expert: fieldpack.Expert, tmp_path: Path) -> None:
    with_golden(bundle, expert, {}, {"answer": "rounded"})
    result = doctor(bundle, "--state", tmp_path / "state", "--json")
    assert result.exit_code == 0 and json.loads(result.stdout)["healthy"] is True
    found = checks(result)
    assert list(found) == [
        "bundle",
        "versions",
        "processor",
        "load",
        "memory",
        "disk",
        "provider",
        "telemetry",
        "opening",
        "question 1",
        "question 2",
        "speed",
    ]
    assert found["question 1"]["level"] == "ok" and found["question 2"]["level"] == "note"
    assert found["bundle"]["facts"]["files"] == len(fieldpack.read_manifest(bundle).files)
    assert found["telemetry"]["facts"] == {"ORT_DISABLE_TELEMETRY": "1"}
    assert (
        found["speed"]["facts"]["search_ms"] > 0
        and found["speed"]["facts"]["decode_tokens_per_s"] > 0
    )
    assert not (tmp_path / "state").exists()


def test_another_document_or_refusal_is_a_warning(bundle: Path, expert: fieldpack.Expert) -> None:
    with_golden(bundle, expert, {"document": "pump.md"}, {"refused": True})
    result = doctor(bundle)
    assert result.exit_code == 0 and result.stdout.endswith("\nhealthy\n")
    lines = [line for line in result.stdout.splitlines() if "question" in line]
    assert [line.split()[0] for line in lines] == ["warning", "warning"]
    assert "reads another document" in lines[0] and "refuses now, or no longer" in lines[1]
    assert result.stdout.count("-> install the versions that the bundle was proved with") == 2


def test_a_bundle_without_questions_says_so_and_is_asked_nothing(sealed: Path) -> None:
    found = checks(doctor(sealed, "--json"))
    assert (
        found["questions"]["level"] == "note"
        and "decode_tokens_per_s" not in found["speed"]["facts"]
    )


def test_a_damaged_bundle_is_3_and_is_not_opened(bundle: Path) -> None:
    (bundle / "model" / "model.onnx.data").write_bytes(b"x")
    result = doctor(bundle)
    assert result.exit_code == 3
    assert (
        result.stdout.startswith("damaged  bundle") and "model.onnx.data: 1 bytes" in result.stdout
    )
    assert result.stdout.endswith("\n1 thing to put right\n") and "opening" not in result.stdout
    assert doctor(bundle / "nowhere", "--json").exit_code == 3


def test_a_provider_that_is_not_there_hinders(sealed: Path) -> None:
    result = doctor(sealed, "--provider", "cuda", "--json")
    assert result.exit_code == 1
    found = checks(result)
    assert (
        found["provider"]["level"] == "wrong"
        and "CPUExecutionProvider" in found["provider"]["facts"]["present"]
    )
