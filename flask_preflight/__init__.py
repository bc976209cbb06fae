"""CORS for any WSGI app, with preflights answered, unsafe policies refused, and every refusal explained.

One request, from the outside in::

    wsgi.PreflightMiddleware    reads four headers into RequestFacts
    engine.negotiate            decides, step by step as the Fetch standard does
    policy.Policy               says what is allowed
    origin.Origins              knows the origins and patterns

The files build on one another in the order fetch, problems, origin, policy, engine, explain, wsgi.
"""

from flask_preflight.engine import Decision, Outcome, Reason, RequestFacts, negotiate
from flask_preflight.policy import Policy
from flask_preflight.problems import PolicyError
from flask_preflight.wsgi import PreflightMiddleware, by_path

__version__ = "0.1.0"

__all__ = [
    "Decision",
    "Outcome",
    "Policy",
    "PolicyError",
    "PreflightMiddleware",
    "Reason",
    "RequestFacts",
    "by_path",
    "negotiate",
]
