"""`build compare A B`: two sealed bundles, by their own records: the figures of what each ships
with intervals over the questions both were asked, which questions turned, and what was built
differently. Opens no model; knows nothing of pages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from fieldpack.bundle.manifest import Manifest, read_manifest

from ..errors import DataError
from ..recipe.renamed import rename_keys
from ..recipe.schema import WEIGHTS
from .bootstrap import BY_KEY, FIGURES, FIXED, Interval, Resampled, between
from .outcome import OTHER_SOURCE, RIGHT, outcome
from .recommend import UNITS

REPORT = Path("report") / "report.json"
A, B = "A", "B"
_IGNORED = ("version", "bundle.description")


def compare_bundles(one: Path, other: Path) -> dict[str, Any]:
    """JSON-ready. Raises the runtime's BundleError for what is no bundle, DataError for a bundle
    without a report."""
    first, second = _read(one), _read(other)
    rows, changed = _common(first[1], second[1])
    fixed = {A: _fixed(first), B: _fixed(second)}
    drawn = Resampled(rows, (A, B), fixed=fixed) if rows else None
    return {
        A: _about(one, *first),
        B: _about(other, *second),
        "questions": {
            "common": len(rows),
            "changed": changed,
            "only_a": _only(first[1], second[1]),
            "only_b": _only(second[1], first[1]),
        },
        "figures": _figures(drawn, first[1], second[1], fixed),
        "score": _score(drawn, second[0]) if drawn else None,
        "turned": _turned(rows),
        "recipe": _recipe(first[0], second[0]),
        "stages": _stages(first[0], second[0]),
        "documents": _documents(first[0], second[0]),
        "tools": _differing(_tools(first), _tools(second)),
        "sizes": _sizes(first[0], second[0]),
    }


def is_worse(compared: Mapping[str, Any]) -> bool:
    """B scores less than A by more than noise, by B's weights. Raises DataError where no question
    says."""
    if compared["score"] is None:
        raise DataError(
            "--fail-if-worse: the bundles have no question in common that both were asked"
        )
    return float(compared["score"]["high"]) < 0


def _read(folder: Path) -> tuple[Manifest, dict[str, Any]]:
    manifest = read_manifest(folder)
    try:
        report: dict[str, Any] = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        report["questions"], report["shipped"], report["arms"]
    except FileNotFoundError:
        raise DataError(
            f"{folder}: no report in it; give its recipe `evaluate`, and build it again"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / REPORT}: not a report of an evaluation ({error})") from None
    return manifest, report


def _about(folder: Path, manifest: Manifest, report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "name": manifest.name,
        "version": manifest.version,
        "arm": report["shipped"],
        "asked": len(report["questions"]),
    }


def _common(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """Rows with both shipped arms, by the question's words, and how many questions expect another
    answer now: these are not compared."""
    theirs = {row["question"]: row for row in other["questions"] if other["shipped"] in row["arms"]}
    found, changed = [], 0
    for row in one["questions"]:
        match = theirs.get(row["question"])
        if match is None or one["shipped"] not in row["arms"]:
            continue
        if (row["expected"], row.get("value")) != (match["expected"], match.get("value")):
            changed += 1
            continue
        arms = {A: row["arms"][one["shipped"]], B: match["arms"][other["shipped"]]}
        found.append(
            {
                "question": row["question"],
                "expected": row["expected"],
                "value": row.get("value"),
                "arms": arms,
            }
        )
    return found, changed


def _only(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    return len(
        {row["question"] for row in one["questions"]}
        - {row["question"] for row in other["questions"]}
    )


def _fixed(read: tuple[Manifest, Mapping[str, Any]]) -> dict[str, float]:
    mine = read[1]["arms"].get(read[1]["shipped"], {})
    found = {key: mine[key] for key in FIXED if mine.get(key) is not None}
    return {**found, "size_mb": round(read[0].size / 1e6, 1)}


def _figures(
    drawn: Resampled | None,
    one: Mapping[str, Any],
    other: Mapping[str, Any],
    fixed: Mapping[str, Mapping[str, float]],
) -> list[dict[str, Any]]:
    """On the common questions; `low` and `high` are None for what has no interval. `tone`: better,
    worse, or noise."""
    found: list[dict[str, Any]] = []
    for key in (*(figure.key for figure in FIGURES), *FIXED):
        values = [
            fixed[name].get(key) if key in FIXED else drawn.figure(name, key) if drawn else None
            for name in (A, B)
        ]
        if values[0] is None and values[1] is None:
            continue
        gap = drawn.difference(B, A, key) if drawn and key not in FIXED else None
        row: dict[str, Any] = {
            "figure": key,
            A: values[0],
            B: values[1],
            "difference": None,
            "low": None,
            "high": None,
        }
        if gap:
            row |= {"difference": gap.value, "low": gap.low, "high": gap.high}
        elif values[0] is not None and values[1] is not None:
            row["difference"] = values[1] - values[0]
        found.append(
            {
                **{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()},
                "tone": _tone(key, gap),
            }
        )
    return found


def _tone(key: str, gap: Interval | None) -> str:
    if gap is None or not gap.clear:
        return "noise" if gap else ""
    return "better" if (gap.value > 0) == (BY_KEY[key].better == "max") else "worse"


def _score(drawn: Resampled, manifest: Manifest) -> dict[str, Any]:
    """B less A by B's weights."""
    recipe = manifest.provenance.get("recipe") or {}
    weights = ((recipe.get("evaluate") or {}).get("weights")) or WEIGHTS
    (mine, my_draws), (theirs, their_draws) = (
        drawn.combined(name, weights, UNITS) for name in (B, A)
    )
    gap = between(mine - theirs, my_draws - their_draws)
    return {"weights": weights, A: round(theirs, 4), B: round(mine, 4), **gap.to_dict()}


