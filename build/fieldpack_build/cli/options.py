"""What the commands share: options, and the end of their help. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

import click

EPILOG = """\b
Exit codes: 0 done, 1 unexpected, 2 wrong command line, 5 recipe, 6 documents or data, 7 model source,
8 a stage failed, 9 gate missed, 10 this machine (no GPU, no disk, cache in use), 11 output exists,
12 keys and signatures, 130 interrupted. An interrupted or failed build goes on where it stopped: run the same command again.
"""

cache_option = click.option(
    "--cache", type=click.Path(path_type=Path), help="Where stages are kept ($FIELDPACK_CACHE)."
)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override, e.g. train.epochs=2."
)
