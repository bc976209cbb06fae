"""CORS for Flask and any WSGI app: preflights are answered, unsafe policies refused, and refusals explained.

The files, in reading order. Each builds on those above it::

    fetch, problems, origin, spelling       the standard's words; origins
    checks, calls, policy, engine, explain  what is allowed; `negotiate` decides, step by step as the standard does
    responses, journal, wsgi, paths         any WSGI app: PreflightMiddleware
    marks, routes, door                     Flask: from a request to its view's policy
    config, state, layer, extension         Flask: Preflight

:mod:`flask_preflight.browser` is the browser's side of the protocol, for tests.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask_preflight.engine import Decision, Outcome, Reason, RequestFacts, negotiate
    from flask_preflight.extension import ExtensionHost, Preflight
    from flask_preflight.journal import preflight_granted, preflight_refused, request_allowed, request_refused
    from flask_preflight.marks import cors_blueprint, cors_exempt, cors_route
    from flask_preflight.paths import by_path
    from flask_preflight.policy import Policy
    from flask_preflight.problems import PolicyError
    from flask_preflight.wsgi import PreflightMiddleware

__version__ = "0.2.0"

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
    "request_allowed",
    "request_refused",
]

# Names are imported when they are used (PEP 562): apps without Flask do not import it, and the pytest plugin, which is
# part of every test run where this package is installed, imports nothing.
_MODULES = {
    "engine": {"Decision", "Outcome", "Reason", "RequestFacts", "negotiate"},
    "extension": {"ExtensionHost", "Preflight"},
    "journal": {"preflight_granted", "preflight_refused", "request_allowed", "request_refused"},
    "marks": {"cors_blueprint", "cors_exempt", "cors_route"},
    "paths": {"by_path"},
    "policy": {"Policy"},
    "problems": {"PolicyError"},
    "wsgi": {"PreflightMiddleware"},
}

# The names that other packages have, ours, and the page with the details
_ELSEWHERE = {
    "CORS": ("Preflight", "flask-cors"),
    "cross_origin": ("cors_route", "flask-cors"),
    "CORSMiddleware": ("PreflightMiddleware", "starlette"),
    "CorsMiddleware": ("PreflightMiddleware", "django-cors-headers"),
}

if not TYPE_CHECKING:  # otherwise type checkers would accept every misspelled name

    def __getattr__(name):
        for module, names in _MODULES.items():
            if name in names:
                value = globals()[name] = getattr(import_module(f"flask_preflight.{module}"), name)
                return value
        if name in _ELSEWHERE:
            from flask_preflight.documentation import link

            ours, page = _ELSEWHERE[name]
            advice = f"write from flask_preflight import {ours} ({link(f'coming-from/{page}')})"
            raise ImportError(f"flask_preflight calls {name} in another way: {advice}")  # `import` hides other errors
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
