"""What a device runs: for its owner on the screen, and as JSON to carry back to those who ship."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import fieldpack

from .store import Store
from .trust import age_in_days


def status_of(store: Store) -> dict[str, Any]:
    """Return device, versions and bundles, ready for JSON; of the machine only what tells which
    wheels it needs."""
    state = store.state()
    bundles = []
    for name, entry in sorted(state.bundles.items()):
        recall = state.recall_of(entry.current.digest)
        withdrawn = None if recall is None else {"reason": recall.reason, "at": recall.at}
        bundles.append({**asdict(entry), "name": name, "withdrawn": withdrawn})
    return {
        "kind": "fieldpack-status",
        "device": state.device,
        "fieldpack": fieldpack.__version__,
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
        if bundle["withdrawn"]:
            shown.append(f"  WITHDRAWN: {bundle['withdrawn']['reason']}; run `fieldpack update`")
    if not status["bundles"]:
        shown.append(
            "nothing is installed; `fieldpack install SOURCE` takes a stick's folder or an address"
        )
    elif status["signed_days_ago"] is not None and status["signed_days_ago"] > 0:
        shown.append(f"the newest signatures seen are {status['signed_days_ago']} days old")
    return shown
