"""Three published Flask applications, each with one line more: `Preflight`."""

from __future__ import annotations

from typing import Any

from flask import Flask

from flask_preflight import Preflight

PAGE = "https://app.example.com"


def httpbin() -> Flask:
    """It sends CORS headers of its own, to everybody."""
    from httpbin import app

    return with_preflight(app)


def rq_dashboard() -> Flask:
    from rq_dashboard.cli import make_flask_app

    return with_preflight(make_flask_app(None, None, None, ""), allow_credentials=True)


def sqlite_web() -> Flask:
    from sqlite_web.sqlite_web import app

    return with_preflight(app, allow_methods=["GET"])


def with_preflight(app: Flask, **changes: Any) -> Flask:
    if "preflight" not in app.extensions:
        Preflight(app, allow_origins=[PAGE], **changes)
    return app
