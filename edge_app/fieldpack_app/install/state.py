"""state.json: which release of each bundle is current, which was before, what is withdrawn. The one
pointer of the store, replaced as a whole. Knows nothing of the files that it points to."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from fieldpack.untrusted import typed

from ..durable import replace_file
from .errors import StoreFailed

FILENAME = "state.json"
# Starts that a new release gets to open and load everything once, before the one before comes back.
TRIES = 3
_SCHEMA = 1
_Kind = TypeVar("_Kind", "Slot", "Recall")


@dataclass(frozen=True, slots=True)
class Slot:
    """One installed release. `digest`: of its OCI manifest, the name of its folder. `installed`:
    ISO 8601. `runtime`: of a release that is current no more, the environment that it was last
    used with, "" if none of ours."""

    digest: str
    version: str
    number: int
    installed: str
    runtime: str = ""


@dataclass(frozen=True, slots=True)
class Installed:
    """`tries`: starts left to a release that has not opened in earnest yet, None for one that has.
    `highest`: the number below which no release is taken without --allow-downgrade. `failed`: why
    the last release was left again, "" if it was not."""

    name: str
    channel: str
    source: str
    current: Slot
    previous: Slot | None = None
    tries: int | None = None
    highest: int = 0
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Recall:
    """A release that must not be used any more. `digest`: of its OCI manifest."""

    name: str
    version: str
    digest: str
    reason: str
    at: str


@dataclass(frozen=True, slots=True)
class State:
    """`device`: a random id, for shares of devices. `trust`: the folder in trust/ that holds the
    verified metadata, "" before the first install. `signed`: when the newest metadata seen was
    signed, ISO 8601. `runtime`: the environment in env/ that every command runs in, "" where
    Fieldpack was installed in another way."""

    device: str
    trust: str = ""
    signed: str = ""
    bundles: Mapping[str, Installed] = field(default_factory=dict)
    recalls: tuple[Recall, ...] = ()
    runtime: str = ""

    def with_bundle(self, entry: Installed) -> State:
        """Return the state with this bundle's entry added or replaced."""
        return replace(self, bundles={**self.bundles, entry.name: entry})

    def recall_of(self, digest: str) -> Recall | None:
        """Return the recall of a release by its digest; None where it is not withdrawn."""
        return next((recall for recall in self.recalls if recall.digest == digest), None)

    def slots(self) -> dict[str, str]:
        """Digest -> bundle's name, of each release that is current or previous."""
        kept = [
            (slot.digest, entry.name)
            for entry in self.bundles.values()
            for slot in (entry.previous, entry.current)
            if slot
        ]
        return dict(kept)


def new_state() -> State:
    """Return the state of a device that has nothing installed, with a random id."""
    return State(device=secrets.token_hex(8))


def read_state(folder: Path) -> State | None:
    """None where there is none yet. Raises StoreFailed for a file that is damaged."""
    path = folder / FILENAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != _SCHEMA:
            raise StoreFailed(
                f"{path}: written by another version (schema {data['schema']!r:.20}); update"
                " Fieldpack"
            )
        entries = [_entry(row) for row in data["bundles"]]
        return State(
            device=str(data["device"]),
            trust=str(data["trust"]),
            signed=str(data["signed"]),
            bundles={entry.name: entry for entry in entries},
            recalls=tuple(_known(Recall, row) for row in data["recalls"]),
            runtime=str(data.get("runtime", "")),
        )
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StoreFailed(
            f"{path}: damaged ({type(error).__name__}: {str(error)[:100]}); move it away and run"
            " `fieldpack install SOURCE` again: files that are whole are not copied again"
        ) from None


def write_state(folder: Path, state: State) -> None:
    """Replace state.json; the new one is on the disk when this returns."""
    data = {
        "schema": _SCHEMA,
        "device": state.device,
        "trust": state.trust,
        "signed": state.signed,
        "runtime": state.runtime,
        "bundles": [asdict(entry) for _, entry in sorted(state.bundles.items())],
        "recalls": [asdict(recall) for recall in state.recalls],
    }
    replace_file(
        folder / FILENAME, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()
    )


def _known(kind: type[_Kind], row: Mapping[str, Any]) -> _Kind:
    """Read the fields that this version knows: a later one, from which a device has come back, may
    have written more."""
    return typed(kind, {one.name: row[one.name] for one in fields(kind) if one.name in row})


def _entry(row: Mapping[str, Any]) -> Installed:
    current, previous, tries = row["current"], row["previous"], row["tries"]
    return Installed(
        name=str(row["name"]),
        channel=str(row["channel"]),
        source=str(row["source"]),
        current=_known(Slot, current),
        previous=None if previous is None else _known(Slot, previous),
        tries=None if tries is None else int(tries),
        highest=int(row["highest"]),
        failed=str(row["failed"]),
    )
