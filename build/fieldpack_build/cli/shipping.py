"""The commands `build keys`, `build ship`, `build sign`, `build recall` and `build fleet`. Thin
covers; imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..errors import SigningError
from ..ship.readme import LANGUAGES

_KEYS = "keys"
_PLATFORMS = ("linux-x86_64", "linux-aarch64", "windows-x86_64", "macos-arm64")

_keys = click.option(
    "--keys",
    type=click.Path(path_type=Path),
    default=Path(_KEYS),
    show_default=True,
    help="Folder with the release key.",
)
_json = click.option(
    "--json", "as_json", is_flag=True, help="Print what was done as JSON on stdout."
)
_root_keys = click.option(
    "--root-key",
    "places",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="PLACE",
    help="A root key, or a folder with some; again for each. Also looked for in KEYS.",
)


@click.group()
def keys() -> None:
    """The keys that releases are signed with: three root keys, of which two must sign, and a
    release key.

    The root keys say which release key counts. They are needed only to replace a key: keep each
    offline, on a medium of its own, in a place of its own. The release key signs every release.
    FIELDPACK_KEY_PASSPHRASE encrypts what is written."""


@keys.command("init")
@click.argument("folder", type=click.Path(path_type=Path), default=Path(_KEYS))
@_json
def init_keys(folder: Path, as_json: bool) -> None:
    """Make the keys in FOLDER [default: keys], and print the fingerprint to put on paper.

    \b
    build keys init
    FIELDPACK_KEY_PASSPHRASE=... build keys init /media/safe/keys
    """
    from ..ship.repository import create
    from ..ship.ship import fingerprint_of

    repository = create(folder)
    fingerprint = fingerprint_of(repository.folder)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "fingerprint": fingerprint}, indent=1))
        return
    click.echo(
        f"wrote {folder}/root-1.pem, root-2.pem, root-3.pem and release.pem\n\nfingerprint, for the"
        f" paper that goes with each first stick:\n\n    {fingerprint}\n\nMove the three root keys"
        " to three media that you keep apart and offline: two of them replace a key.\nKeep"
        f" {folder}/repository: it remembers what was signed. Next: build ship BUNDLE --to FOLDER"
    )


@keys.command("rotate")
@click.argument("folder", type=click.Path(path_type=Path), default=Path(_KEYS))
@click.option(
    "--root",
    "number",
    type=click.IntRange(1, 3),
    help="Replace this root key; else the release key is replaced.",
)
@click.option(
    "--root-pub",
    "lost",
    metavar="ID",
    help="Id of the root key to replace, where its file is lost.",
)
@_root_keys
@_json
def rotate_keys(
    folder: Path, number: int | None, lost: str | None, places: tuple[Path, ...], as_json: bool
) -> None:
    """Replace the release key, or with --root N a root key. Takes two of the root keys.

    Devices learn of the change from the next stick or server they see, and then take nothing from
    the old key.

    \b
    build keys rotate --root-key /media/a --root-key /media/b
    build keys rotate --root 3 --root-key /media/a --root-key /media/b
    """
    from ..ship.keys import read_key, read_root_keys, root_key_path
    from ..ship.repository import Repository, rotate_release_key, rotate_root_key

    roots = read_root_keys([folder, *places])
    if number is None:
        repository = rotate_release_key(folder, roots)
    else:
        known = Repository(folder / "repository").root().signed.roles["root"].keyids
        path = root_key_path(folder, number)
        if lost is None and path.is_file():
            lost = read_key(path).id
        if lost is None or lost not in known:
            raise SigningError(
                f"root key {number}: its file is not in {folder}; say which it is with --root-pub,"
                f" one of {', '.join(known)}"
            )
        repository = rotate_root_key(folder, number, roots, lost)
    version = repository.root().signed.version
    said = {"folder": str(folder), "root_version": version}
    click.echo(
        json.dumps(said, indent=1)
        if as_json
        else f"root {version} is signed; ship or sign a folder again to spread it"
    )


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    help="Stick, or folder of a static server.",
)
@_keys
@click.option(
    "--unsigned",
    is_flag=True,
    help="Leave the signing to `build sign`, on the machine that has the key.",
)
@click.option("--channel", default="stable", show_default=True, help="Which devices it is for.")
@click.option(
    "--share",
    type=click.IntRange(1, 100),
    default=100,
    show_default=True,
    help="Percent of them that take it.",
)
@click.option(
    "--platform",
    "platforms",
    type=click.Choice(_PLATFORMS),
    multiple=True,
    help="Wheels to carry [default: all but Windows].",
)
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="3.N",
    help="For these Pythons [default: 3.11, 3.12, 3.13].",
)
@click.option(
    "--with",
    "extras",
    type=click.Choice(["pages", "lan"]),
    multiple=True,
    help="Carry what an extra of the device's half needs, as in fieldpack[lan], too; pages by itself"
    " where BUNDLE has original pages.",
)
@click.option(
    "--patches",
    is_flag=True,
    help="For a server: patches of knowledge files, so that a night's changes are a few MB.",
)
@click.option(
    "--min-runtime",
    metavar="VERSION",
    help="Have devices update Fieldpack itself first, where theirs is older.",
)
@click.option(
    "--as",
    "form",
    type=click.Choice(["oci"]),
    help="Make the folder an OCI image layout, too, for oras, skopeo and podman.",
)
@click.option(
    "--push",
    "reference",
    metavar="REGISTRY/NAME:TAG",
    help="With --as oci: copy the release there with oras, and check its digest there.",
)
@click.option(
    "--no-runtime", is_flag=True, help="The bundle alone: devices have Fieldpack already."
)
@click.option(
    "--language",
    "languages",
    type=click.Choice(LANGUAGES),
    multiple=True,
    help="Of README.txt [all].",
)
@click.option(
    "--cache", type=click.Path(path_type=Path), help="Where wheels are kept ($FIELDPACK_CACHE)."
)
@_json
def ship(
    bundle: Path,
    folder: Path,
    keys: Path,
    unsigned: bool,
    channel: str,
    share: int,
    platforms: tuple[str, ...],
    pythons: tuple[str, ...],
    extras: tuple[str, ...],
    patches: bool,
    min_runtime: str | None,
    form: str | None,
    reference: str | None,
    no_runtime: bool,
    languages: tuple[str, ...],
    cache: Path | None,
    as_json: bool,
) -> None:
    """Write BUNDLE into a folder that devices install from: the same bytes on a stick and on any
    static HTTP server.

    It holds signed metadata, the bundle's files by their SHA-256 (only what is not there yet is
    copied), the wheels of the device's half with an installer, and a README for whoever finds it.
    On the device: sh install.sh, or fieldpack update FOLDER.

    \b
    build ship dist/finance-1.0.0 --to /media/stick
    build ship dist/finance-1.1.0 --to /srv/www/field --channel canary --share 10 --no-runtime
    build ship dist/finance-1.1.0 --to site --as oci --push registry.example.org/finance:1.1.0
    build ship dist/finance-1.1.0 --to site --unsigned && build sign site --keys /media/safe/keys
    """
    from ..pipeline.store import default_cache
    from ..ship.oci import push
    from ..ship.pack import MIN_RUNTIME
    from ..ship.runtime_folder import DEFAULT, PYTHONS, Wanted
    from ..ship.ship import fingerprint_of
    from ..ship.ship import ship as run

    if reference and (unsigned or form != "oci"):
        raise click.UsageError("--push takes --as oci, and a key: what is pushed is signed first")
    runtime = None
    if not no_runtime:
        runtime = Wanted(cache or default_cache(), platforms or DEFAULT, pythons or PYTHONS, extras)
    done = run(
        bundle,
        folder,
        keys=None if unsigned else keys,
        channel=channel,
        share=share,
        runtime=runtime,
        languages=languages or LANGUAGES,
        patches=patches,
        min_runtime=min_runtime or MIN_RUNTIME,
        as_oci=form == "oci",
    )
    if done.replaces is not None:
        click.echo(
            f"warning: {done.name} {done.version} was shipped before with other contents (release"
            f" {done.replaces}); devices take release {done.number}, but people cannot tell the two"
            " apart: raise `version` in the recipe",
            err=True,
        )
    if reference:
        push(folder, f"{done.name}-{done.version}", reference)
    if as_json:
        click.echo(json.dumps({**done.to_dict(), "fingerprint": fingerprint_of(folder)}, indent=1))
        return
    click.echo(
        f"{done.name} {done.version} (release {done.number}, {done.channel}):"
        f" {done.written / 1e6:,.1f} of {done.total / 1e6:,.1f} MB copied to {done.folder} in"
        f" {done.seconds:.1f} s"
    )
    click.echo(
        f"signed; fingerprint {fingerprint_of(folder)}"
        if done.signed
        else f"not signed yet: build sign {folder}"
    )


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@_keys
@_json
def sign(folder: Path, keys: Path, as_json: bool) -> None:
    """Sign what `build ship --unsigned` left in FOLDER; without anything new, sign anew what it
    offers, with today's date.

    \b
    build sign site --keys /media/safe/keys
    """
    from ..ship.ship import sign as run

    offers = run(folder, keys)
    if as_json:
        click.echo(json.dumps(offers, indent=1))
    for offer in [] if as_json else offers:
        click.echo(
            f"signed {offer['name']} {offer['version']} (release {offer['number']}) for"
            f" {offer['channel']}"
        )
    if not offers and not as_json:
        click.echo("nothing new; what is offered is signed anew")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("name")
@click.argument("version")
@click.option("--reason", required=True, help="What people at a device are shown.")
@_keys
@_json
def recall(folder: Path, name: str, version: str, reason: str, keys: Path, as_json: bool) -> None:
    """Withdraw a release: devices that see FOLDER from then on stop using it and show the reason.

    \b
    build recall /media/stick finance 1.0.0 --reason "fee table of 2023"
    """
    from ..ship.ship import recall as run

    row = run(folder, keys, name, version, reason)
    click.echo(json.dumps(row, indent=1) if as_json else f"withdrawn: {name} {version}: {reason}")


@click.command()
@click.argument("statuses", type=click.Path(path_type=Path, exists=True), nargs=-1, required=True)
@_json
def fleet(statuses: tuple[Path, ...], as_json: bool) -> None:
    """Show which device runs what, from the STATUSES that `fieldpack status --json` wrote: files,
    or folders of them.

    Of each device the newest counts. "behind" is by the highest release that any device of the
    channel runs.

    \b
    build fleet /media/stick/status-*.json
    build fleet collected/ --json
    """
    from ..ship.fleet import HEAD, read_statuses, rows, table

    loaded = read_statuses(statuses)
    if as_json:
        click.echo(
            json.dumps([dict(zip(HEAD, row, strict=True)) for row in rows(loaded)], indent=1)
        )
        return
    for line in table(loaded):
        click.echo(line)


COMMANDS = (keys, ship, sign, recall, fleet)
