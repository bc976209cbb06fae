"""The back end of https://frontend.com, as a Flask app: three routes, and each lets pages do something else.

Run it: ``flask --app app run``
"""

from __future__ import annotations

from flask import Blueprint, Flask, request

from flask_preflight import ExtensionHost, Preflight, cors_blueprint, cors_route

# What every route has in common: pages may read and replace, and nothing else.
preflight = Preflight(allow_methods=["GET", "PUT"])

# Everything under /api may be asked for with a token.
api = cors_blueprint(Blueprint("api", __name__, url_prefix="/api"), allow_headers=[..., "Authorization"])


class Backend(ExtensionHost, Flask):
    """A Flask app with ``register_extension``."""


def create_app(frontend: str = "https://frontend.com") -> Backend:
    """The app, for pages of the origin *frontend*."""
    app = Backend(__name__)
    app.register_blueprint(api)
    app.add_url_rule("/status", view_func=status)
    app.register_extension(preflight, allow_origins=[frontend])
    return app


@api.put("/data")
def save() -> dict[str, object]:
    return {"saved": request.get_json()}


@api.delete("/data")  # for tools on the server: pages may not, since allow_methods doesn't name it
def delete() -> dict[str, object]:
    return {"deleted": True}


@api.get("/report")
@cors_route(expose_headers=["Retry-After"])  # else the page could not read that header
def report() -> dict[str, object]:
    raise OSError("The disk is full.")


@api.errorhandler(OSError)
def say_why(error: OSError) -> tuple[dict[str, object], int, dict[str, str]]:
    return {"error": str(error)}, 500, {"Retry-After": "60"}


@cors_route(allow_origins="*", allow_headers=[])  # anybody may look, with a plain GET
def status() -> dict[str, object]:
    return {"status": "up"}
