"""Requests, answers and responses: https://fetch.spec.whatwg.org/#http, as far as a script's ``fetch()`` needs them."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from werkzeug.datastructures import Headers

from .. import fetch as words
from .arguments import describe_missing
from .referrer import ReferrerPolicy
from .sites import same_site
from .text import shown
from .urls import URL

Credentials = Literal["omit", "same-origin", "include"]
Redirect = Literal["follow", "error", "manual"]
Mode = Literal["cors", "no-cors", "same-origin", "navigate", "websocket"]
Tainting = Literal["basic", "cors", "opaque"]


@dataclass(frozen=True)
class Exchange:
    """One request that left the browser, and what came back."""

    preflight: bool
    method: str
    url: str
    """Without fragment."""
    request_headers: Headers
    """All that was sent, the browser's own headers too."""
    status: int
    """0 if nothing came back."""
    response_headers: Headers
    """All that came back, also what a script may not read."""
    data: bytes = b""
    refusal: str = ""
    """Why the server refused, as ``"<reason>; <sentence>"``, if it is an app in this process that says so to tests:
    the last line of the list in its environ at ``flask_preflight.refusals``."""

    if not TYPE_CHECKING:  # else every misspelled name would pass for an attribute

        def __getattr__(self, name):
            raise AttributeError(describe_missing("Exchange", name), name=name, obj=self)


class ReadableHeaders(Headers):
    """The headers that a script may read. To read another one with ``[]`` is a ``KeyError`` that says why."""

    def __init__(self, readable: Iterable[tuple[str, str]] = (), received: Iterable[str] = ()) -> None:
        super().__init__([*readable])
        self._received = {name.lower() for name in received}

    def __eq__(self, other: object) -> bool:  # also to other `Headers`
        return Headers([*self]) == (Headers([*other]) if isinstance(other, Headers) else other)

    if not TYPE_CHECKING:  # the types are those of `Headers`

        def __getitem__(self, key, **mode):  # Werkzeug 3.0 has a mode
            try:
                return super().__getitem__(key, **mode)
            except KeyError:  # Werkzeug's own, which says "400 Bad Request"
                raise KeyError(self._explain(key)) from None

    def _explain(self, name: str) -> str:
        if name.lower() in words.FORBIDDEN_RESPONSE_HEADERS:
            return f"{name}: no script may read this header"
        if name.lower() in self._received:
            return f"{name}: a script may not read it, unless the response names it in {words.EXPOSE_HEADERS}"
        return f"{name}: the response has no such header; a script may read {', '.join(self.keys()) or 'none'}"


@dataclass(frozen=True)
class Response:
    """What the script gets: https://fetch.spec.whatwg.org/#response-class."""

    status: int
    """0 for the types ``opaque`` and ``opaqueredirect``."""
    headers: Headers
    """Only what the script may read; the values of repeated headers are joined by a comma and a space."""
    data: bytes
    url: str
    """Where the response came from, after all redirects, without fragment; empty for the type ``opaque``."""
    redirected: bool
    type: Literal["basic", "cors", "opaque", "opaqueredirect"]

    @property
    def ok(self) -> bool:
        """Whether the status is within 200-299."""
        return self.status in words.OK_STATUSES

    @property
    def text(self) -> str:
        """The body as UTF-8, as ``text()`` reads it, whatever the ``Content-Type`` says."""
        return self.data.decode("utf-8-sig", "replace")

    @property
    def json(self) -> Any:
        """The body read as JSON, whatever the ``Content-Type`` says. ``ValueError`` if it is none."""
        try:
            return json_module.loads(self.text)
        except ValueError as error:
            kind = self.headers.get("Content-Type", "no type")
            message = f"{error}; the body is not JSON (status {self.status}, {shown(kind)}): {shown(self.text)}"
            raise ValueError(message) from error

    if not TYPE_CHECKING:  # else every misspelled name would pass for an attribute

        def __getattr__(self, name):
            raise AttributeError(describe_missing("Response", name), name=name, obj=self)


# https://html.spec.whatwg.org/multipage/webappapis.html#environment-settings-object
class Page(NamedTuple):
    """The open page, which makes the requests."""

    origin: str
    """Serialized."""
    url: URL | None
    """``None`` for a page that is neither ``http:`` nor ``https:``, and for a sandboxed frame."""
    referrer_policy: ReferrerPolicy

    def __str__(self) -> str:
        """Its URL, or what is known of it."""
        return str(self.url) if self.url else self.origin


# https://fetch.spec.whatwg.org/#concept-request
@dataclass
class Request:
    """What a page asked for. Redirects change it."""

    page: Page
    urls: list[URL]
    """The URL list: one more for each redirect."""
    method: str
    headers: list[tuple[str, str]]
    credentials: Credentials
    redirect: Redirect
    body: bytes | None = None
    mode: Mode = "cors"
    referrer: URL | None = None
    """What ``Referer`` says."""
    referrer_policy: ReferrerPolicy = "strict-origin-when-cross-origin"
    use_cors_preflight: bool = False
    """XMLHttpRequest's flag: ask in a preflight even if nothing else needs one."""
    tainting: Tainting = "basic"

    @property
    def url(self) -> URL:
        return self.urls[-1]

    @property
    def origin(self) -> str:
        return self.page.origin

    def has_header(self, name: str) -> bool:
        return any(header.lower() == name for header, _ in self.headers)

    # https://fetch.spec.whatwg.org/#cors-unsafe-request-header-names
    def unsafe_names(self) -> list[str]:
        unsafe, maybe_unsafe, size = set[str](), set[str](), 0
        for name, value in self.headers:
            if words.is_safelisted_request_header(name, value):
                maybe_unsafe.add(name.lower())
                size += len(value)
            else:
                unsafe.add(name.lower())
        return sorted(unsafe | maybe_unsafe if size > words.SAFELISTED_VALUES_LENGTH else unsafe)

    # https://fetch.spec.whatwg.org/#http-network-or-cache-fetch, "Let includeCredentials be true if"
    def includes_credentials(self) -> bool:
        same_origin = self.credentials == "same-origin" and self.tainting == "basic"
        return same_origin or self.credentials == "include"

    # https://fetch.spec.whatwg.org/#concept-request-tainted-origin
    def redirect_taint(self) -> Literal["same-origin", "same-site", "cross-site"]:
        hops = [
            (here.origin, there.origin)
            for here, there in zip(self.urls, self.urls[1:], strict=False)
            if self.origin != here.origin != there.origin
        ]
        if any(not same_site(here, there) and not same_site(here, self.origin) for here, there in hops):
            return "cross-site"
        return "same-site" if hops else "same-origin"

    # https://fetch.spec.whatwg.org/#serializing-a-request-origin
    def serialized_origin(self) -> str:
        return self.origin if self.redirect_taint() == "same-origin" else words.NULL_ORIGIN

    # https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-same-site-requests
    # Redirects do not count, as in Chromium. In the Fetch standard, Firefox and WebKit they do.
    def is_same_site(self) -> bool:
        return same_site(self.origin, self.url.origin)
