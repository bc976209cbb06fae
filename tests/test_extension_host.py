"""``app.register_extension`` with extensions of others, at run time and for type checkers."""

from __future__ import annotations

import pytest
from apiflask import APIFlask
from flask import Flask
from flask_jwt_extended import JWTManager
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from pages import PAGE

from flask_preflight import ExtensionHost, Preflight


class Host(ExtensionHost, Flask):
    pass


class APIHost(ExtensionHost, APIFlask):
    pass


@pytest.mark.parametrize("flask_class", [Host, APIHost])
def test_extensions_of_all_kinds_are_registered_alike(flask_class: type[Host | APIHost]) -> None:
    """Their ``init_app`` take different options, and return something or nothing; type checkers let all pass."""

    app = flask_class(__name__)
    app.config["JWT_SECRET_KEY"] = "at least thirty-two bytes of noise"
    preflight = Preflight()
    assert app.register_extension(preflight, allow_origins=[PAGE]) is preflight
    manager: JWTManager = app.register_extension(JWTManager(), add_context_processor=True)
    limiter: Limiter = app.register_extension(Limiter(get_remote_address, storage_uri="memory://"))
    assert manager is app.extensions["flask-jwt-extended"]
    assert limiter in app.extensions["limiter"]
