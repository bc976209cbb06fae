"""CORS for Flask and any WSGI app: preflights answered, unsafe policies refused, and every refusal explained.

One request, from the outside in::

    extension.Preflight         a Flask app's policies, by its routes (routes) and marks on its views (marks)
    wsgi.PreflightMiddleware    any WSGI app: reads four headers into RequestFacts
    engine.negotiate            decides, step by step as the Fetch standard does; explain says it in words
    policy.Policy               what is allowed, checked for problems
    origin.Origins              origins and patterns
    fetch                       the standard's words

Each file builds on those below it. :mod:`flask_preflight.browser` plays the other side, for tests.
"""

from typing import TYPE_CHECKING

from flask_preflight.engine import Decision, Outcome, Reason, RequestFacts, negotiate
from flask_preflight.policy import Policy
from flask_preflight.problems import PolicyError
from flask_preflight.wsgi import PreflightMiddleware, by_path

if TYPE_CHECKING:
    from flask_preflight.extension import ExtensionHost, Preflight, preflight_granted, preflight_refused
    from flask_preflight.marks import cors_blueprint, cors_exempt, cors_route

__version__ = "0.1.0"

__all__ = [
    "Decision",
    "ExtensionHost",
    "Outcome",
    "Policy",
    "PolicyError",
    "Preflight",
    "PreflightMiddleware",
    "Reason",
    "RequestFacts",
    "by_path",
    "cors_blueprint",
    "cors_exempt",
    "cors_route",
    "negotiate",
    "preflight_granted",
    "preflight_refused",
]

# Whoever wraps a plain WSGI app does without Flask, so its part is imported when it is asked for (PEP 562).
if not TYPE_CHECKING:  # else every misspelled name would pass for an attribute

    def __getattr__(name):
        from importlib import import_module

        for module in ("marks", "extension"):
            if name in __all__ and hasattr(found := import_module(f"flask_preflight.{module}"), name):
                return getattr(found, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
