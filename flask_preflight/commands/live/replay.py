"""The requests for other tools: a command line of curl, and an HTTP archive (HAR), which developer tools open."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from werkzeug.datastructures import Headers

from flask_preflight import __version__
from flask_preflight import fetch as words
from flask_preflight.browser.urls import URL
from flask_preflight.commands.live.asking import Sent
from flask_preflight.commands.output import CannotRun

# Of no meaning to CORS. curl sends its own.
_LEFT_OUT: Final = {"accept", "user-agent", "referer", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site"}


def curl_command(sent: Sent, ca_file: Path | None) -> str:
    """A line for a POSIX shell that asks the same."""
    method = {"GET": [], "HEAD": ["--head"]}.get(sent.method, ["-X", sent.method])
    kept = [(name, value) for name, value in sent.headers if name.lower() not in _LEFT_OUT]
    headers = [f"{name}: {value}" for name, value in sorted(kept, key=lambda header: header[0] != words.ORIGIN)]
    trusted = ["--cacert", str(ca_file)] if ca_file else []
    options = [*method, *trusted, *(part for header in headers for part in ("-H", header))]
    return shlex.join(["curl", "-i", *options, str(sent.url)])


def write_har(file: Path, log: Iterable[Sent]) -> None:
    """Write *log* as HAR 1.2, without bodies and cookies.

    :raises CannotRun: if the file cannot be written.
    """
    creator = {"name": "flask-preflight", "version": __version__}
    document = {"log": {"version": "1.2", "creator": creator, "entries": [_entry(sent) for sent in log]}}
    try:
        file.write_text(f"{json.dumps(document, indent=2)}\n", encoding="utf-8")
    except OSError as error:
        raise CannotRun(f"{file} cannot be written: {error.strerror}.") from error


# http://www.softwareishard.com/blog/har-12-spec/
def _entry(sent: Sent) -> dict[str, Any]:
    answer = sent.answer
    milliseconds = (answer.connection.seconds if answer.connection else 0) * 1000
    content = {"size": len(answer.data), "mimeType": answer.headers.get("Content-Type", "")}
    common: dict[str, Any] = {"httpVersion": "HTTP/1.1", "cookies": [], "headersSize": -1}
    return {
        "startedDateTime": sent.began.isoformat(),
        "time": milliseconds,
        "request": {
            **common,
            "method": sent.method,
            "url": str(sent.url),
            "headers": _pairs(sent.headers),
            "queryString": _query(sent.url),
            "bodySize": 0,
        },
        "response": {
            **common,
            "status": answer.status,
            "statusText": "",
            "headers": _pairs(answer.headers),
            "content": content,
            "redirectURL": answer.headers.get("Location", ""),
            "bodySize": len(answer.data),
            "comment": answer.error,
        },
        "cache": {},
        "timings": {"send": 0, "wait": milliseconds, "receive": 0},
    }


def _pairs(headers: Headers) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers if name.lower() not in ("cookie", "set-cookie")]


def _query(url: URL) -> list[dict[str, str]]:
    items = [item.partition("=") for item in (url.query or "").split("&") if item]
    return [{"name": name, "value": value} for name, _, value in items]
