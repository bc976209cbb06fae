"""What a ``Set-Cookie`` line says: sections 5.1.1, 5.5 and 5.6 of RFC 6265bis.

https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html. A line has one character for each octet, as
WSGI headers have, so a length is a number of octets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from math import inf
from typing import Final, Literal

from .. import fetch as words

Enforcement = Literal["default", "none", "lax", "strict"]


@dataclass
class SetCookie:
    """One line, parsed. Times are Unix times in seconds."""

    name: str
    value: str
    expires: float | None = None
    max_age: float | None = None
    """When the cookie expires by ``Max-Age``."""
    domain: str = ""
    """In lower case, without its first dot; empty if the line names none."""
    path: str = ""
    """Empty if the line names none that begins with a slash."""
    secure: bool = False
    http_only: bool = False
    same_site: Enforcement = "default"

    @property
    def expiry_time(self) -> float:
        """Infinite for a cookie of the session."""
        if self.max_age is not None:
            return self.max_age
        return inf if self.expires is None else self.expires


# https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-cookie-lifetime-limits
COOKIE_AGE_LIMIT: Final = 400 * 24 * 60 * 60

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_MOST_OCTETS_OF_NAME_AND_VALUE: Final = 4096
_MOST_OCTETS_OF_ATTRIBUTE: Final = 1024


# https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-the-set-cookie-header-field
def parse_set_cookie(line: str, now: float) -> SetCookie | None:
    """Parse *line*, received at the Unix time *now*; ``None`` if browsers ignore it entirely."""
    if _CONTROL.search(line):
        return None
    pair, *attributes = line.split(";")
    name, value = _name_and_value(pair)
    if not 0 < len(name) + len(value) <= _MOST_OCTETS_OF_NAME_AND_VALUE:
        return None
    cookie = SetCookie(name, value)
    for attribute in attributes:
        name, _, value = (part.strip(words.TAB_OR_SPACE) for part in attribute.partition("="))
        if len(value) <= _MOST_OCTETS_OF_ATTRIBUTE:
            _process_attribute(cookie, name.lower(), value, now)
    return cookie


def _name_and_value(pair: str) -> tuple[str, str]:
    name, equals, value = (part.strip(words.TAB_OR_SPACE) for part in pair.partition("="))
    return (name, value) if equals else ("", name)


def _process_attribute(cookie: SetCookie, name: str, value: str, now: float) -> None:
    """The subsections of section 5.6, in their order. The last attribute of a name counts."""
    match name:
        case "expires" if (date := parse_date(value)) is not None:
            cookie.expires = min(date, now + COOKIE_AGE_LIMIT)
        case "max-age" if _DELTA_SECONDS.fullmatch(value):
            cookie.max_age = now + seconds if (seconds := _delta_seconds(value)) > 0 else -inf
        case "domain":
            cookie.domain = value.removeprefix(".").lower()
        case "path":
            cookie.path = value if value.startswith("/") else ""
        case "secure":
            cookie.secure = True
        case "httponly":
            cookie.http_only = True
        case "samesite":
            cookie.same_site = _ENFORCEMENT.get(value.lower(), "default")


_DELTA_SECONDS = re.compile(r"-?[0-9]+")

_ENFORCEMENT: dict[str, Enforcement] = {"none": "none", "strict": "strict", "lax": "lax"}


def _delta_seconds(text: str) -> int:
    """At most the limit. Nine digits say more than the limit, so no more are read."""
    return 0 if text.startswith("-") else min(int(text.lstrip("0")[:9] or 0), COOKIE_AGE_LIMIT)


# https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-dates
_DELIMITERS = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY_OF_MONTH = re.compile(r"([0-9]{1,2})(?![0-9])")
_MONTH = re.compile("(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)", re.IGNORECASE)
_YEAR = re.compile(r"([0-9]{2,4})(?![0-9])")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def parse_date(text: str) -> float | None:
    """The Unix time in seconds of a cookie-date; ``None`` if *text* is none."""
    found: dict[re.Pattern[str], tuple[str, ...]] = {}
    for token in _DELIMITERS.split(text):
        for production in (_TIME, _DAY_OF_MONTH, _MONTH, _YEAR):
            if production not in found and (match := production.match(token)):
                found[production] = match.groups()
                break
    if len(found) < 4:
        return None
    month = 1 + _MONTHS.index(found[_MONTH][0].lower())
    hour, minute, second = map(int, found[_TIME])
    try:
        date = datetime(
            _year(*found[_YEAR]), month, int(*found[_DAY_OF_MONTH]), hour, minute, second, tzinfo=timezone.utc
        )
    except ValueError:
        return None
    return date.timestamp() if date.year >= 1601 else None


def _year(digits: str) -> int:
    year = int(digits)
    return year + (1900 if 70 <= year <= 99 else 2000 if year <= 69 else 0)
