"""``python -m flask_preflight COMMAND module:object ...``: the commands for any WSGI app."""

from __future__ import annotations

from copy import copy

import click

from flask_preflight.commands import Commands
from flask_preflight.commands.app import NAME_KEY

_HELP = """Show, explain and check what CORS allows.

TARGET is module:object, as servers name apps. The object is a Flask app, a PreflightMiddleware, or a Policy.
"""


class TargetCommands(Commands):
    """The commands, each with the target as its first argument."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is None:
            return None
        with_target = copy(command)
        with_target.params = [_target(required=cmd_name != "probe"), *command.params]
        return with_target


def _target(*, required: bool) -> click.Parameter:
    def remember(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        ctx.meta[NAME_KEY] = value

    if required:
        return click.Argument(["target"], expose_value=False, callback=remember)
    return click.Option(
        ["--app"], metavar="TARGET", expose_value=False, callback=remember, help="The app, as module:object."
    )


commands = TargetCommands("python -m flask_preflight", help=_HELP)

if __name__ == "__main__":
    commands(prog_name="python -m flask_preflight")
