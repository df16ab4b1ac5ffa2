"""What `fieldpack info` tells of a bundle: read from its small files, nothing hashed, no model opened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fieldpack import BundleCorrupt, Manifest, read_manifest
from fieldpack.index import library_size

REPORT = "report/report.json"
_SHOWN = ("f1", "value_match", "refused_right", "refused_wrong", "citations_valid", "citations_right", "first_token_ms",
          "total_ms", "tokens_per_s")  # fmt: skip


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


def summarize(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a person wants to know first, in a screenful; the rest is in `--json`."""
    recipe = _at(facts, "provenance", "recipe")
    arm = _at(facts, "report", "arms", str(_at(facts, "report").get("shipped")))
    licences = _at(facts, "provenance", "licences")
    return {
        **{key: facts[key] for key in ("name", "version", "description", "bytes")},
        **{f"{role} bytes": sizes["bytes"] for role, sizes in facts["files"].items()},
        **facts.get("knowledge", {}),
        "model": _at(recipe, "base").get("model"), "tuned by": _at(recipe, "train").get("method"),
        "embedder": _at(recipe, "knowledge", "embedder").get("model"),
        "licences": ", ".join(f"{part} {name}" for part, name in licences.items() if name),
        "provider": facts["compat"].get("provider"), "precision": facts["compat"].get("precision"),
        "context, tokens": facts["limits"].get("max_context"),
        **{f"measured {name.replace('_', ' ')}": arm.get(name) for name in _SHOWN},
        "measured on, questions": arm.get("questions"),
    }  # fmt: skip


def _at(data: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """The mapping at a path, empty where there is none: provenance and reports are whatever their build wrote."""
    for key in path:
        found = data.get(key)
        data = found if isinstance(found, Mapping) else {}
    return data


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
