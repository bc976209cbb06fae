"""The preflight cache: https://fetch.spec.whatwg.org/#cors-preflight-cache."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final

from .. import fetch as words
from .records import Request
from .urls import URL

# The standard has no limit, and one answer can name tens of thousands of headers. To ask again is never wrong.
_MOST_ENTRIES: Final = 2**16

_CacheKey = tuple[str, URL, bool]  # origin, URL, with credentials


class PreflightCache:
    """Entries by origin, URL, credentials and method or header name. One page, so no network partition key.

    *now* is the Unix time in seconds.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._entries: dict[tuple[_CacheKey, str, str], _CacheEntry] = {}

    # https://fetch.spec.whatwg.org/#http-fetch, the two conditions for a preflight
    def lacks(self, request: Request, now: float) -> bool:
        """Whether a preflight is due."""
        key = _cache_key(request)
        is_asked_for = request.use_cors_preflight or request.method not in words.SAFELISTED_METHODS
        if is_asked_for and not self._match(key, "method", request.method, now):
            return True
        return any(not self._match(key, "header", name, now) for name in request.unsafe_names())

    # https://fetch.spec.whatwg.org/#cors-preflight-fetch, from "Let max-age be" on
    def store(self, request: Request, methods: list[str], names: list[str], max_age: int, now: float) -> None:
        """Keep what a preflight's answer allows, *max_age* in seconds."""
        if self._limit is not None:
            max_age = min(max_age, self._limit)
        items = [("method", method) for method in methods] + [("header", name.lower()) for name in names]
        key = _cache_key(request)
        for kind, value in dict.fromkeys(items):
            if entry := self._match(key, kind, value, now):
                entry.max_age = max_age  # and not `stored`: the standard counts from "storing the entry"
            else:
                self._entries[key, kind, value] = _CacheEntry(now, max_age)
        for oldest in list(islice(self._entries, max(0, len(self._entries) - _MOST_ENTRIES))):
            del self._entries[oldest]

    # https://fetch.spec.whatwg.org/#concept-cache-clear
    def clear(self, request: Request) -> None:
        key = _cache_key(request)[:2]
        self._entries = {entry: value for entry, value in self._entries.items() if entry[0][:2] != key}

    # https://fetch.spec.whatwg.org/#concept-cache-match
    def _match(self, key: _CacheKey, kind: str, value: str, now: float) -> _CacheEntry | None:
        origin, url, credentials = key
        # By the text of the standard, * in an answer to a request with credentials allows everything to the next
        # request. No engine does that.
        takes_wildcard = not credentials and value not in words.NON_WILDCARD_REQUEST_HEADERS
        values = [value, words.WILDCARD] if takes_wildcard else [value]
        for with_credentials in {True, credentials}:
            for candidate in values:
                entry = self._entries.get(((origin, url, with_credentials), kind, candidate))
                if entry and now < entry.stored + entry.max_age:
                    return entry
        return None


@dataclass
class _CacheEntry:
    stored: float
    max_age: int


def _cache_key(request: Request) -> _CacheKey:
    return request.serialized_origin(), request.url, request.credentials == "include"
