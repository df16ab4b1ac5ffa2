"""The command for programs that speak the Model Context Protocol. A thin cover; imports nothing
heavy."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .options import bundle_argument, device_options, open_bundle


@click.command(short_help="Let a program ask, search and read, by MCP over stdin and stdout.")
@bundle_argument
@device_options
def mcp(bundle: Path, threads: int | None, provider: str, quick: bool) -> None:
    """Speak the Model Context Protocol over stdin and stdout, for a program that starts this command: an editor, a desktop
    assistant, an agent. It has three tools: ask (an answer with sources, or a refusal), search (passages) and passage (one with
    the text around it). No socket is opened; what a library or an error has to say goes to stderr.

    \b
    Example, in a client's settings:
      {"mcpServers": {"finance": {"command": "fieldpack", "args": ["mcp", "/opt/bundles/finance-1.0.0"]}}}

    Versions 2024-11-05, 2025-06-18, 2025-11-25 and 2026-07-28 of the protocol are spoken. The command ends with 0 when its
    stdin ends, and with 3 where the bundle is damaged.
    """
    from ..mcp.server import serve

    with open_bundle(bundle, threads, provider, quick) as expert:
        if sys.stdin is not None and sys.stdin.isatty():
            click.echo(
                "fieldpack: waiting for a program's JSON-RPC on stdin; for questions by hand there "
                "are `fieldpack chat` and `fieldpack ask`. Ctrl-D ends.",
                err=True,
            )
        serve(expert)
