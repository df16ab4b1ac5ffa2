"""What a device runs: for its owner on the screen, and as JSON to carry back to those who ship."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import fieldpack

from .changes import changes_of
from .store import Store
from .trust import age_in_days


def status_of(store: Store, *, with_changes: bool = False) -> dict[str, Any]:
    """Return device, versions and bundles, ready for JSON; of the machine only what tells which
    wheels it needs. `with_changes`: also how many documents each current release changed, for which
    two libraries are read."""
    state = store.state()
    bundles = []
    for name, entry in sorted(state.bundles.items()):
        recall = state.recall_of(entry.current.digest)
        withdrawn = None if recall is None else {"reason": recall.reason, "at": recall.at}
        row = {**asdict(entry), "name": name, "withdrawn": withdrawn}
        if with_changes:
            changes = changes_of(store, entry)
            row["changes"] = None if changes is None else changes.counts()
        bundles.append(row)
    return {
        "kind": "fieldpack-status",
        "device": state.device,
        "fieldpack": fieldpack.__version__,
        "runtime": state.runtime,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}".lower(),
        "signed": state.signed,
        "signed_days_ago": age_in_days(state.signed),
        "bundles": bundles,
    }


def lines(status: Mapping[str, Any], *, device: bool = False) -> list[str]:
    """Return what `list` and `status` print."""
    shown = []
    if device:
        shown.append(
            f"device {status['device']}, Fieldpack {status['fieldpack']}, Python"
            f" {status['python']}, {status['system']}"
        )
    for bundle in status["bundles"]:
        now, before = bundle["current"], bundle["previous"]
        line = (
            f"{bundle['name']} {now['version']} (release {now['number']}, {bundle['channel']},"
            f" since {now['installed'][:10]})"
        )
        line += f"; before it {before['version']} (release {before['number']})" if before else ""
        shown.append(f"{line}; from {bundle['source']}")
        if bundle["tries"] is not None:
            shown.append(
                f"  not started yet: {bundle['tries']} tries until the release before comes back"
            )
        if bundle["failed"]:
            shown.append(f"  {bundle['failed']}")
        if changes := bundle.get("changes"):
            counts = (f"{changes[kind]:,} {kind}" for kind in ("added", "changed", "removed"))
            figures = "".join(
                f"; {name.replace('_', ' ')}: {then:.3g} -> {now:.3g}"
                for name, (then, now) in changes["figures"].items()
                if then != now
            )
            moved = any(changes[kind] for kind in ("added", "changed", "removed"))
            said = f": {', '.join(counts)}" if moved else " are the same"
            shown.append(f"  documents since {changes['before']}{said}{figures}")
        if bundle["withdrawn"]:
            shown.append(f"  WITHDRAWN: {bundle['withdrawn']['reason']}; run `fieldpack update`")
    if not status["bundles"]:
        shown.append(
            "nothing is installed; `fieldpack install SOURCE` takes a stick's folder or an address"
        )
    elif status["signed_days_ago"] is not None and status["signed_days_ago"] > 0:
        shown.append(f"the newest signatures seen are {status['signed_days_ago']} days old")
    return shown
