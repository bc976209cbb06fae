"""Apps for ``probe --app``: as served, in a newer version, and others."""

from __future__ import annotations

import served_app

from flask_preflight import Policy, PreflightMiddleware, by_path

two = Policy(allow_origins=["http://127.0.0.1:8000", "https://frontend.com"], allow_methods=["GET", "PUT"])
wider = two.override(allow_origins=[..., "https://partner.com"])
exempt = PreflightMiddleware(served_app.app, by_path({"/": None}))
by_paths = PreflightMiddleware(
    served_app.app, by_path({"/": two, "/api": two, "/public": Policy(allow_origins="*"), "/own": None})
)
