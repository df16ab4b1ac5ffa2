"""The `fieldpack` command: a thin cover over the runtime. Knows nothing of models, indexes or
prompts.

Imports nothing heavy: `fieldpack --help` loads neither numpy nor onnxruntime.
"""

from __future__ import annotations

import io
import sys
from typing import Any

import click

import fieldpack
from fieldpack.untrusted import is_out_of_memory, out_of_memory

from ..install.environments import hand_over_to_current
from ..terminal import render
from .bundles import info, verify
from .device import bench, doctor, feedback
from .install import COMMANDS as INSTALL_COMMANDS
from .keys import keys
from .programs import mcp, service
from .questions import ask, chat, search
from .serve import serve


def _fail(message: str, code: int) -> click.exceptions.Exit:
    """Print one line on stderr, `fieldpack: <what, where, next step>`, and return the exit to
    raise."""
    click.echo("fieldpack: " + " ".join(render.printable(message).split()), err=True)
    return click.exceptions.Exit(code)


class _Group(click.Group):
    """A command group that turns the runtime's errors into one line and an exit code, and Ctrl-C
    into 130; click keeps a broken pipe quiet."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except fieldpack.FieldpackError as error:
            raise _fail(str(error), error.exit_code) from None
        except KeyboardInterrupt:
            click.echo(err=True)
            raise click.exceptions.Exit(130) from None
        except BrokenPipeError:
            raise
        except (MemoryError, ImportError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise _fail(str(out_of_memory(error, ctx.invoked_subcommand or "help")), 1) from None
        except OSError as error:
            raise _fail(
                f"{error.filename or 'input or output'}: {error.strerror or error}", 1
            ) from None


@click.group(
    cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(fieldpack.__version__, prog_name="fieldpack")
def cli() -> None:
    """Answer questions from a bundle, offline, with sources.

    A bundle is the folder that `build recipe` wrote, copied to this machine, or the name of one that
    `fieldpack install` brought. Nothing here speaks to the network, but install, update and repair
    where their source is an address.

    \b
    Example:
      fieldpack ask finance-1.0.0 "What does the A class of the Global Equity Fund cost a year?"

    \b
    Exit codes:
      0    answered or refused (a refusal is an answer)
      1    unexpected, or this machine: too little memory or room
      2    usage: an unknown option, a missing argument
      3    the bundle: not there, damaged, or not for this machine
      4    the question or an input file
      130  stopped with Ctrl-C
    """


for _command in (
    ask,
    chat,
    search,
    serve,
    info,
    verify,
    doctor,
    bench,
    feedback,
    keys,
    mcp,
    service,
    *INSTALL_COMMANDS,
):
    cli.add_command(_command)


def main() -> None:
    """Run the `fieldpack` script."""
    for stream, errors in (
        (sys.stdin, "replace"),
        (sys.stdout, "backslashreplace"),
        (sys.stderr, "backslashreplace"),
    ):
        # No text of a document or a shell ends in a UnicodeError.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    hand_over_to_current()
    cli(prog_name="fieldpack")
