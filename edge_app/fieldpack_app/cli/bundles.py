"""The commands that look at a bundle and open none of its models: info, verify. Thin covers; imports
nothing heavy."""

from __future__ import annotations

from pathlib import Path

import click

import fieldpack
from fieldpack.figures import megabytes

from ..terminal import render
from .install import verify_store
from .options import BundlePath, bundle_argument, json_option


@click.command(short_help="Show what a bundle is and how good it was measured to be.")
@bundle_argument
@json_option
def info(bundle: Path, as_json: bool) -> None:
    """Show size, documents, origin and measured figures of BUNDLE; all it says of itself with --json. Hashes nothing.

    \b
    Example:
      fieldpack info finance-1.0.0
    """
    from ..info import describe, overview

    facts = describe(bundle)
    click.echo(render.dumps(facts, indent=2) if as_json else render.facts(overview(facts)))


@click.command(short_help="Check every file of a bundle.")
@click.argument("bundle", type=BundlePath(), required=False)
@click.option("--deep", is_flag=True, help="Every file of every installed release instead.")
@json_option
def verify(bundle: Path | None, deep: bool, as_json: bool) -> None:
    """Hash every file of BUNDLE and compare with its manifest: 0 and "ok: ...", or 3 and the files that differ.

    \b
    Examples:
      fieldpack verify /media/usb/finance-1.0.0 && cp -r /media/usb/finance-1.0.0 /opt/bundles/
      fieldpack verify --deep
    """
    if (bundle is None) != deep:
        raise click.UsageError("give a BUNDLE, or --deep for all that is installed")
    if bundle is None:
        verify_store(as_json)
        return
    from fieldpack.bundle.manifest import read_manifest
    from fieldpack.bundle.manifest import verify as check

    try:
        manifest = read_manifest(bundle)
        check(bundle, manifest)
    except fieldpack.BundleError as error:
        if as_json:
            click.echo(render.dumps({"ok": False, "error": str(error)}, indent=2))
        raise
    if as_json:
        sizes = {"files": len(manifest.files), "bytes": manifest.size}
        click.echo(
            render.dumps(
                {"ok": True, "name": manifest.name, "version": manifest.version, **sizes}, indent=2
            )
        )
    else:
        click.echo(f"ok: {len(manifest.files)} files, {megabytes(manifest.size)}")
