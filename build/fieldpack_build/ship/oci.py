"""A shipped folder as an OCI image layout (github.com/opencontainers/image-spec, image-layout.md), so
that oras, skopeo and podman read its releases, and pushing one to a registry. The blobs lie where a
layout wants them already; what is added are index.json, oci-layout and the manifests among the
blobs. Signatures do not travel this way: a device installs from a folder or a server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from fieldpack.bundle.manifest import sha256_file
from fieldpack.bundle.release import ARTIFACT_TYPE, MANIFEST_TYPE, blob_path

from ..errors import DataError, MachineError

LAYOUT, INDEX = "oci-layout", "index.json"
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_TAG = "org.opencontainers.image.ref.name"
_VERSION = {"imageLayoutVersion": "1.0.0"}
_SECONDS = 6 * 3600  # of one push: a large model over a thin line


def is_layout(folder: Path) -> bool:
    """Whether a shipped folder is an OCI image layout, too."""
    return (folder / LAYOUT).is_file()


def write_layout(folder: Path, manifests: Iterable[bytes]) -> dict[str, str]:
    """Make a shipped folder a layout of these releases' manifests; return tag -> SHA-256 of the
    manifest. A tag is NAME-VERSION, for the highest release of several of one version."""
    chosen: dict[str, tuple[int, bytes]] = {}
    for data in manifests:
        notes = json.loads(data)["annotations"]
        named = (
            f"{notes['org.opencontainers.image.title']}-{notes['org.opencontainers.image.version']}"
        )
        # What a tag may hold, by the distribution specification.
        tag = re.sub(r"[^A-Za-z0-9._-]", "-", named).lstrip(".-")[:128]
        chosen[tag] = max(chosen.get(tag, (0, b"")), (int(notes["dev.fieldpack.release"]), data))
    rows: list[dict[str, Any]] = []
    tags = {}
    for tag, (_, data) in sorted(chosen.items()):
        digest = tags[tag] = sha256(data).hexdigest()
        (folder / blob_path(digest)).write_bytes(data)
        rows.append(
            {
                "mediaType": MANIFEST_TYPE,
                "artifactType": ARTIFACT_TYPE,
                "digest": f"sha256:{digest}",
                "size": len(data),
                "annotations": {_TAG: tag},
            }
        )
    index = {"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": rows}
    _write(folder / INDEX, index)
    _write(folder / LAYOUT, _VERSION)
    return tags


def check_layout(folder: Path) -> dict[str, str]:
    """Hash everything that a layout names, from its index down; return tag -> SHA-256 of the
    manifest. Raises DataError, which names the first that is not as it should be."""
    try:
        if json.loads((folder / LAYOUT).read_bytes()) != _VERSION:
            raise DataError(f"{folder / LAYOUT}: of another version than 1.0.0")
        index = json.loads((folder / INDEX).read_bytes())
        tags = {}
        for row in index["manifests"]:
            manifest = json.loads(_checked(folder, row).read_bytes())
            for descriptor in (manifest["config"], *manifest["layers"]):
                _checked(folder, descriptor)
            tags[row["annotations"][_TAG]] = row["digest"].partition(":")[2]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: no OCI image layout ({error}); ship with --as oci") from None
    return tags


def push(folder: Path, tag: str, reference: str) -> None:
    """Copy a release to a registry with `oras`, and hold what the registry has then to the
    manifest's digest. `reference`: REGISTRY/REPOSITORY:TAG. Raises MachineError, DataError."""
    digest = check_layout(folder).get(tag)
    if digest is None:
        raise DataError(f"{folder}: no release {tag} in its {INDEX}")
    program = shutil.which("oras")
    if program is None:
        raise MachineError(
            f"--push {reference}: no `oras` here, which does the copying (https://oras.land); the"
            f" folder is an OCI image layout: skopeo copy oci:{folder}:{tag} docker://{reference}"
            " does it, too"
        )
    _run(program, "cp", "--from-oci-layout", f"{folder}:{tag}", reference)
    there = _run(program, "manifest", "fetch", reference)
    if sha256(there).hexdigest() != digest:
        raise DataError(
            f"{reference}: the registry has another manifest than sha256:{digest}; push again, or"
            " ask who else writes to that tag"
        )


def _checked(folder: Path, descriptor: Mapping[str, Any]) -> Path:
    kind, _, digits = str(descriptor["digest"]).partition(":")
    if kind != "sha256" or not re.fullmatch("[0-9a-f]{64}", digits):
        raise ValueError(f"{descriptor['digest']!r:.80} is no SHA-256")
    path = folder / blob_path(digits)
    if path.stat().st_size != descriptor["size"] or sha256_file(path) != digits:
        raise DataError(f"{path}: not what the layout names; ship again")
    return path


def _run(*words: str) -> bytes:
    try:
        done = subprocess.run(words, capture_output=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise MachineError(f"{' '.join(words[:2])}: not done in {_SECONDS // 3600} hours") from None
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())[-300:]
        raise MachineError(f"{' '.join(words)}: {said or f'exit code {done.returncode}'}")
    return done.stdout


def _write(path: Path, data: object) -> None:
    beside = path.with_name(f".{path.name}")
    beside.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)
