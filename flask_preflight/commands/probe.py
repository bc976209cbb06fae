"""``probe``: a live server, over real HTTP, as a browser asks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
from flask.cli import ScriptInfo

from flask_preflight.commands.app import NAME_KEY, find_target
from flask_preflight.commands.live.asking import LiveServer, Question, Sent, live_transport, question_of, target_url
from flask_preflight.commands.live.checks import probe
from flask_preflight.commands.live.drift import drift
from flask_preflight.commands.live.replay import curl_command, write_har
from flask_preflight.commands.live.sections import Section, is_problem
from flask_preflight.commands.output import (
    CannotRun,
    Finding,
    echo,
    echo_json,
    format_option,
    header_option,
    plural,
    style,
    wrap,
)
from flask_preflight.commands.reports import echo_findings
from flask_preflight.commands.targets import Target

_INDENT: Final = 13

# How many requests may take all of their time
_REQUESTS_IN_TIME: Final = 20


def app_at_hand(ctx: click.Context) -> Target | None:
    """The app, if there is one. `probe` works without it, so a failure is a note on stderr."""
    if not _has_app(ctx):
        return None
    try:
        return find_target(ctx)
    except CannotRun as error:
        click.echo(f"The server is asked without the app: {error.format_message()}", err=True)
        return None


def find_app(ctx: click.Context) -> Target:
    """The app.

    :raises CannotRun: if there is none.
    """
    if not _has_app(ctx):
        raise CannotRun(
            "Say which page asks: --origin ORIGIN. Or say which app runs on the server: flask --app APP preflight probe"
            " URL, or python -m flask_preflight probe URL --app module:object"
        )
    return find_target(ctx)


def _has_app(ctx: click.Context) -> bool:
    if NAME_KEY in ctx.meta:
        return ctx.meta[NAME_KEY] is not None
    info = ctx.ensure_object(ScriptInfo)
    named = info.app_import_path or info.create_app
    return bool(named) or any(Path(name).exists() for name in ("wsgi.py", "app.py"))  # as Flask looks for it


# ---------------------------------------------------------------------------------------
# Text
# ---------------------------------------------------------------------------------------

_COLOURS: Final = {"ok": "green", "FAIL": "red", "warn": "yellow"}


def text_of(sections: list[Section]) -> Iterator[str]:
    """The report for people: a line for each section, and its findings below each other."""
    for section in sections:
        texts = [*([section.text] if section.text else []), *map(_finding_text, section.findings)]
        indent = _INDENT + 6 * bool(section.verdict)
        first, *others = [line for text in texts for line in _lines(text, indent)]
        verdict = f"{style(section.verdict.ljust(4), fg=_COLOURS[section.verdict])}  " if section.verdict else ""
        yield f"  {section.name:<9}  {verdict}{first.lstrip()}"
        yield from others
    yield verdict_of(sections)


def _lines(text: str, indent: int) -> Iterator[str]:
    """The lines of *text*. A command line stays whole, so that it can be copied."""
    for paragraph in text.splitlines():
        yield from [" " * indent + text] if text.startswith("curl ") else wrap(paragraph, indent)


def _finding_text(item: Finding) -> str:
    return f"{item.id}: {item.message}\n{item.help}"


def verdict_of(sections: list[Section]) -> str:
    problems = sum(map(is_problem, findings_of(sections)))
    return f"{plural(problems, 'problem')}." if problems else "No problems."


def findings_of(sections: list[Section]) -> list[Finding]:
    return [item for section in sections for item in section.findings]


def curl_section(sent: Sent, ca_file: Path | None) -> Section:
    return Section("curl", curl_command(sent, ca_file), is_checked=False)


# ---------------------------------------------------------------------------------------
# The document
# ---------------------------------------------------------------------------------------


def question_document(question: Question) -> dict[str, Any]:
    return {**question._asdict(), "url": str(question.url), "headers": [*question.headers]}


def _section_document(section: Section) -> dict[str, Any]:
    findings = [{name: value for name, value in item._asdict().items() if value} for item in section.findings]
    return {"name": section.name, "verdict": section.verdict, "text": section.text, "findings": findings}


# ---------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------


@click.command("probe", short_help="Ask a live server as a browser does.")
@click.argument("url")
@click.option("--origin", help="The origin of the page that asks. Without it, the server is compared with the app.")
@click.option("--method", default="GET", show_default=True, help="The method of the page's request.")
@header_option("headers")
@click.option("--cookies", is_flag=True, help='Ask as fetch() does with credentials: "include".')
@click.option("--send", is_flag=True, help="Send the request itself, too, if it may change something on the server.")
@click.option("--cacert", type=click.Path(path_type=Path), metavar="FILE", help="Trust the certificates in this file.")
@click.option("--timeout", default=10.0, show_default=True, metavar="SECONDS", help="The most time for each request.")
@click.option("--curl", is_flag=True, help="Show a command line of curl for each request of the page.")
@click.option("--har", type=click.Path(path_type=Path), metavar="FILE", help="Write all requests as an HTTP archive.")
@format_option("text", "json", "github", "sarif")
@click.pass_context
def command(
    ctx: click.Context,
    url: str,
    origin: str | None,
    method: str,
    headers: tuple[str, ...],
    cookies: bool,
    send: bool,
    cacert: Path | None,
    timeout: float,
    curl: bool,
    har: Path | None,
    format_: str,
) -> None:
    """Ask a live server as a page of ORIGIN does: the preflight, and then the request.

    Nothing is changed there. GET and HEAD are sent, and of other methods only the preflight, unless you say --send.
    Then it is asked as other pages would ask it. Only the server of URL is asked.

    Without --origin, the preflights of all policies of the app are asked, at the app's paths below URL, and compared
    with what the app answers in this process.
    """
    url_ = target_url(url)
    transport = live_transport(url_.origin, ca_file=cacert, timeout=timeout)
    server = LiveServer(url_.origin, transport, seconds=timeout * _REQUESTS_IN_TIME, sends=send)
    if origin is None:
        asked: dict[str, Any] = {"url": str(url_)}
        sections = drift(url_, server, find_app(ctx))
    else:
        question = question_of(url_, origin, method, headers, cookies=cookies)
        asked = question_document(question)
        found = probe(question, server, app_at_hand(ctx))
        sections = [*found.sections, *(curl_section(sent, cacert) for sent in found.sent[: None if curl else 1])]
    if har is not None:
        write_har(har, server.log)
    _echo(format_, asked, sections)
    ctx.exit(int(any(map(is_problem, findings_of(sections)))))


def _echo(format_: str, asked: dict[str, Any], sections: list[Section]) -> None:
    if format_ == "json":
        echo_json("probe", {**asked, "sections": [*map(_section_document, sections)]})
    elif format_ == "text":
        echo("\n".join(text_of(sections)))
    else:
        echo_findings(findings_of(sections), format_)
