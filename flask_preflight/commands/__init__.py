"""The commands: ``flask preflight ...`` for Flask apps, ``python -m flask_preflight ...`` for any WSGI app.

The rules of this folder: each command has one file, which holds functions with typed results and, below them, a thin
printer. The package and the app say what a policy does, and the texts are those of ``explain`` and ``problems``. Data
goes to stdout, everything else to stderr. The exit status is 0 for nothing found, 1 for findings and refusals,
and 2 for a command that could not run.

``flask --help`` imports this file, so it imports nothing but click, which Flask has imported already.
"""

from __future__ import annotations

from importlib import import_module

import click

NAMES = ("routes", "explain", "verify", "diff", "probe", "export")


class Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*NAMES]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in NAMES:
            return None
        command: click.Command = import_module(f"flask_preflight.commands.{cmd_name}").command
        return command


preflight = Commands("preflight", help="Show, explain and check what CORS allows.")
