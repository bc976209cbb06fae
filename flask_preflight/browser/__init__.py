"""A browser for tests. It shows what a script on another origin gets from a WSGI app, or why it gets nothing.

.. code-block:: python

    browser = Browser(app, origin="https://frontend.com")
    response = browser.fetch("https://backend.com/api/data", method="PUT", json={"a": 1})

This is the client's half of the CORS protocol, written from the standards alone. It does not use this package's
policies. It works with any WSGI app, and with :class:`LiveTransport` with any HTTP server.

docs/testing.md lists what it leaves out, such as the HTTP cache, content codings and service workers.
"""

# The rules of this folder:
# - A file imports only files above it: text, arguments, urls, sites, set_cookie, cookies, transport, http1, live,
#   referrer, records, messages, checks, cache, vary, headers, forms, requests, model.
#   Read them in this order, or start with model, which is the Fetch standard's algorithm.
# - Of the rest of the package it uses the Fetch standard's words, `fetch`, the URL standard's hosts, `hosts`, and the
#   public suffix list, `suffixes`. It uses nothing else, so that it cannot share an error with the code that it tests.
# - Above each algorithm is the link to its section of the standard.
# - A file that does not help the reader of a failing test has a global `__tracebackhide__`. pytest then leaves its
#   frames out: https://docs.pytest.org/en/stable/example/simple.html#writing-well-integrated-assertion-helpers.
# - urls, sites, set_cookie, cookies, transport, http1 and live take and return plain values. They do not use
#   requests and pages.

from .live import LiveTransport
from .messages import CORSError, Step
from .model import Browser
from .records import Exchange, Response
from .vary import VaryWarning

__all__ = ["Browser", "CORSError", "Exchange", "LiveTransport", "Response", "Step", "VaryWarning"]
