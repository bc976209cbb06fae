"""Findings as other programs read them: GitHub's annotations, and SARIF."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath, PureWindowsPath
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
        text = finding.message if file else f"{finding.where}: {finding.message}"
        yield f"::{levels.get(finding.level, finding.level)} {properties}::{_escape(text)}"


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
    return {
        "ruleId": finding.id,
        "level": finding.level,
        "message": {"text": finding.message},
        "locations": [_location(finding.where)],
    }


def _location(where: str) -> dict[str, Any]:
    """A URI and, in a file, the line.

    GitHub refuses the whole log if one result has no URI: https://github.com/github/codeql-action/issues/2459
    """
    file, line = _split(where)
    if file:
        return {"physicalLocation": {"artifactLocation": {"uri": _uri(file)}, "region": {"startLine": int(line)}}}
    uri = where if "://" in where else quote(where)
    return {"physicalLocation": {"artifactLocation": {"uri": uri}}}


def _uri(file: str) -> str:
    """A reference relative to the project, or a ``file:`` URL: https://www.rfc-editor.org/rfc/rfc3986#section-4.1"""
    path = PureWindowsPath(file) if PureWindowsPath(file).is_absolute() else PurePosixPath(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _split(where: str) -> tuple[str, str]:
    """The file and the line; of anything else, such as a URL, nothing."""
    file, _, line = where.rpartition(":")
    return (file, line) if file and line.isascii() and line.isdigit() and int(line) and "://" not in file else ("", "")
