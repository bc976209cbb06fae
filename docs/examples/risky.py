"""The example app after an unsafe change. The pages in ``docs/commands/`` show which command finds it."""

from __future__ import annotations

from flask import Flask

from flask_preflight import Preflight, cors_route


def is_customer(origin: str, environ: dict[str, object]) -> bool:
    return origin.endswith("customer.example")


def create_app() -> Flask:
    app = Flask(__name__)
    Preflight(
        app,
        allow_origins=["https://frontend.com", "https://*.frontend.com", "http://localhost:3000"],
        allow_headers=["Authorization", "Content-Type"],
        allow_credentials=True,
        max_age=86400,
    )
    app.add_url_rule("/api/data", view_func=save, methods=["PUT"])
    app.add_url_rule("/api/report", view_func=report)
    app.add_url_rule("/status", view_func=status)
    return app


def save() -> dict[str, object]:
    return {"saved": True}


@cors_route(allow_origins=is_customer)
def report() -> dict[str, object]:
    return {"sales": 12}


@cors_route(allow_origins="*", allow_headers=[], allow_credentials=False)
def status() -> dict[str, object]:
    return {"status": "up"}