def _turned(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Questions that one bundle gets right and the other does not."""
    found: dict[str, list[dict[str, Any]]] = {"worse": [], "better": []}
    for row in rows:
        kinds = {name: outcome(dict(row), name) for name in (A, B)}
        right = {name: kind in (RIGHT, OTHER_SOURCE) for name, kind in kinds.items()}
        if right[A] != right[B]:
            found["better" if right[B] else "worse"].append(
                {
                    "question": row["question"],
                    "expected": row["expected"],
                    **{
                        name: {"outcome": kinds[name], "answer": row["arms"][name]["answer"]}
                        for name in (A, B)
                    },
                }
            )
    return found


def _recipe(one: Manifest, other: Manifest) -> dict[str, list[Any]]:
    recipes = [deepcopy(manifest.provenance.get("recipe") or {}) for manifest in (one, other)]
    for recipe in recipes:  # a new name of a key is no difference
        rename_keys(recipe)
    mine, theirs = map(_flat, recipes)
    return {key: pair for key, pair in _differing(mine, theirs).items() if key not in _IGNORED}


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """{"train.rank": 16, ...}; a list is one value."""
    if not isinstance(value, Mapping) or not value:
        return {path: value}
    return {
        key: leaf
        for name, part in value.items()
        for key, leaf in _flat(part, f"{path}.{name}" if path else name).items()
    }


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, list[Any]]:
    """key -> [in A, in B], None where it is not there."""
    return {
        key: [one.get(key), other.get(key)]
        for key in sorted({*one, *other})
        if one.get(key) != other.get(key)
    }


def _stages(one: Manifest, other: Manifest) -> dict[str, str]:
    """stage -> same, another, only in A, only in B."""
    mine, theirs = (
        {name: stage["key"] for name, stage in (manifest.provenance.get("stages") or {}).items()}
        for manifest in (one, other)
    )
    word = {(True, False): "only in A", (False, True): "only in B"}
    return {
        name: word.get((name in mine, name in theirs))
        or ("same" if mine[name] == theirs[name] else "another")
        for name in {**mine, **theirs}
    }


def _documents(one: Manifest, other: Manifest) -> dict[str, list[str]]:
    mine, theirs = (
        (m.provenance.get("stages") or {}).get("knowledge", {}).get("sources", {})
        for m in (one, other)
    )
    return {
        "added": sorted(theirs.keys() - mine.keys()),
        "removed": sorted(mine.keys() - theirs.keys()),
        "changed": sorted(
            name for name in mine.keys() & theirs.keys() if mine[name] != theirs[name]
        ),
    }


def _tools(read: tuple[Manifest, Mapping[str, Any]]) -> dict[str, Any]:
    stages = read[0].provenance.get("stages") or {}
    return {
        tool: version
        for stage in stages.values()
        for tool, version in stage.get("tools", {}).items()
    }


def _sizes(one: Manifest, other: Manifest) -> dict[str, list[float]]:
    """role -> [megabytes in A, in B]."""
    roles = sorted({entry.role for manifest in (one, other) for entry in manifest.files})
    return {
        role: [round(sum(e.size for e in m.files if e.role == role) / 1e6, 2) for m in (one, other)]
        for role in roles
    }
