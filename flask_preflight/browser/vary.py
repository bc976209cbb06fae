"""Watches for a missing ``Vary: Origin``: https://fetch.spec.whatwg.org/#cors-protocol-and-http-caches.

The tests' browser has no cache. So a test would not see that a cache sends one site the answer for another one.
"""

from __future__ import annotations

import sys
import warnings
from types import FrameType
from typing import Final, NamedTuple

from werkzeug.datastructures import Headers

from .. import fetch as words
from .records import Exchange
from .text import shown


class VaryWarning(UserWarning):
    """Two answers of one URL allow different origins, and ``Vary: Origin`` is missing, so caches do not know it."""


class AllowedOrigins:
    """Which origin each URL allowed, for the URLs that were asked last."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def note(self, exchange: Exchange) -> None:
        """Warn with :class:`VaryWarning`, once for each URL."""
        if exchange.preflight or exchange.method not in ("GET", "HEAD") or exchange.status == 0:
            return
        new = _seen_in(exchange)
        if new.is_stored:
            old = self._remember(exchange.url, new)
            if not old.has_warned and _differ(old, new):
                self._seen[exchange.url] = new._replace(has_warned=True)
                _warn(_text(exchange.url, old, new))

    def _remember(self, url: str, new: _Seen) -> _Seen:
        """The stored answer of *url*. The new one replaces it, unless the stored one lacks ``Vary``."""
        old = self._seen.pop(url, new)
        self._seen[url] = new if old.varies and not old.has_warned else old
        if len(self._seen) > _MOST_URLS:
            del self._seen[next(iter(self._seen))]
        return old


_MOST_URLS: Final = 256


class _Seen(NamedTuple):
    origin: str | None
    """The request's ``Origin``."""
    allowed: str | None
    """``Access-Control-Allow-Origin``, cut short."""
    varies: bool
    is_stored: bool
    """Whether a cache may store the answer."""
    has_warned: bool = False


def _seen_in(exchange: Exchange) -> _Seen:
    received = exchange.response_headers
    allowed = received.getlist(words.ALLOW_ORIGIN)
    return _Seen(
        origin=exchange.request_headers.get(words.ORIGIN),
        allowed=shown(", ".join(allowed)) if allowed else None,
        varies=not _items(received, words.VARY).isdisjoint(("origin", "*")),
        is_stored="no-store" not in _items(received, "Cache-Control"),
    )


def _items(headers: Headers, name: str) -> set[str]:
    return {item.lower() for line in headers.getlist(name) for item in words.split_list(line)}


def _differ(old: _Seen, new: _Seen) -> bool:
    # If the same Origin gets an answer without the header, that is an error page. Vary would not help.
    comparable = None not in (old.allowed, new.allowed) or old.origin != new.origin
    return old.allowed != new.allowed and comparable and not (old.varies and new.varies)


def _text(url: str, old: _Seen, new: _Seen) -> str:
    return (
        f"{shown(url)}: {_allowance(old)}, {_allowance(new)}, and Vary: Origin is missing. A cache may answer one "
        "request with what was meant for the other. Send Vary: Origin with every answer of this URL."
    )


def _allowance(seen: _Seen) -> str:
    request = "a request without Origin" if seen.origin is None else f"Origin: {shown(seen.origin)}"
    answer = f"no {words.ALLOW_ORIGIN}" if seen.allowed is None else f"{words.ALLOW_ORIGIN}: {seen.allowed}"
    return f"{request} got {answer}"


def _warn(text: str) -> None:
    """Warn where the browser was called, however deep its own calls are."""
    frame: FrameType | None = sys._getframe()
    depth = 0
    while frame and str(frame.f_globals.get("__name__")).startswith(__package__ or ""):
        frame, depth = frame.f_back, depth + 1
    warnings.warn(text, VaryWarning, stacklevel=depth + 1)
