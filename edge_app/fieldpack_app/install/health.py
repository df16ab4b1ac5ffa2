"""Whether a release works on this device, found out in a child process before anything points to
it."""

from __future__ import annotations

import json
import signal
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fieldpack.child import python, safe_environment

from .errors import Unhealthy

# A large model on a slow disk loads in minutes, and each of five questions takes minutes on a slow
# CPU.
_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class Health:
    """`questions`: how many the bundle brought; `differ`: those answered from another document, or
    refused other than where it was built."""

    questions: int
    differ: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, for JSON."""
        return asdict(self)

    @property
    def bad(self) -> bool:
        """Another processor's rounding turns a question now and then; parts that do not belong
        together turn most."""
        return len(self.differ) * 2 > self.questions


def check_health(folder: Path, what: str) -> Health:
    """Open and ask the bundle in `folder` in a child process. Raises Unhealthy, which says that the
    old release stays."""
    stays = (
        "the release before it stays in use. Run `fieldpack doctor` on it, or ask those who made it"
    )
    command = python("-m", "fieldpack_app.install.health_check", folder)
    try:
        done = subprocess.run(
            command, env=safe_environment(), capture_output=True, text=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise Unhealthy(
            f"{what}: did not answer within {_SECONDS // 60} minutes on this device; {stays}"
        ) from None
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise Unhealthy(
            f"{what}: ended by {name} when it was opened (memory ran out, or it does not fit this"
            f" processor); {stays}"
        )
    try:
        reply = json.loads(done.stdout.strip().splitlines()[-1])
        if "error" in reply:
            raise Unhealthy(f"{what}: does not work on this device: {reply['error']}; {stays}")
        health = Health(int(reply["questions"]), tuple(reply["differ"]), float(reply["seconds"]))
    except (ValueError, LookupError, TypeError):
        words = " ".join(done.stderr.split())[-300:]
        raise Unhealthy(
            f"{what}: failed when it was opened ({words or f'exit code {done.returncode}'});"
            f" {stays}"
        ) from None
    if health.bad:
        raise Unhealthy(
            f"{what}: answers {len(health.differ)} of its {health.questions} own questions"
            f" otherwise than where it was built, first: {health.differ[0]!r}; {stays}"
        )
    return health
