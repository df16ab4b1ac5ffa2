"""A newer Fieldpack for a release that needs one: its wheels, signed as the releases are, are
copied from the source, checked and installed into an environment of their own, without a network's
package index. Nothing uses it until state.json names it.

`python -m fieldpack_app.install.runtime_update STORE`, for installers, makes the environment that
runs it the current one."""

from __future__ import annotations

import hashlib
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import fieldpack
from fieldpack import BundleUnsupported, FieldpackError
from fieldpack.bundle.release import Release
from fieldpack.bundle.runtime_list import (
    RuntimeList,
    Wheel,
    own_platform,
    to_bytes,
    version_numbers,
    wheel_path,
)

from .disk import require_room
from .environments import (
    COMPLETE,
    FOLDER,
    InstallFailed,
    environment_name,
    make_environment,
    own_environment,
    point,
)
from .errors import NotTrusted, SourceFailed, StoreFailed
from .source import Missing, Source
from .store import Store
from .trust import Feed

# The wheels, unpacked, are some three times their bytes.
_UNPACKED = 4
_PIP = "pip"


def is_too_new(release: Release) -> bool:
    """Whether a release needs a newer Fieldpack than this one."""
    return version_numbers(release.min_runtime) > version_numbers(fieldpack.__version__)


def bring_runtime(store: Store, feed: Feed, release: Release) -> Path:
    """Return a whole environment of a Fieldpack that can take `release`, made of the wheels that
    the source carries. Raises BundleUnsupported where there is none, NotTrusted, SourceFailed,
    StoreFailed."""
    what = (
        f"{release.name} {release.version} (release {release.number}): needs Fieldpack"
        f" {release.min_runtime}, this is {fieldpack.__version__}"
    )
    own = own_environment()
    if own is None or own.parent.parent != store.root.resolve():
        raise BundleUnsupported(
            f"{what}, which was not installed by install.sh into {store.root}; update it as it was"
            " installed, or run install.sh of the stick or server: it brings both, and leaves what"
            " is installed in place"
        )
    listed = feed.runtime(own_platform())
    if listed is None or version_numbers(listed.version) < version_numbers(release.min_runtime):
        carried = "none" if listed is None else listed.version
        raise BundleUnsupported(
            f"{what}; {feed.source.name} offers {carried} for {own_platform()}: ask for a release"
            " that was shipped with its runtime"
        )
    folder = store.root / FOLDER / environment_name(listed.version, to_bytes(listed))
    if folder == own:
        raise BundleUnsupported(
            f"{what}, though the newest wheels were signed as {listed.version}: whoever ships made"
            " a mistake; ask for a new release"
        )
    if not (folder / COMPLETE).is_file():
        _install(store, feed.source, listed, folder)
    return folder


def use_own_environment(store: Store) -> None:
    """Make the environment of this process the current one. Raises StoreFailed."""
    own = own_environment()
    if own is None or own.parent.parent != store.root.resolve():
        raise StoreFailed(f"{sys.prefix}: no environment of {store.root}; run install.sh")
    with store.lock():
        state = store.state()
        if state.runtime != own.name:
            store.save(replace(state, runtime=own.name))
        point(store.root, own.name)


def _install(store: Store, source: Source, listed: RuntimeList, folder: Path) -> None:
    fitting = [wheel for wheel in listed.wheels if wheel.fits(sys.version_info[1])]
    needed = sum(wheel.size for wheel in fitting)
    require_room(store.root, needed * _UNPACKED, f"Fieldpack {listed.version}")
    beside = folder.with_name(f".wheels-{folder.name}")
    beside.mkdir(parents=True, exist_ok=True)
    there = [wheel for wheel in fitting if _copy(source, listed, wheel, beside)]
    pip = next((wheel for wheel in there if wheel.package == _PIP), None)
    if pip is None or not any(wheel.package == "fieldpack" for wheel in there):
        raise SourceFailed(
            f"{source.name}: does not carry the wheels of Fieldpack {listed.version} for"
            f" {listed.platform} and Python 3.{sys.version_info[1]}; name a stick or server that"
            " was shipped with its runtime"
        )
    try:
        make_environment(folder, beside, _requirements(there), beside / pip.name)
    except InstallFailed as error:
        raise SourceFailed(
            f"{source.name}: Fieldpack {listed.version} could not be installed for Python"
            f" 3.{sys.version_info[1]} ({error}); the version before stays in use. Name a stick"
            " that was shipped for this Python"
        ) from None
    shutil.rmtree(beside)


def _copy(source: Source, listed: RuntimeList, wheel: Wheel, beside: Path) -> bool:
    """Copy a wheel and hold it to what was signed; False where the source does not carry it: it may
    be of another Python."""
    target = beside / wheel.name
    digest, size = hashlib.sha256(), 0
    try:
        with target.open("wb", buffering=0) as out:
            for piece in source.read(wheel_path(listed.platform, wheel.name)):
                size += len(piece)
                if size > wheel.size:
                    break
                digest.update(piece)
                out.write(piece)
    except Missing:
        target.unlink()
        return False
    if size != wheel.size or digest.hexdigest() != wheel.sha256:
        target.unlink()
        raise NotTrusted(
            f"{source.name}: {wheel.name}: not the wheel that was signed; it is damaged or was"
            " tampered with: copy or ship the folder again. Nothing was changed"
        )
    return True


def _requirements(wheels: list[Wheel]) -> str:
    """Return every package but pip, pinned, with the hashes of its wheels."""
    hashes: dict[str, list[str]] = {}
    for wheel in wheels:
        if wheel.package != _PIP:
            pin = f"{wheel.package}=={wheel.name.split('-')[1]}"
            hashes.setdefault(pin, []).append(f"--hash=sha256:{wheel.sha256}")
    return "".join(f"{pin} {' '.join(given)}\n" for pin, given in sorted(hashes.items()))


if __name__ == "__main__":
    try:
        use_own_environment(Store(Path(sys.argv[1])))
    except FieldpackError as error:
        raise SystemExit(f"fieldpack: {error}") from None
