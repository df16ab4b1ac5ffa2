"""What `fieldpack info` tells of a bundle: read from its small files, nothing hashed, no model opened."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fieldpack import BundleCorrupt, DocumentRecord, Manifest, read_manifest
from fieldpack.bundle.targets import targets_to_json
from fieldpack.index.reader import library_documents, library_size

_MOST = 8  # folders and tags on a screen
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
        facts["knowledge"] = {"documents": documents, "chunks": chunks, **_library(library_documents(bundle / "knowledge"))}
    if manifest.targets:
        facts["targets"] = targets_to_json(manifest.targets)
    facts["provenance"] = dict(manifest.provenance)
    facts["report"] = read_report(bundle, manifest)
    return facts


def summarize(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a person wants to know first, in a screenful; the rest is in `--json`."""
    recipe = at(facts, "provenance", "recipe")
    arm = at(facts, "report", "arms", str(at(facts, "report").get("shipped")))
    licences = at(facts, "provenance", "licences")
    files = facts["files"]
    ships = str(at(facts, "provenance").get("arm") or "tuned")  # an older bundle holds all its recipe has
    return {
        **{key: facts[key] for key in ("name", "version", "description", "bytes")},
        **{f"{role} bytes": sizes["bytes"] for role, sizes in facts["files"].items()},
        **_library_in_words(facts.get("knowledge", {})),
        "model": at(recipe, "base").get("model") if "model" in files else "none: answers are passages' own words",
        "tuned by": at(recipe, "train").get("method") if "tuned" in ships.split("+") else None,
        "embedder": at(recipe, "knowledge", "embedder").get("model") if "embedder" in files else None,
        "licences": ", ".join(f"{part} {name}" for part, name in licences.items() if name),
        "ships": at(facts, "report", "ship").get("why") or at(facts, "provenance").get("arm"),
        "provider": facts["compat"].get("provider"), "precision": facts["compat"].get("precision"),
        "targets": ", ".join(f"{one['name']} ({one['proof']})" for one in facts.get("targets", ())),
        "context, tokens": facts["limits"].get("max_context"),
        **{f"measured {name.replace('_', ' ')}": arm.get(name) for name in _SHOWN},
        "measured on, questions": arm.get("questions"),
    }  # fmt: skip


def _library(records: Sequence[DocumentRecord]) -> dict[str, Any]:
    """Documents by folder of the first level ("" for those in none) and by tag; the first date and the last."""
    folders = Counter(record.path.split("/")[0] if "/" in record.path else "" for record in records)
    dates = sorted(record.date for record in records if record.date)
    return {"folders": dict(sorted(folders.items())), "dated": len(dates), "dates": [dates[0], dates[-1]] if dates else [],
            "tags": dict(sorted(Counter(tag for record in records for tag in record.tags).items()))}  # fmt: skip


def _library_in_words(knowledge: Mapping[str, Any]) -> dict[str, Any]:
    if not knowledge:
        return {}
    dates = " to ".join(knowledge["dates"])
    return {
        "documents": knowledge["documents"], "chunks": knowledge["chunks"],
        "folders": _counts(knowledge["folders"]) if set(knowledge["folders"]) != {""} else "",
        "dates": f"{dates} ({knowledge['dated']:,} documents state one)" if dates else "", "tags": _counts(knowledge["tags"]),
    }  # fmt: skip


def _counts(counts: Mapping[str, int]) -> str:
    """The largest first: "fees 12, letters 6, (none) 1"."""
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = f" and {len(largest) - _MOST:,} more" if len(largest) > _MOST else ""
    return ", ".join(f"{name or '(none)'} {count:,}" for name, count in largest[:_MOST]) + more


def at(data: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
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


def read_report(bundle: Path, manifest: Manifest) -> Mapping[str, Any] | None:
    """The measured figures, or None in a bundle that was not evaluated."""
    if not any(entry.path == REPORT for entry in manifest.files):
        return None
    try:
        report = json.loads((bundle / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleCorrupt(f"{bundle / REPORT}: {error}; copy the bundle again") from None
    return report if isinstance(report, dict) else None
