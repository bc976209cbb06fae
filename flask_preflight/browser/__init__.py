"""A browser for tests: what a script on another origin may do with a WSGI app, and why not.

.. code-block:: python

    browser = Browser(app, origin="https://frontend.com")
    response = browser.fetch("https://backend.com/api/data", method="PUT", json={"a": 1})

This is the client half of the CORS protocol, written from the standards alone. It knows nothing of this
package's policies: any WSGI app can stand behind it, or, with :class:`LiveTransport`, any HTTP server.

Not modelled: every cache but that of preflights, content codings, blocked ports, HSTS, Local Network Access, CORP, COEP
and CSP, service workers, EventSource, keepalive, streams and abort, HTTP authentication by the browser, and what
engines do to third-party cookies beyond RFC 6265bis. Bodies are read to their end. "What it does not do" in
``docs/testing.md`` has the list.
"""

# The rules of this folder:
# - A file imports only files above it: text, arguments, urls, sites, set_cookie, cookies, transport, http1, live,
#   referrer, records, messages, checks, cache, vary, headers, forms, requests, model.
#   Read them in this order, or start with model, which is the Fetch standard's algorithm.
# - Of the rest of the package it uses the Fetch standard's words, `fetch`, the URL standard's hosts, `hosts`, and the
#   public suffix list, `suffixes`. It uses nothing else: the judge must not share an error with what it judges.
# - Each algorithm stands under the link to its section of the standard.
# - A file whose frames say nothing to the reader of a failing test has a global `__tracebackhide__`. pytest then leaves
#   them out: https://docs.pytest.org/en/stable/example/simple.html#writing-well-integrated-assertion-helpers.
# - urls, sites, set_cookie, cookies, transport, http1 and live take and return plain values. They know nothing of
#   requests and pages.

from .live import LiveTransport
from .messages import CORSError, Step
from .model import Browser
from .records import Exchange, Response
from .vary import VaryWarning

__all__ = ["Browser", "CORSError", "Exchange", "LiveTransport", "Response", "Step", "VaryWarning"]
