"""Findings as other programs read them: GitHub's annotations, and SARIF."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote

from flask_preflight import __version__
from flask_preflight.commands.output import Finding, echo, printable

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def echo_findings(findings: Iterable[Finding], format_: str) -> None:
    """Print findings as ``github`` or ``sarif``."""
    echo("\n".join(github_lines(findings)) if format_ == "github" else sarif(findings))


def github_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """One command a finding.

    https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#setting-an-error-message
    """
    levels = {"note": "notice"}
    for finding in findings:
        file, line = _split(finding.where)
        place = {"file": file, "line": line, "title": finding.id}
        properties = ",".join(f"{name}={_escape_property(value)}" for name, value in place.items() if value)
        yield f"::{levels.get(finding.level, finding.level)} {properties}::{_escape(finding.message)}"


def _escape(text: str) -> str:
    return printable(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")


def sarif(findings: Iterable[Finding]) -> str:
    """A SARIF log: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html"""
    found = list(findings)
    rules = {finding.id: {"id": finding.id, **_help(finding)} for finding in found}
    driver = {"name": "flask-preflight", "version": __version__, "rules": [*rules.values()]}
    run = {"tool": {"driver": driver}, "results": [_result(finding) for finding in found]}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _help(finding: Finding) -> dict[str, Any]:
    return {"help": {"text": f"See {finding.help}."}} if finding.help else {}


def _result(finding: Finding) -> dict[str, Any]:
    result = {
        "ruleId": finding.id,
        "level": finding.level,
        "message": {"text": finding.message},
    }
    return {**result, "locations": [{"physicalLocation": _location(finding.where)}]}


def _location(where: str) -> dict[str, Any]:
    """A URI and, in a file, the line.

    GitHub refuses the whole log if one result has none: https://github.com/github/codeql-action/issues/2459
    """
    file, line = _split(where)
    if line:
        return {"artifactLocation": {"uri": quote(file)}, "region": {"startLine": int(line)}}
    return {"artifactLocation": {"uri": quote(where, safe=_IN_URLS)}}


_IN_URLS: Final = ":/?#[]@!$&'()*+,;=%"  # https://www.rfc-editor.org/rfc/rfc3986#section-2.2


def _split(where: str) -> tuple[str, str]:
    """The file and the line; of anything else, such as a URL, nothing."""
    file, _, line = where.rpartition(":")
    return (file, line) if file and line.isdigit() and "://" not in file else ("", "")
