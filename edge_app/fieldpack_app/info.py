"""Reads what a bundle is from its small files, for `fieldpack info` and the page. Nothing is hashed,
no model is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from fieldpack import Manifest, read_manifest
from fieldpack.bundle.targets import TargetJson, targets_to_json
from fieldpack.index.reader import library_documents, library_size
from fieldpack.untrusted import read_json

_MAX_LISTED = 8  # folders and tags on a screen
REPORT = "report/report.json"
_MEASURED = (
    "f1",
    "value_match",
    "refused_right",
    "refused_wrong",
    "citations_valid",
    "citations_right",
    "first_token_ms",
    "total_ms",
    "tokens_per_s",
)


class FilesOfRole(TypedDict):
    """How many files of a role there are, and their bytes together."""

    files: int
    bytes: int


class KnowledgeFacts(TypedDict):
    """What the library holds: `folders` of the first level ("" for documents in none) and `tags`
    with their numbers of documents; how many documents are `dated`, and the first and last of
    their `dates`."""

    documents: int
    chunks: int
    folders: dict[str, int]
    dated: int
    dates: list[str]
    tags: dict[str, int]


class _Basics(TypedDict):
    name: str
    version: str
    description: str
    schema: str
    bytes: int
    files: dict[str, FilesOfRole]
    limits: Mapping[str, int]
    compat: Mapping[str, object]


class BundleSummary(_Basics):
    """What a bundle says of itself, its report aside."""

    knowledge: NotRequired[KnowledgeFacts]
    targets: NotRequired[list[TargetJson]]
    provenance: Mapping[str, object]


class BundleFacts(BundleSummary):
    """All that a bundle says of itself: the JSON of `fieldpack info --json`."""

    report: Mapping[str, object] | None


def describe(bundle: Path) -> BundleFacts:
    """Return all that the bundle says of itself. Raises BundleNotFound, BundleCorrupt,
    BundleUnsupported."""
    manifest = read_manifest(bundle)
    facts = cast(BundleFacts, summarize(bundle, manifest))
    facts["report"] = read_report(bundle, manifest)
    return facts


def summarize(bundle: Path, manifest: Manifest) -> BundleSummary:
    """Return what the bundle says of itself, without its report. Raises BundleCorrupt."""
    files: dict[str, FilesOfRole] = {}
    for entry in manifest.files:
        role = files.setdefault(entry.role, {"files": 0, "bytes": 0})
        role["files"] += 1
        role["bytes"] += entry.size
    basics: _Basics = {
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "schema": f"{manifest.schema[0]}.{manifest.schema[1]}",
        "bytes": manifest.size,
        "files": dict(sorted(files.items())),
        "limits": dict(manifest.limits),
        "compat": dict(manifest.compat),
    }
    summary = cast(BundleSummary, basics)  # its keys follow in their order
    if manifest.has("knowledge"):
        documents, chunks = library_size(bundle / "knowledge")
        records = library_documents(bundle / "knowledge")
        folders = Counter(one.path.split("/")[0] if "/" in one.path else "" for one in records)
        dates = sorted(one.date for one in records if one.date)
        summary["knowledge"] = {
            "documents": documents,
            "chunks": chunks,
            "folders": dict(sorted(folders.items())),
            "dated": len(dates),
            "dates": [dates[0], dates[-1]] if dates else [],
            "tags": dict(sorted(Counter(tag for one in records for tag in one.tags).items())),
        }
    if manifest.targets:
        summary["targets"] = targets_to_json(manifest.targets)
    summary["provenance"] = dict(manifest.provenance)
    return summary


def overview(facts: BundleFacts) -> dict[str, object]:
    """Return what a person wants to know first, in a screenful, by the names shown; the rest is in
    `--json`."""
    recipe = at(facts["provenance"], "recipe")
    measured = shipped_figures(facts["report"])
    files, compat = facts["files"], facts["compat"]
    provenance_arm = facts["provenance"].get("arm")
    library: dict[str, object] = {}
    if knowledge := facts.get("knowledge"):
        dates = " to ".join(knowledge["dates"])
        folders = knowledge["folders"]
        library = {
            "documents": knowledge["documents"],
            "chunks": knowledge["chunks"],
            "folders": _counts(folders) if set(folders) != {""} else "",
            "dates": f"{dates} (of {knowledge['dated']:,} documents, by their text, else the file)"
            if dates
            else "",
            "tags": _counts(knowledge["tags"]),
            "not read": _not_read(facts["provenance"]),
        }
    model: object = "none: answers are passages' own words"
    tuned_by = embedder = None
    if "model" in files:
        model = at(recipe, "base").get("model")
    # An older bundle holds all that its recipe has.
    if "tuned" in str(provenance_arm or "tuned").split("+"):
        tuned_by = at(recipe, "train").get("method")
    if "embedder" in files:
        embedder = at(recipe, "knowledge", "embedder").get("model")
    licences = at(facts["provenance"], "licences")
    targets = (f"{one['name']} ({one['proof']})" for one in facts.get("targets", ()))
    return {
        "name": facts["name"],
        "version": facts["version"],
        "description": facts["description"],
        "bytes": facts["bytes"],
        **{f"{role} bytes": sizes["bytes"] for role, sizes in files.items()},
        **library,
        "model": model,
        "tuned by": tuned_by,
        "embedder": embedder,
        "licences": ", ".join(f"{part} {name}" for part, name in licences.items() if name),
        "ships": at(facts["report"] or {}, "ship").get("why") or provenance_arm,
        "quality": None if facts["report"] else "never measured",
        "promised": guarantee(facts["report"]).get("sentence"),
        "provider": compat.get("provider"),
        "precision": compat.get("precision"),
        "targets": ", ".join(targets),
        "context, tokens": facts["limits"].get("max_context"),
        **{f"measured {name.replace('_', ' ')}": measured.get(name) for name in _MEASURED},
        "measured on, questions": measured.get("questions"),
    }


def _not_read(provenance: Mapping[str, Any]) -> str:
    """Return how many files of the library the build could not read, with the first names; nothing
    where it read all, or is an older one that does not say."""
    lost = at(provenance, "not_read")
    names, count = lost.get("names"), lost.get("files")
    if not isinstance(names, list) or not isinstance(count, int) or count < 1:
        return ""
    shown = [str(name) for name in names[:_MAX_LISTED]]
    more = f" and {count - len(shown):,} more" if count > len(shown) else ""
    files = "1 file" if count == 1 else f"{count:,} files"
    return f"{files} of the library could not be read: {', '.join(shown)}{more}"


def _counts(counts: Mapping[str, int]) -> str:
    """Return the largest counts first: "fees 12, letters 6, (none) 1"."""
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = f" and {len(largest) - _MAX_LISTED:,} more" if len(largest) > _MAX_LISTED else ""
    shown = (f"{name or '(none)'} {count:,}" for name, count in largest[:_MAX_LISTED])
    return ", ".join(shown) + more


def at(data: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Return the mapping at a path, empty where there is none: provenance and reports are whatever
    their build wrote."""
    for key in path:
        value = data.get(key)
        data = value if isinstance(value, Mapping) else {}
    return data


def shipped_figures(report: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return what was measured of the arm that ships, where the bundle was built; empty without a
    report."""
    report = report or {}
    return at(report, "arms", str(report.get("shipped")))


def guarantee(report: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return what the build promises of answers to questions like its test's; empty where it
    promises nothing or was an older one."""
    return at(report or {}, "guarantee")


def read_report(bundle: Path, manifest: Manifest) -> Mapping[str, Any] | None:
    """Return the measured figures; None for a bundle that was not evaluated. Raises
    BundleCorrupt."""
    if not any(entry.path == REPORT for entry in manifest.files):
        return None
    report = read_json(bundle / REPORT)
    return report if isinstance(report, dict) else None
