"""How a command gets its target: the app of ``flask``, or the argument of ``python -m flask_preflight``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec

import click
from flask.cli import ScriptInfo

from flask_preflight.commands.output import explaining
from flask_preflight.commands.targets import Target, load, target_of

Arguments = ParamSpec("Arguments")

# The key in the context's meta of ``module:object``
NAME_KEY = "flask_preflight.target"


def find_target(ctx: click.Context) -> Target:
    """The target of a command.

    :raises CannotRun: if there is none.
    """
    # What is asked in this process is no request of anybody.
    logging.getLogger("flask_preflight").setLevel(logging.CRITICAL)
    name = ctx.meta.get(NAME_KEY)
    if name is not None:
        return load(name)
    with explaining("The app"):
        app = ctx.ensure_object(ScriptInfo).load_app()
    return target_of(app, "The app")


def pass_target(function: Callable[Concatenate[Target, Arguments], None]) -> Callable[Arguments, None]:
    """Give the target to a command as its first argument."""

    def with_target(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        function(find_target(click.get_current_context()), *args, **kwargs)

    return update_wrapper(with_target, function)
