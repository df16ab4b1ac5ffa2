"""Install, update, roll back, repair: the order of steps that leaves a device with the old release
or the new, never with half of one. Knows nothing of commands or of how a server serves."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Any

import fieldpack
from fieldpack import BundleCorrupt, BundleError, BundleUnsupported
from fieldpack.bundle.manifest import read_manifest
from fieldpack.bundle.release import Release, ReleaseFile

from .changes import Changes, compare_documents
from .disk import require_room
from .errors import NotInstalled, NotTrusted, Older, SourceFailed, Withdrawn
from .fetch import fetch_file
from .health import Health, check_health
from .progress import Progress
from .source import Source, open_source
from .state import TRIES, Installed, Slot, State
from .store import RELEASE, Damage, Store
from .trust import (
    TARGETS,
    Feed,
    Offer,
    age_in_days,
    check_fingerprint,
    fingerprint,
    first_root,
    read_feed,
)

CHANNEL = "stable"
OLD_AFTER = 90  # days, after which the age of the signatures is worth a line


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done with one bundle. `action`: installed, updated, unchanged, waiting (its share of
    devices does not include this one yet), rolled back. `copied`: bytes that came from the source,
    of `size`."""

    name: str
    action: str
    version: str
    number: int
    size: int = 0
    copied: int = 0
    seconds: float = 0.0
    health: Health | None = None
    changes: Changes | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the one at the device wants. `confirm` is shown a first root's fingerprint and says
    whether it is the right one; without it `fingerprint` must be given. `max_age`: days, beyond
    which signatures are refused."""

    name: str | None = None
    channel: str = CHANNEL
    fingerprint: str = ""
    confirm: Callable[[str], bool] | None = None
    allow_downgrade: bool = False
    max_age: int | None = None
    say: Callable[[str], None] = field(default=lambda text: None)


def install(store: Store, given: str, wishes: Wishes) -> list[Outcome]:
    """Install what `given` (a folder or an address) offers: the bundle that is named, or the only
    one there is.

    Raises NotTrusted, Older, SourceFailed, StoreFailed, Unhealthy, BundleCorrupt,
    BundleUnsupported; the store is then as it was, but for files already copied, with which the
    next try goes on."""
    source = open_source(given)
    with store.lock():
        state, feed = _read_feed(store, source, wishes)
        chosen = _choose(feed.offers, source, wishes)
        return [_take(store, state, feed, chosen, wishes, insist=True)]


def update(store: Store, given: str | None, wishes: Wishes) -> list[Outcome]:
    """Bring installed bundles up to date from `given`, or each from where it came. A source that
    has nothing newer is no error."""
    with store.lock():
        state = store.state()
        entries = [entry for entry in state.bundles.values() if wishes.name in (None, entry.name)]
        if not entries:
            what = wishes.name or "nothing"
            raise NotInstalled(
                f"{store.root}: {what} is not installed here; run `fieldpack install SOURCE` first"
            )
        outcomes = []
        for entry in sorted(entries, key=lambda entry: entry.name):
            outcomes.append(_update_one(store, open_source(given or entry.source), entry, wishes))
        return outcomes


def _update_one(store: Store, source: Source, entry: Installed, wishes: Wishes) -> Outcome:
    current = entry.current
    unchanged = Outcome(entry.name, "unchanged", current.version, current.number)
    try:
        state, feed = _read_feed(store, source, wishes)
    except Older as error:
        return replace(unchanged, notes=(str(error),))
    offer = next(
        (one for one in feed.offers if (one.channel, one.name) == (entry.channel, entry.name)), None
    )
    if offer is None:
        note = f"{source.name}: offers no {entry.name} in the channel {entry.channel}"
        return _settle(store, state, feed, replace(unchanged, notes=(note,)))
    if offer.number == current.number:
        return _settle(store, state, feed, unchanged)
    if offer.number < entry.highest and not wishes.allow_downgrade:
        note = (
            f"{source.name}: offers release {offer.number}, this device has had release"
            f" {entry.highest}; nothing newer here"
        )
        return _settle(store, state, feed, replace(unchanged, notes=(note,)))
    if entry.previous and entry.previous.number == offer.number and not wishes.allow_downgrade:
        why = f" ({entry.failed})" if entry.failed else ""
        note = (
            f"release {offer.number} was left again on this device{why}; `fieldpack install"
            f" {source.name}` takes it anyway"
        )
        return _settle(store, state, feed, replace(unchanged, notes=(note,)))
    if not _in_share(state, offer):
        note = (
            f"release {offer.number} goes to {offer.share}% of devices so far, and this is not one"
            " of them"
        )
        return _settle(store, state, feed, replace(unchanged, action="waiting", notes=(note,)))
    return _take(store, state, feed, offer, wishes, insist=False)


def rollback(store: Store, name: str | None) -> Outcome:
    """Make the release before the current one current again. Copies nothing. Raises NotInstalled,
    Withdrawn."""
    started = time.monotonic()
    with store.lock():
        state = store.state()
        entry = find_entry(state, name, store)
        returned = go_back(store, state, entry, "rolled back by hand")
        store.save(state.with_bundle(returned))
    slot = returned.current
    return Outcome(
        entry.name,
        "rolled back",
        slot.version,
        slot.number,
        seconds=round(time.monotonic() - started, 3),
    )


def go_back(store: Store, state: State, entry: Installed, why: str) -> Installed:
    """Return the entry with the release before as the current one. Raises NotInstalled where there
    is none, Withdrawn."""
    if entry.previous is None or not store.slot(entry.previous.digest).is_dir():
        raise NotInstalled(
            f"{entry.name}: no release before {entry.current.version} on this device; install one"
            " with `fieldpack install SOURCE --allow-downgrade`"
        )
    if (recall := state.recall_of(entry.previous.digest)) is not None:
        raise Withdrawn(
            f"{entry.name} {entry.previous.version}: was withdrawn on {recall.at[:10]}:"
            f" {recall.reason}; run `fieldpack update`"
        )
    return replace(entry, current=entry.previous, previous=entry.current, tries=None, failed=why)


def find_entry(state: State, name: str | None, store: Store) -> Installed:
    """Return the installed bundle of this name, or the only one. Raises NotInstalled, which names
    what there is."""
    entries = [entry for entry in state.bundles.values() if name in (None, entry.name)]
    if len(entries) == 1:
        return entries[0]
    there = ", ".join(sorted(state.bundles)) or "nothing"
    what = f"{name} is not installed here" if name else "say which bundle"
    raise NotInstalled(f"{store.root}: {what}; installed: {there}")


def repair(store: Store, given: str | None) -> tuple[list[Damage], list[Damage]]:
    """Copy damaged files of installed releases anew, from `given` or from where each came. Returns
    (mended, left)."""
    with store.lock():
        state = store.state()
        found = store.damages()
        for digest, name in state.slots().items():
            entry = state.bundles[name]
            if any(damage.name == name for damage in found) or not _is_whole(store, digest):
                _repair_slot(store, open_source(given or entry.source), entry, digest)
        left = store.damages() if found else []
        return [damage for damage in found if damage not in left], left


def _is_whole(store: Store, digest: str) -> bool:
    """Whether each file of a slot is a link to its blob, as `gc` and the next update want it."""
    try:
        files = store.release(digest).files
    except BundleError:
        return False
    return all(store.blob(file.sha256).is_file() for file in files)


def _repair_slot(store: Store, source: Source, entry: Installed, digest: str) -> None:
    """The release's digest is in state.json, so what hashes to it needs no signature."""
    path = store.slots / digest / RELEASE
    manifest = path.read_bytes() if path.is_file() else b""
    if sha256(manifest).hexdigest() != digest:
        manifest = b"".join(source.read(f"{TARGETS}/{entry.channel}/{digest}.{entry.name}.json"))
        if sha256(manifest).hexdigest() != digest:
            raise SourceFailed(
                f"{source.name}: does not hold the release that is damaged here; name the stick it"
                " came from"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(manifest)
    release = store.release(digest)
    _fetch_all(store, source, release)
    store.make_slot(release, manifest)


def _read_feed(store: Store, source: Source, wishes: Wishes) -> tuple[State, Feed]:
    """Verify the source; return the state with what it says of withdrawn releases, not yet
    saved."""
    state = store.state()
    _sweep(store, state)
    root = None if state.trust else _vouched_root(source, wishes)
    feed = read_feed(source, store.trust, state.trust, root, allow_downgrade=wishes.allow_downgrade)
    days = age_in_days(feed.signed)
    if wishes.max_age is not None and (days is None or days > wishes.max_age):
        raise NotTrusted(
            f"{source.name}: signed"
            f" {'at a time that makes no sense' if days is None else f'{days} days ago'}, --max-age"
            f" allows {wishes.max_age}; fetch a newer one, or set this device's clock"
        )
    if days is not None and days > OLD_AFTER:
        wishes.say(f"{source.name}: signed {days} days ago; is there a newer stick or server?")
    recalls = {recall.digest: recall for recall in (*state.recalls, *feed.recalls)}
    return (
        replace(state, recalls=tuple(recalls.values()), signed=max(state.signed, feed.signed)),
        feed,
    )


def _vouched_root(source: Source, wishes: Wishes) -> bytes:
    """Return the source's first root once somebody has said that it is the right one. Raises
    NotTrusted."""
    root = first_root(source)
    if wishes.fingerprint:
        check_fingerprint(root, wishes.fingerprint)
    elif wishes.confirm is None or not wishes.confirm(fingerprint(root)):
        raise NotTrusted(
            f"{source.name}: this device trusts no keys yet. Compare the source's fingerprint,"
            f" {fingerprint(root)}, with the one that you got on paper, and give that:"
            " --fingerprint '....'. Nothing was installed"
        )
    return root


def _choose(offers: Sequence[Offer], source: Source, wishes: Wishes) -> Offer:
    there = [offer for offer in offers if offer.channel == wishes.channel]
    chosen = [offer for offer in there if wishes.name in (None, offer.name)]
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(f"{offer.name} ({offer.channel})" for offer in offers) or "nothing"
    what = (
        f"no {wishes.name} in the channel {wishes.channel}"
        if wishes.name
        else "several bundles, or none; say which: --name"
    )
    raise SourceFailed(f"{source.name}: {what}; it offers {names}")


def _take(
    store: Store, state: State, feed: Feed, offer: Offer, wishes: Wishes, *, insist: bool
) -> Outcome:
    """Fetch, link, check, and only then point to it. `insist`: an older release is an error, not
    nothing to do."""
    started = time.monotonic()
    release, manifest = feed.download(offer)
    what = f"{release.name} {release.version} (release {release.number})"
    before = state.bundles.get(release.name)
    _refuse(state, before, release, what, wishes, insist=insist)
    if before and before.current.digest == release.digest:
        return _settle(
            store, state, feed, Outcome(release.name, "unchanged", release.version, release.number)
        )
    copied = _fetch_all(store, feed.source, release)
    folder = store.make_slot(release, manifest)
    _match(release, store, what)
    health = check_health(folder, what)
    slot = Slot(
        release.digest,
        release.version,
        release.number,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
    entry = Installed(
        release.name,
        offer.channel,
        feed.source.name,
        slot,
        previous=before.current if before else None,
        tries=TRIES if before else None,
        highest=max(release.number, before.highest if before else 0),
    )
    changes = compare_documents(store.slot(before.current.digest), folder) if before else None
    outcome = Outcome(
        release.name,
        "updated" if before else "installed",
        release.version,
        release.number,
        release.size,
        copied,
        health=health,
        changes=changes,
    )
    _settle(store, state.with_bundle(entry), feed, outcome)
    store.collect()
    return replace(outcome, seconds=round(time.monotonic() - started, 2))


def _settle(store: Store, state: State, feed: Feed, outcome: Outcome) -> Outcome:
    """Keep the verified metadata, then replace state.json: from then on the new is what counts."""
    store.save(replace(state, trust=feed.keep(store.trust)))
    return outcome


def _refuse(
    state: State,
    before: Installed | None,
    release: Release,
    what: str,
    wishes: Wishes,
    *,
    insist: bool,
) -> None:
    if (recall := state.recall_of(release.digest)) is not None:
        raise Withdrawn(
            f"{what}: was withdrawn on {recall.at[:10]}: {recall.reason}; ask for a newer release"
        )
    if before and insist and release.number < before.highest and not wishes.allow_downgrade:
        raise Older(
            f"{what}: this device has had release {before.highest}; an older one may bring back"
            " mistakes that were mended. `fieldpack rollback` goes to the release before,"
            " --allow-downgrade takes this one"
        )
    if _numbers(release.min_runtime) > _numbers(fieldpack.__version__):
        raise BundleUnsupported(
            f"{what}: needs Fieldpack {release.min_runtime}, this is {fieldpack.__version__}; run"
            " install.sh of the stick or server again: it brings both, and leaves what is"
            " installed in place"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _fetch_all(store: Store, source: Source, release: Release) -> int:
    """Bring every file that is not here and whole. Returns the bytes copied. Raises StoreFailed
    where they do not fit."""
    wanted: dict[str, ReleaseFile] = {file.sha256: file for file in release.files}
    missing = [file for file in wanted.values() if not store.has_blob(file)]
    begun = sum(
        path.stat().st_size for file in missing if (path := store.partial / file.sha256).is_file()
    )
    total = sum(file.size for file in missing)
    require_room(store.root, total - begun, f"{release.name} {release.version}")
    progress = Progress(total, f"{release.name} {release.version}")
    done = copied = 0
    for file in missing:
        copied += fetch_file(source, file, store, partial(_advance, progress, done))
        done += file.size
    progress.done()
    return copied


def _advance(progress: Progress, before: int, here: int) -> None:
    progress.at(before + here)


def _match(release: Release, store: Store, what: str) -> None:
    """Raise where the bundle's own manifest names other files, or another bundle, than the release
    that was signed."""
    manifest = read_manifest(store.slot(release.digest))
    named = {(entry.path, entry.size, entry.sha256) for entry in manifest.files}
    signed = {
        (file.path, file.size, file.sha256)
        for file in release.files
        if file.path != "manifest.json"
    }
    if named != signed or (manifest.name, manifest.version) != (release.name, release.version):
        raise BundleCorrupt(
            f"{what}: the bundle's manifest names other files than the release: parts of several"
            " bundles were mixed; ship it again"
        )


def _in_share(state: State, offer: Offer) -> bool:
    """Whether this device is among the percent that take the release: each release draws anew."""
    drawn = int.from_bytes(
        sha256(f"{state.device}/{offer.name}/{offer.number}".encode()).digest()[:8], "big"
    )
    return drawn % 100 < offer.share


def _sweep(store: Store, state: State) -> None:
    """Remove what a killed command has left in trust/."""
    for folder in store.trust.iterdir():
        if folder.name != state.trust:
            shutil.rmtree(folder)
