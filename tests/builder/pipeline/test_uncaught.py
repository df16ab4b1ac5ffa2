"""What no code of ours expected is one sentence with the right exit code, wherever it happens: a
library that says no, a disk that is full, a limit of open files, a cache that cannot be written.
The traceback is in the stage's log."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import checkpoints
import training
from fieldpack.child import python, safe_environment
from fieldpack_build.errors import BuildError, LibraryError, MachineError, StageError
from fieldpack_build.evaluation.peak_memory import peak_mb
from fieldpack_build.pipeline import store
from fieldpack_build.pipeline.store import LOG, Store
from fieldpack_build.pipeline.worker import run_stage
from fieldpack_build.training.launch import failure_of
from fieldpack_build.training.memory import OutOfMemory
from fieldpack_build.uncaught import as_build_error, disk_is_full

# A stage that is not ours, around a library that is not ours either.
STAGE = """
import errno, os, resource
from pathlib import Path
import somebodys

def library(task): somebodys.parse("{")
def leaving(task): raise SystemExit(3)
def files(task):
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    kept = [open("/dev/null") for _ in range(100)]
def readonly(task): raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(task.store.root / "models" / "m.partial"))
def missing(task): import a_package_that_nobody_has
def full(task):
    with (task.out / "large").open("wb", buffering=0) as file:
        while file.write(bytes(1 << 16)): pass
def silent(task):
    try: full(task)
    except OSError: os._exit(7)
"""
LIBRARY = "import json\ndef parse(text):\n    return json.loads(text)\n"


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., BuildError]:
    """What `run_stage` raises for a function of STAGE."""
    (tmp_path / "lib" / "somebodys").mkdir(parents=True)
    (tmp_path / "lib" / "somebodys" / "__init__.py").write_text(LIBRARY)
    (tmp_path / "lib" / "made_to_fail.py").write_text(STAGE)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(tmp_path / "lib"), *(path for path in sys.path if path)])
    )
    (tmp_path / "model").mkdir()

    def run(name: str, out: Path = tmp_path / "out") -> BuildError:
        out.mkdir(exist_ok=True)
        with pytest.raises(BuildError) as caught:
            run_stage(
                f"made_to_fail:{name}",
                training.recipe_of(tmp_path),
                {},
                {},
                out,
                Store(out.parent),
                print,
            )
        return caught.value

    return run


def test_a_library_that_says_no_is_one_sentence_and_its_traceback_is_in_the_log(
    stage: Callable[..., BuildError], tmp_path: Path
) -> None:
    error = stage("library")
    log = tmp_path / "out" / LOG
    assert type(error) is LibraryError and isinstance(error, StageError) and error.exit_code == 8
    words = "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
    assert str(error) == (
        f'somebodys ended it with JSONDecodeError: "{words}"; the whole traceback is in {log}; if '
        "these words do not say "
        "what to change, report it with that file"
    )
    text = log.read_text()
    assert "Traceback" in text and "somebodys/__init__.py" in text and words in text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "files",
            r"^too many open files \(64 are allowed at once\); raise the limit: ulimit -n 256$",
        ),
        (
            "readonly",
            (
                r"Read-only file system: .*m\.partial'; the cache must be writable: name another "
                r"folder with --cache$"
            ),
        ),
        (
            "missing",
            (
                r"^a_package_that_nobody_has is not installed; the build server needs `pip install "
                r"fieldpack\[build\]`$"
            ),
        ),
    ],
)
def test_a_machine_that_is_at_fault(
    stage: Callable[..., BuildError], name: str, message: str
) -> None:
    error = stage(name)
    assert type(error) is MachineError and error.exit_code == 10
    with pytest.raises(MachineError, match=message):
        raise error


def test_a_process_that_ends_by_itself_is_still_named(stage: Callable[..., BuildError]) -> None:
    assert type(
        error := stage("leaving")
    ) is StageError and "its process ended with 3: nothing in its log" in str(error)


def test_a_real_stage_names_the_library(tmp_path: Path) -> None:
    """peft adapts no norm. In one process, and in torchrun's two."""
    home = training.write_home(tmp_path)
    for number, settings in enumerate(({}, {"launch": {"processes": 2}})):
        recipe = training.recipe_of(home, targets=["norm"], **settings)
        (out := tmp_path / f"out{number}").mkdir()
        with pytest.raises(
            LibraryError, match=r'^peft ended it with ValueError: "Target module LlamaRMSNorm'
        ) as caught:
            run_stage(
                "fieldpack_build.stages.train:run",
                recipe,
                {"base": home / "base"},
                {},
                out,
                Store(tmp_path),
                print,
            )
        assert str(out / LOG) in str(caught.value) and "Traceback" in (out / LOG).read_text(
            encoding="utf-8"
        )


