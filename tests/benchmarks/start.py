"""Start a Flask app of 50 views, each with its own policy, and print how many seconds that took: ``start.py PACKAGE``.

Flask itself is imported before the clock starts. What else the package imports counts.
"""

from __future__ import annotations

import sys
from time import process_time

from flask import Flask
from traffic import ALLOWED, HEADERS, METHODS, ORIGINS, preflight


def main(package: str) -> None:
    environ, answers = preflight(path="/view-1"), list[object]()
    begun = process_time()
    app = make(package)
    for _ in app(environ, lambda *answer: answers.extend(answer)):  # type: ignore[arg-type]
        pass
    seconds = process_time() - begun
    if ALLOWED not in str(answers):
        raise RuntimeError(f"not granted: {answers}")
    print(seconds)


def make(package: str) -> Flask:
    app = Flask("site")
    if package == "flask_preflight":
        from flask_preflight import Preflight, cors_route

        for number in range(50):
            view = cors_route(allow_headers=[..., f"X-{number}"])(lambda: "hello")
            app.add_url_rule(f"/view-{number}", f"view-{number}", view, methods=METHODS)
        Preflight(app, allow_origins=ORIGINS, allow_headers=HEADERS)
    else:
        from flask_cors import cross_origin

        for number in range(50):
            view = cross_origin(origins=ORIGINS, methods=METHODS, allow_headers=[*HEADERS, f"X-{number}"])(
                lambda: "hello"
            )
            app.add_url_rule(f"/view-{number}", f"view-{number}", view, methods=METHODS)
    return app


if __name__ == "__main__":
    main(sys.argv[1])
