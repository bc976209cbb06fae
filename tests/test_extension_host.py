"""``app.register_extension`` with this extension and others, at run time and for type checkers."""

from __future__ import annotations

import pytest
from apiflask import APIFlask
from flask import Flask
from flask_jwt_extended import JWTManager
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from pages import PAGE, granted, preflight

from flask_preflight import ExtensionHost, Preflight


class Host(ExtensionHost, Flask):
    pass


class APIHost(ExtensionHost, APIFlask):
    pass


def test_register_extension() -> None:
    app = Host(__name__)
    extension = Preflight(allow_origins=[PAGE])
    assert app.register_extension(extension, max_age=1) is extension
    assert preflight(app, "PUT", "/missing") == granted("PUT", max_age="1")
    assert not hasattr(Flask, "register_extension")


def test_register_extension_takes_any_flask_extension() -> None:
    class Other:
        def init_app(self, app: Flask, **options: object) -> None:
            self.given = app, options

    app, other = Host(__name__), Other()
    assert app.register_extension(other, key=1) is other
    assert other.given == (app, {"key": 1})


@pytest.mark.parametrize("flask_class", [Host, APIHost])
def test_extensions_of_others_can_be_registered(flask_class: type[Host | APIHost]) -> None:
    """Their ``init_app`` take different options, and return something or nothing. Type checkers accept all of them."""
    app = flask_class(__name__)
    app.config["JWT_SECRET_KEY"] = "at least thirty-two bytes of noise"
    extension = Preflight()
    assert app.register_extension(extension, allow_origins=[PAGE]) is extension
    manager: JWTManager = app.register_extension(JWTManager(), add_context_processor=True)
    limiter: Limiter = app.register_extension(Limiter(get_remote_address, storage_uri="memory://"))
    assert manager is app.extensions["flask-jwt-extended"]
    assert limiter in app.extensions["limiter"]