def test_a_killed_rank_is_no_fault_of_the_library_that_misses_it() -> None:
    """gloo in the other ranks says that a connection was closed: what counts is the kill, after
    which less is tried."""
    closed = {
        "event": "uncaught",
        "kind": "LibraryError",
        "message": "torch: Connection closed by peer",
    }
    assert type(failure_of(1, [closed], "  exitcode  : -9 (pid: 4)\n")) is OutOfMemory
    assert str(failure_of(1, [closed], "no kill\n")) == closed["message"]
    ours = {"event": "error", "kind": "CheckFailed", "message": "nan"}
    assert str(failure_of(1, [closed, ours], "Signal 9 (SIGKILL)")) == "nan"


# --- whose fault ----------------------------------------------------------------------------------


def meant(work: Callable[[], object]) -> BuildError:
    with pytest.raises(Exception) as caught:
        work()
    return as_build_error(caught.value, cache=Path("/cache"))


def test_our_own_mistake_is_not_blamed_on_the_standard_library() -> None:
    error = meant(lambda: store.fingerprint({1, 2}))
    assert type(error) is StageError
    assert str(error).startswith(
        'Fieldpack itself failed with TypeError: "Object of type set is not JSON serializable" at '
        "fieldpack_build.pipeline.store:"
    )


