"""Install and update: the order of steps that leaves a device with the old release
or the new, never with half of one. Knows nothing of commands or of how a server serves."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256

from fieldpack import BundleCorrupt
from fieldpack.bundle.manifest import read_manifest
from fieldpack.bundle.release import Release

from .changes import compare_documents
from .environments import RuntimeReady, own_environment
from .errors import NotInstalled, NotTrusted, Older, SourceFailed, Withdrawn
from .fetch import fetch_release
from .health import check_health
from .outcome import Outcome
from .runtime_update import bring_runtime, is_too_new
from .source import Source, open_source
from .state import TRIES, Installed, Slot, State
from .store import Store
from .trust import (
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
class InstallOptions:
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


def install(store: Store, location: str, options: InstallOptions) -> list[Outcome]:
    """Install what `location` (a folder or an address) offers: the bundle that is named, or the only
    one there is.

    Raises NotTrusted, Older, SourceFailed, StoreFailed, Unhealthy, BundleCorrupt,
    BundleUnsupported; the store is then as it was, but for files already copied, with which the
    next try goes on. Raises RuntimeReady where the release needs a newer Fieldpack, which is here
    now: the same command has to be run in it."""
    source = open_source(location)
    with store.lock():
        state, feed = _read_feed(store, source, options)
        chosen = _choose(feed.offers, source, options)
        return [_take(store, state, feed, chosen, options, insist=True)]


def update(store: Store, location: str | None, options: InstallOptions) -> list[Outcome]:
    """Bring installed bundles up to date from `location`, or each from where it came. A source that
    has nothing newer is no error. Raises as `install` does."""
    with store.lock():
        state = store.state()
        entries = [entry for entry in state.bundles.values() if options.name in (None, entry.name)]
        if not entries:
            what = options.name or "nothing"
            raise NotInstalled(
                f"{store.root}: {what} is not installed here; run `fieldpack install SOURCE` first"
            )
        outcomes = []
        for entry in sorted(entries, key=lambda entry: entry.name):
            outcomes.append(
                _update_one(store, open_source(location or entry.source), entry, options)
            )
        return outcomes


def _update_one(store: Store, source: Source, entry: Installed, options: InstallOptions) -> Outcome:
    current = entry.current
    unchanged = Outcome(entry.name, "unchanged", current.version, current.number)
    try:
        state, feed = _read_feed(store, source, options)
    except Older as error:
        return replace(unchanged, notes=(str(error),))
    if (recall := state.recall_of(current.digest)) is not None:
        options.say(
            f"{entry.name} {current.version}: was withdrawn on {recall.at[:10]}: {recall.reason}; it"
            f" answers no more. `fieldpack rollback {entry.name}` goes to the release before, where"
            " no newer one is here"
        )
    offer = next(
        (one for one in feed.offers if (one.channel, one.name) == (entry.channel, entry.name)), None
    )
    if offer is None:
        note = f"{source.name}: offers no {entry.name} in the channel {entry.channel}"
        return _settle(store, state, feed, replace(unchanged, notes=(note,)))
    if offer.number == current.number:
        return _settle(store, state, feed, unchanged)
    if offer.number < entry.highest and not options.allow_downgrade:
        note = (
            f"{source.name}: offers release {offer.number}, this device has had release"
            f" {entry.highest}; nothing newer here"
        )
        return _settle(store, state, feed, replace(unchanged, notes=(note,)))
    if entry.previous and entry.previous.number == offer.number and not options.allow_downgrade:
        why = f" ({entry.failed})" if entry.failed else ""
        note = (
            f"release {offer.number} was left again on this device{why}; `fieldpack install"
            f" {source.name}` takes it anyway"
        )
        return _settle(store, state, feed, replace(unchanged, notes=(note,)))
    if not in_share(state, offer):
        note = (
            f"release {offer.number} goes to {offer.share}% of devices so far, and this is not one"
            " of them"
        )
        return _settle(store, state, feed, replace(unchanged, action="waiting", notes=(note,)))
    if not feed.carries(offer):
        note = f"{source.name}: does not carry release {offer.number}, which there is elsewhere"
        return _settle(store, state, feed, replace(unchanged, notes=(note,)))
    return _take(store, state, feed, offer, options, insist=False)


def _read_feed(store: Store, source: Source, options: InstallOptions) -> tuple[State, Feed]:
    """Verify the source; return the state with what it says of withdrawn releases, not yet
    saved."""
    state = store.state()
    for folder in store.trust.iterdir():
        if folder.name != state.trust:
            shutil.rmtree(folder)  # what a killed command has left
    root = None if state.trust else _vouched_root(source, options)
    feed = read_feed(
        source, store.trust, state.trust, root, allow_downgrade=options.allow_downgrade
    )
    days = age_in_days(feed.signed)
    if options.max_age is not None and (days is None or days > options.max_age):
        raise NotTrusted(
            f"{source.name}: signed"
            f" {'at a time that makes no sense' if days is None else f'{days} days ago'}, --max-age"
            f" allows {options.max_age}; fetch a newer one, or set this device's clock"
        )
    if days is not None and days > OLD_AFTER:
        options.say(f"{source.name}: signed {days} days ago; is there a newer stick or server?")
    recalls = {recall.digest: recall for recall in (*state.recalls, *feed.recalls)}
    return (
        replace(state, recalls=tuple(recalls.values()), signed=max(state.signed, feed.signed)),
        feed,
    )


def _vouched_root(source: Source, options: InstallOptions) -> bytes:
    """Return the source's first root once somebody has said that it is the right one. Raises
    NotTrusted."""
    root = first_root(source)
    if options.fingerprint:
        check_fingerprint(root, options.fingerprint)
    elif options.confirm is None or not options.confirm(fingerprint(root)):
        raise NotTrusted(
            f"{source.name}: this device trusts no keys yet. Compare the source's fingerprint,"
            f" {fingerprint(root)}, with the one that you got on paper, and give that:"
            " --fingerprint '....'. Nothing was installed"
        )
    return root


def _choose(offers: Sequence[Offer], source: Source, options: InstallOptions) -> Offer:
    there = [offer for offer in offers if offer.channel == options.channel]
    chosen = [offer for offer in there if options.name in (None, offer.name)]
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(f"{offer.name} ({offer.channel})" for offer in offers) or "nothing"
    what = (
        f"no {options.name} in the channel {options.channel}"
        if options.name
        else "several bundles, or none; say which: --name"
    )
    raise SourceFailed(f"{source.name}: {what}; it offers {names}")


def _take(
    store: Store, state: State, feed: Feed, offer: Offer, options: InstallOptions, *, insist: bool
) -> Outcome:
    """Fetch, link, check, and only then point to it. `insist`: an older release is an error, not
    nothing to do."""
    started = time.monotonic()
    release, manifest = feed.download(offer)
    what = f"{release.name} {release.version} (release {release.number})"
    before = state.bundles.get(release.name)
    _refuse(state, before, release, what, options, insist=insist)
    if is_too_new(release):
        raise RuntimeReady(bring_runtime(store, feed, release))
    if before and before.current.digest == release.digest:
        return _settle(
            store, state, feed, Outcome(release.name, "unchanged", release.version, release.number)
        )
    copied = fetch_release(store, feed.source, release)
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
        previous=replace(before.current, runtime=state.runtime) if before else None,
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
    """Keep the verified metadata, then replace state.json: from then on the new is what counts, and
    the environment of this process with it."""
    own = own_environment()
    ours = own is not None and own.parent.parent == store.root.resolve()
    runtime = own.name if own is not None and ours else state.runtime
    store.save(replace(state, trust=feed.keep(store.trust), runtime=runtime))
    return outcome


def _refuse(
    state: State,
    before: Installed | None,
    release: Release,
    what: str,
    options: InstallOptions,
    *,
    insist: bool,
) -> None:
    if (recall := state.recall_of(release.digest)) is not None:
        raise Withdrawn(
            f"{what}: was withdrawn on {recall.at[:10]}: {recall.reason}; ask for a newer release"
        )
    if before and insist and release.number < before.highest and not options.allow_downgrade:
        raise Older(
            f"{what}: this device has had release {before.highest}; an older one may bring back"
            " mistakes that were mended. `fieldpack rollback` goes to the release before,"
            " --allow-downgrade takes this one"
        )


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


def in_share(state: State, offer: Offer) -> bool:
    """Whether this device is among the percent that take the release: each release draws anew."""
    drawn = int.from_bytes(
        sha256(f"{state.device}/{offer.name}/{offer.number}".encode()).digest()[:8], "big"
    )
    return drawn % 100 < offer.share
