"""One tiny model, exported once a session; a sealed bundle around it; a copy of that for each test
that asks."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

# Before anything imports torch or numpy. Workers share the cores: with a thread for every core in
# each of them, threads wait for one another, and tests take half as long again.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    _share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _share)))

import pytest
from hypothesis import HealthCheck, settings

import fakes
import fieldpack

sys.path.append(
    str(Path(__file__).parent.parent / "benchmarks")
)  # for what tests and benchmarks share, such as mutations

# pytest-xdist starts its workers deaf to SIGINT, and what they start inherits that: no Ctrl-C could
# be tried.
if (
    threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["HF_HUB_OFFLINE"] = "1"  # ORT_DISABLE_TELEMETRY is fieldpack's own to set: a test looks


# Fixtures are made once for all examples of a test, and a starved machine draws examples slowly. The
# same examples everywhere: what one machine meets, every other meets too. `--hypothesis-profile=anew`
# draws others.
for name in ("fieldpack", "anew"):
    settings.register_profile(
        name,
        deadline=None,
        derandomize=name == "fieldpack",
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
settings.load_profile("fieldpack")


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer llama in Hugging Face's format."""
    return fakes.write_tiny_model(tmp_path_factory.mktemp("llama") / "hf", "llama")


@pytest.fixture(scope="session")
def exported_llama(tiny_llama: Path) -> Path:
    """The same, exported to int4 by genai's builder. Do not write to it."""
    return fakes.export_tiny_model(tiny_llama, tiny_llama.parent / "onnx")


@pytest.fixture(scope="session")
def sealed(exported_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete bundle. Do not write to it: take `bundle` for that."""
    report = {"recipe": "tiny", "scores": {"recall@5": 0.75, "refused": 3}}
    return fakes.write_bundle(
        tmp_path_factory.mktemp("sealed") / "tiny-1.0.0", model=exported_llama, report=report
    )


@pytest.fixture
def bundle(sealed: Path, tmp_path: Path) -> Path:
    """A copy of the sealed bundle, to damage at will."""
    return Path(shutil.copytree(sealed, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def expert(sealed: Path) -> Iterator[fieldpack.Expert]:
    with fieldpack.open(sealed, threads=1) as opened:
        yield opened


_FIRST = ("test_real.py", "test_resume.py", "test_engines.py", "test_stages.py")  # minutes each


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what has a mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, so that of two workers none has them left when the other is done. What
    asks for OpenVINO is marked so."""
    for item in items:
        if "openvino_tools" in getattr(item, "fixturenames", ()):
            item.add_marker("openvino")
    rank = {name: number for number, name in enumerate(_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


def pytest_report_header() -> str:
    return f"cpu: {_cpu()}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """CPUs differ in kernels and rounding: a report of failures is half told without the name of
    one."""
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.write_line(f"cpu: {_cpu()}")


def _cpu() -> str:
    """The processor's name and what its matrix kernels depend on."""
    told = Path("/proc/cpuinfo")
    if not told.is_file():
        return platform.processor() or platform.machine()
    first = told.read_text(encoding="utf-8").split("\n\n", 1)[0]
    fields = dict(line.split(":", 1) for line in first.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    has = set(fields.get("flags", fields.get("Features", "")).split())
    kinds = [
        flag
        for flag in (
            "avx2",
            "avx_vnni",
            "avx512_vnni",
            "avx512_bf16",
            "amx_tile",
            "asimddp",
            "i8mm",
        )
        if flag in has
    ]
    return " ".join([fields.get("model name", platform.machine()), *kinds])
