"""What `fieldpack info` tells of a bundle: read from its small files, nothing hashed, no model opened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fieldpack import BundleCorrupt, Manifest, read_manifest
from fieldpack.index import library_size

REPORT = "report/report.json"


def describe(bundle: Path) -> dict[str, Any]:
    """Plain facts, JSON-ready. Raises BundleNotFound, BundleCorrupt, BundleUnsupported."""
    manifest = read_manifest(bundle)
    facts: dict[str, Any] = {
        "name": manifest.name, "version": manifest.version, "description": manifest.description,
        "schema": f"{manifest.schema[0]}.{manifest.schema[1]}", "bytes": manifest.size,
        "files": _by_role(manifest), "limits": dict(manifest.limits), "compat": dict(manifest.compat),
    }  # fmt: skip
    if manifest.has("knowledge"):
        documents, chunks = library_size(bundle / "knowledge")
        facts["knowledge"] = {"documents": documents, "chunks": chunks}
    facts["provenance"] = dict(manifest.provenance)
    facts["report"] = _report(bundle, manifest)
    return facts


def _by_role(manifest: Manifest) -> dict[str, dict[str, int]]:
    roles: dict[str, dict[str, int]] = {}
    for entry in manifest.files:
        role = roles.setdefault(entry.role, {"files": 0, "bytes": 0})
        role["files"] += 1
        role["bytes"] += entry.size
    return dict(sorted(roles.items()))


def _report(bundle: Path, manifest: Manifest) -> Mapping[str, Any] | None:
    """The measured figures, or None in a bundle that was not evaluated."""
    if not any(entry.path == REPORT for entry in manifest.files):
        return None
    try:
        report = json.loads((bundle / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleCorrupt(f"{bundle / REPORT}: {error}; copy the bundle again") from None
    return report if isinstance(report, dict) else None
