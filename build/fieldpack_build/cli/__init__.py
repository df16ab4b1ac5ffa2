"""The command `build`: a thin cover over the pipeline. Imports nothing heavy: `build --help`
answers at once."""

from __future__ import annotations

import sys

import click

from .files import clean, init
from .look import check, data, status
from .make import knowledge, recipe
from .options import EPILOG
from .results import answers, compare
from .shipping import COMMANDS as SHIP_COMMANDS


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(package_name="fieldpack", prog_name="build")
def cli() -> None:
    """Turn a recipe (YAML) into a sealed bundle that answers offline.

    \b
    build init clinic             write a new, commented recipe with a folder to fill
    build check clinic.yaml       find what is wrong, see what it will take
    build data clinic.yaml        its training rows: what is wrong with them, what a model will read
    build recipe clinic.yaml      run every stage that is not done yet; the bundle comes to dist/
    build compare A B             two bundles: figures, questions that turned, what was built differently
    build answers BUNDLE          its test questions and answers as JSON Lines, for RAGAS, inspect and others
    build knowledge clinic.yaml   its documents alone: read, index, say what was skipped, measure retrieval
    build ship BUNDLE --to STICK  sign it and write what a bare machine installs from; `build keys init` first
    fieldpack ask dist/clinic-1.0.0 "..."
    """


for _command in (
    recipe,
    knowledge,
    data,
    check,
    status,
    compare,
    answers,
    init,
    clean,
    *SHIP_COMMANDS,
):
    cli.add_command(_command)


def main() -> None:
    """Entry point: errors of ours become one line each on stderr and their exit code."""
    from fieldpack.errors import FieldpackError

    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("build: interrupted; run the same command to go on", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("build: interrupted; run the same command to go on", err=True)
        sys.exit(130)
    except FieldpackError as error:
        for line in str(error).splitlines():
            click.echo(f"build: {line}", err=True)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("fieldpack_build", "fieldpack"):
            raise
        click.echo(
            f"build: {error.name} is not installed; the build server needs `pip install "
            "fieldpack[build]`",
            err=True,
        )
        sys.exit(10)
    except OSError as error:
        from ..uncaught import NO_SPACE, no_space

        if error.errno not in NO_SPACE:
            raise
        click.echo(f"build: {no_space(error.filename or 'output')}", err=True)
        sys.exit(10)
    sys.exit(code or 0)