def test_native_code_is_known_by_its_exception(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    (tmp_path / "m.safetensors").write_bytes(b"\0" * 20)
    assert str(meant(lambda: load_file(tmp_path / "m.safetensors"))).startswith(
        "safetensors ended it with SafetensorError"
    )


def test_a_cause_is_looked_at() -> None:
    def work() -> None:
        try:
            raise OSError(28, "No space left on device", "/cache/stages/x")
        except OSError as error:
            raise RuntimeError("could not save") from error

    assert str(meant(work)).startswith(
        "/cache/stages/x: no space left on the disk; `build clean` frees"
    )
    assert (
        type(meant(lambda: (_ for _ in ()).throw(MemoryError("Unable to allocate 8 GiB"))))
        is MachineError
    )


# --- a disk that is really full -------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_libraries_say_that_the_disk_is_full_in_words_of_their_own(small_disk: Path) -> None:
    import numpy as np
    import torch
    from safetensors.torch import save_file

    def in_sqlite(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE large (bytes BLOB)")
            database.execute("INSERT INTO large VALUES (zeroblob(4000000))")

    large = torch.zeros(1 << 20)
    writers: dict[str, Callable[[Path], object]] = {
        "python": lambda path: path.write_bytes(bytes(4 << 20)),
        "numpy": np.zeros(1 << 20).tofile,
        "sqlite": in_sqlite,
        "torch": lambda path: torch.save(large, path),
        "safetensors": lambda path: save_file({"large": large}, path),
    }
    said = {}
    for name, write in writers.items():
        path = small_disk / name
        said[name] = meant(lambda write=write, path=path: write(path))  # type: ignore[misc]
        path.unlink(missing_ok=True)
    assert {name: type(error) for name, error in said.items()} == dict.fromkeys(
        writers, MachineError
    ), said
    assert disk_is_full("OSError: [Errno 28] No space left on device") and not disk_is_full(
        "No such file or directory"
    )


@pytest.mark.parametrize("name", ["full", "silent"])
def test_a_full_disk_ends_a_stage_with_10_whatever_its_log_says(
    stage: Callable[..., BuildError], small_disk: Path, name: str
) -> None:
    """The log lies on the same disk, so that nothing may be in it."""
    error = stage(name, small_disk / "out")
    assert type(error) is MachineError and error.exit_code == 10
    assert "no space left on the disk" in str(error) and "--cache names another folder" in str(
        error
    )


def test_an_export_to_a_full_disk(tiny_llama: Path, small_disk: Path) -> None:
    """genai's builder dies of it in its own process."""
    from fieldpack_build.export import build_onnx
    from fieldpack_build.models.precision import parse

    (small_disk / "filler").write_bytes(bytes((2 << 20) - (256 << 10)))
    with pytest.raises(MachineError, match="no space left on the disk"):
        build_onnx(tiny_llama, small_disk / "onnx", parse("fp32"), small_disk / "work")


def test_an_export_under_a_limit_of_file_size(tiny_llama: Path, tmp_path: Path) -> None:
    """The same where nothing can be mounted."""
    code = """
import resource, sys
from pathlib import Path
from fieldpack_build.errors import MachineError
from fieldpack_build.export import build_onnx
from fieldpack_build.models.precision import parse
source, folder = map(Path, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 17, 1 << 17))
try: build_onnx(source, folder / "onnx", parse("fp32"), folder / "work")
except MachineError as error: print(error)
"""
    command = python("-c", code, tiny_llama, tmp_path)
    done = subprocess.run(command, env=safe_environment(), capture_output=True, text=True)
    assert "no space left on the disk" in done.stdout, done.stderr[-2000:]


# --- the cache ------------------------------------------------------------------------------------


def test_a_cache_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lost = tmp_path / "file" / "cache"
    tries = (
        partial(_lock, lost),
        partial(Store(lost).hash_files, []),
        partial(Store(lost).begin, "base", "k", keep=False),
    )
    for work in tries:
        with pytest.raises(MachineError) as caught:
            work()
        place, _, said = str(caught.value).partition(": ")
        assert Path(place).is_relative_to(lost) and caught.value.exit_code == 10
        assert said == (
            "Not a directory; the cache must be a folder that can be written: name another "
            "with --cache"
        )


def _lock(root: Path) -> None:
    with Store(root).lock():
        raise AssertionError("locked a cache that is not there")


def test_a_cache_whose_files_cannot_be_written(tmp_path: Path) -> None:
    """Folders in the place of files: root may write to any file."""
    (tmp_path / "lock").mkdir()
    with pytest.raises(
        MachineError, match=r"lock: Is a directory; the cache must be a folder that can be written"
    ):
        _lock(tmp_path)
    (tmp_path / "hashes.sqlite").mkdir()
    (tmp_path / "a").write_text("a")
    with pytest.raises(MachineError, match=r"hashes\.sqlite: Is a directory; the cache must"):
        Store(tmp_path).hash_files([tmp_path / "a"])


def test_an_error_inside_the_lock_is_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), Store(tmp_path).lock():
        raise FileNotFoundError("not the cache's")
    with Store(tmp_path).lock():
        pass


@pytest.mark.parametrize("command", ["recipe", "check"])
def test_the_command_ends_with_10(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("")
    checkpoints.write_folder(tmp_path / "model")
    recipe: dict[str, Any] = {
        "name": "a",
        "version": "1.0.0",
        "base": {"model": "model"},
        "answer": {"system": "s"},
    }
    (tmp_path / "t.jsonl").write_text('{"question": "Who?", "answer": "Nobody."}\n')
    (tmp_path / "a.yaml").write_text(
        json.dumps({**recipe, "train": {"method": "lora", "data": "t.jsonl"}})
    )
    line = python(
        "-m",
        "fieldpack_build.cli",
        command,
        tmp_path / "a.yaml",
        "--cache",
        tmp_path / "file" / "cache",
    )
    done = subprocess.run(
        line, cwd=tmp_path, env=safe_environment(), capture_output=True, text=True
    )
    assert done.returncode == 10, done.stderr
    assert (
        done.stderr.startswith(f"build: {tmp_path / 'file' / 'cache'}: Not a directory; ")
        and "Traceback" not in done.stderr
    )


# --- a child of a stage ---------------------------------------------------------------------------


def test_the_process_that_measures_memory_is_quoted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        StageError, match=r"ended with 1; .* the last: fieldpack\.errors\.BundleNotFound: .*nothing"
    ) as caught:
        peak_mb(tmp_path / "nothing", "Who?", retrieval=False)
    assert caught.value.exit_code == 8 and "Traceback" in capfd.readouterr().err
