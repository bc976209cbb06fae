"""How a command gets its target: the app of ``flask``, or the argument of ``python -m flask_preflight``."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import update_wrapper
from typing import Concatenate, ParamSpec

import click
from flask.cli import ScriptInfo

from flask_preflight import journal
from flask_preflight.commands.output import STDOUT_KEY, CannotRun, explaining
from flask_preflight.commands.targets import Target, load, target_of
from flask_preflight.documentation import link
from flask_preflight.problems import PolicyError

Arguments = ParamSpec("Arguments")

# The key in the context's meta of ``module:object``
NAME_KEY = "flask_preflight.target"


def find_target(ctx: click.Context) -> Target:
    """The target of a command.

    :raises CannotRun: if there is none, or its policies are not valid.
    """
    try:
        return make_target(ctx)
    except PolicyError as error:
        first, *problems = str(error).splitlines()
        raise CannotRun(first, [*problems, f"{link('problems')} explains each by the word in brackets."]) from error


def make_target(ctx: click.Context) -> Target:
    """As `find_target`.

    :raises PolicyError: if its policies are not valid.
    """
    ctx.with_resource(_in_private())
    ctx.meta[STDOUT_KEY] = sys.stdout
    ctx.with_resource(redirect_stdout(sys.stderr))  # for whatever the app prints
    name = ctx.meta.get(NAME_KEY)
    if name is not None:
        return target_of(load(name), name)
    advice = f"For a WSGI app without Flask, write: python -m flask_preflight {ctx.info_name} module:object"
    with explaining("The app", advice):
        app = ctx.ensure_object(ScriptInfo).load_app()
    return target_of(app, "The app")


def command_line(command: str, *arguments: str) -> str:
    """How to run *command* for the app that was named: ``flask --app app preflight routes --lock cors.lock.json``."""
    ctx = click.get_current_context(silent=True)
    if ctx is not None and NAME_KEY in ctx.meta:
        words = ["python", "-m", "flask_preflight", command, ctx.meta[NAME_KEY]]
    else:
        path = ctx.ensure_object(ScriptInfo).app_import_path if ctx is not None else None
        words = ["flask", *(["--app", path] if path else []), "preflight", command]
    return shlex.join([*words, *arguments])


@contextmanager
def _in_private() -> Iterator[None]:
    """Requests that a command makes in this process are not logged, and no receiver of a signal runs."""
    level = journal.logger.level
    journal.logger.setLevel(logging.CRITICAL)
    try:
        with ExitStack() as muted:
            for signal in journal.SIGNALS:
                muted.enter_context(signal.muted())
            yield
    finally:
        journal.logger.setLevel(level)


def pass_target(function: Callable[Concatenate[Target, Arguments], None]) -> Callable[Arguments, None]:
    """Give the target to a command as its first argument."""

    def with_target(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        function(find_target(click.get_current_context()), *args, **kwargs)

    return update_wrapper(with_target, function)
