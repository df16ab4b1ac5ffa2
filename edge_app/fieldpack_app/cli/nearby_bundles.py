"""Names the bundles that somebody may have meant where a command was given a folder that is none.
Imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

import click

from fieldpack import BundleNotFound
from fieldpack.bundle.manifest import FILENAME

_LOOKED_AT = 1_000  # entries of a folder
_NAMED = 8  # bundles in a message
_VERSION = re.compile(r"-\d[\w.+-]*$")
_DIST = "dist"  # where `build recipe` writes


def require_bundle(ctx: click.Context, param: click.Parameter, bundle: Path) -> Path:
    """Return `bundle`, a command's argument, as it is. Raises BundleNotFound where it is no bundle
    and others lie there or have a name like it, which the message lists; without such the command
    itself says what is wrong."""
    if (bundle / FILENAME).is_file():
        return bundle
    if bundle.is_dir():
        if inside := _newest_first(bundles_in(bundle)):
            raise BundleNotFound(
                f"{bundle}: no bundle here, but a folder of bundles; name one: {_listed(inside)}"
            )
    elif not bundle.exists() and (near := similar_bundles(bundle)):
        raise BundleNotFound(f"{bundle}: no bundle here; did you mean {_listed(near)}?")
    return bundle


def similar_bundles(wanted: Path) -> list[str]:
    """Return the bundles whose folder's name, with its version or without it, is like the wanted
    one, the likest first: those beside it, those in `dist` and the installed ones."""
    from ..install.store import Store, default_store

    folders = bundles_in(wanted.parent)
    if wanted.parent == Path():
        folders += bundles_in(Path(_DIST))
    by_name: dict[str, list[str]] = {}
    for shown in _newest_first(folders):
        name = Path(shown).name.lower()
        for key in {name, _VERSION.sub("", name)}:
            by_name.setdefault(key, []).append(shown)
    if wanted.parent == Path() and (store := Store(default_store())).root.is_dir():
        for installed in store.state().bundles:
            by_name.setdefault(installed.lower(), []).append(installed)
    keys = get_close_matches(wanted.name.lower(), by_name)
    return list(dict.fromkeys(shown for key in keys for shown in by_name[key]))


def bundles_in(folder: Path) -> list[Path]:
    """Return the bundles in a folder; none where it cannot be read."""
    try:
        return [one for one in islice(folder.iterdir(), _LOOKED_AT) if (one / FILENAME).is_file()]
    except OSError:
        return []


def _newest_first(folders: Iterable[Path]) -> list[str]:
    """Folders by name, of one name the highest version first."""

    def key(folder: Path) -> tuple[str, list[int]]:
        version = _VERSION.search(folder.name)
        numbers = [-int(number) for number in re.findall(r"\d+", version[0])] if version else []
        return _VERSION.sub("", folder.name), numbers

    return [str(folder) for folder in sorted(folders, key=key)]


def _listed(names: list[str]) -> str:
    more = f" (and {len(names) - _NAMED:,} more)" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
