"""The back end of https://frontend.com, as a Flask app: three routes with three policies.

Run it: ``flask --app app run``
"""

from __future__ import annotations

from flask import Blueprint, Flask, request

from flask_preflight import Preflight, cors_blueprint, cors_route

# At every route, pages may use GET and PUT, and no other method.
preflight = Preflight(allow_methods=["GET", "PUT"])

# Under /api, they may also send a token.
api = Blueprint("api", __name__, url_prefix="/api")
cors_blueprint(api, allow_headers=[..., "Authorization"])


def create_app(frontend: str = "https://frontend.com") -> Flask:
    """The app, for pages of the origin *frontend*."""
    app = Flask(__name__)
    app.register_blueprint(api)
    app.add_url_rule("/status", view_func=status)
    preflight.init_app(app, allow_origins=[frontend])
    return app


@api.put("/data")
def save() -> dict[str, object]:
    return {"saved": request.get_json()}


@api.delete("/data")  # for tools, not for pages
def delete() -> dict[str, object]:
    return {"deleted": True}


@api.get("/report")
@cors_route(expose_headers=["Retry-After"])
def report() -> dict[str, object]:
    raise OSError("The disk is full.")


@api.errorhandler(OSError)
def say_why(error: OSError) -> tuple[dict[str, object], int, dict[str, str]]:
    return {"error": str(error)}, 500, {"Retry-After": "60"}


# Pages of every site may read this, with a plain GET.
@cors_route(allow_origins="*", allow_headers=[])
def status() -> dict[str, object]:
    return {"status": "up"}
