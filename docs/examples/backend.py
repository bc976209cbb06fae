"""The back end of https://frontend.com, as a plain WSGI app with one policy.

Run it with any WSGI server: ``waitress-serve --call backend:create_app``
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask_preflight import Policy, PreflightMiddleware

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def api(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The app itself, without CORS."""
    answer: object
    match environ["REQUEST_METHOD"], environ["PATH_INFO"]:
        case "PUT", "/api/data":
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            status, answer = "200 OK", {"saved": json.loads(body)}
        case "GET", "/api/report":
            status, answer = "500 Internal Server Error", {"error": "The disk is full."}
        case _:
            status, answer = "404 Not Found", {"error": "Nothing here."}
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


def create_app(frontend: str = "https://frontend.com", *, debug: bool = False) -> WSGIApplication:
    """The app, for pages of the origin *frontend*. *debug* explains refusals. Do not use it in production."""
    policy = Policy(
        allow_origins=[frontend],
        allow_methods=["GET", "PUT"],
        allow_headers=["Authorization", "Content-Type"],
    )
    return PreflightMiddleware(api, policy, debug=debug)
