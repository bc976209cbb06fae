"""A browser for tests: what a script on another origin may do with a WSGI app, and why not.

.. code-block:: python

    browser = Browser(app, origin="https://frontend.com")
    response = browser.fetch("https://backend.com/api/data", method="PUT", json={"a": 1})

This is the client half of the CORS protocol, written from the standards alone. It knows nothing of this
package's policies: any WSGI app can stand behind it.

Not modelled: every cache but that of preflights, ``mode: "no-cors"``, content codings, mixed content, blocked
ports, service workers, HTTP authentication by the browser, and what engines do to third-party cookies beyond
``SameSite``. URLs are read by the standard library and Werkzeug, bodies are read to their end.
"""

from .model import Browser, CORSError, Exchange, Response, Step

__all__ = ["Browser", "CORSError", "Exchange", "Response", "Step"]
