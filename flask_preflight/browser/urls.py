"""URLs and origins, as browsers read them: https://url.spec.whatwg.org/

The parser reads ``http`` and ``https`` along the states of the standard's parser, and ``ftp``, ``ws`` and ``wss``, for
which they are the same. Of every other URL it reads the scheme: no script can fetch it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final, NamedTuple
from urllib.parse import quote

from .. import fetch as words
from ..hosts import parse_host, parse_ipv6
from .text import scalar, shown

__tracebackhide__ = True

# https://fetch.spec.whatwg.org/#http-scheme
HTTP_SCHEMES: Final = frozenset({"http", "https"})

# https://url.spec.whatwg.org/#special-scheme, without "file"
_DEFAULT_PORTS = {"ftp": 21, "http": 80, "https": 443, "ws": 80, "wss": 443}


class URL(NamedTuple):
    """https://url.spec.whatwg.org/#concept-url"""

    scheme: str
    username: str
    password: str
    host: str
    """Serialized, IPv6 in brackets."""
    port: int
    """The default port of the scheme if the URL has none."""
    path: str
    """Of a scheme that is not special: all that follows the scheme, as it is written."""
    query: str | None
    fragment: str | None

    # https://url.spec.whatwg.org/#concept-url-origin
    @property
    def origin(self) -> str:
        """Serialized; ``null`` for a scheme that is not special."""
        if self.scheme not in _DEFAULT_PORTS:
            return words.NULL_ORIGIN
        return f"{self.scheme}://{self._host_and_port}"

    @property
    def target(self) -> str:
        """Path and query, as they stand in the request line."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    # https://url.spec.whatwg.org/#include-credentials
    @property
    def has_credentials(self) -> bool:
        return bool(self.username or self.password)

    # https://url.spec.whatwg.org/#concept-url-serializer
    @property
    def href(self) -> str:
        """All of it, credentials and fragment too."""
        fragment = "" if self.fragment is None else f"#{self.fragment}"
        return f"{self._without_fragment(self._user_info)}{fragment}"

    def __str__(self) -> str:
        """Without credentials and fragment: what a request is sent to."""
        return self._without_fragment("")

    def _without_fragment(self, user_info: str) -> str:
        authority = f"//{user_info}{self._host_and_port}" if self.scheme in _DEFAULT_PORTS else ""
        return f"{self.scheme}:{authority}{self.target}"

    @property
    def _host_and_port(self) -> str:
        return self.host if self.port == _DEFAULT_PORTS.get(self.scheme) else f"{self.host}:{self.port}"

    @property
    def _user_info(self) -> str:
        if not self.has_credentials:
            return ""
        return f"{self.username}:{self.password}@" if self.password else f"{self.username}@"


# The standard has no limit; engines stop between one and two million.
_LONGEST_URL = 65_536

# https://url.spec.whatwg.org/#url-parsing: what is cut off, and dropped wherever it stands
_C0_OR_SPACE = "".join(map(chr, range(0x21)))
_TAB_OR_NEWLINE = re.compile(r"[\t\n\r]")

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")

# What follows the host is a colon and the port, or it is wrong.
_HOST_AND_PORT = re.compile(r"(?s)(\[[^\]]*\]?|[^:]*)(.*)")


def parse_location(value: str, base: URL) -> URL:
    """Parse the ``Location`` of an answer from *base*; ``ValueError`` as for `parse_url`.

    *value* holds bytes as Latin-1, as in WSGI. Engines percent-encode those beyond ASCII, whatever their encoding.
    """
    return parse_url(re.sub("[\x80-\xff]", lambda byte: f"%{ord(byte[0]):X}", value), base)


# https://url.spec.whatwg.org/#concept-basic-url-parser
def parse_url(text: str, base: URL | None = None) -> URL:
    """Parse *text*, which may be relative to *base*; ``ValueError`` if it is not a valid URL."""
    if len(text) > _LONGEST_URL:
        raise _error(text, f"it has more than {_LONGEST_URL} characters")
    stripped = scalar(_TAB_OR_NEWLINE.sub("", text.strip(_C0_OR_SPACE)))
    rest, hash_sign, fragment = stripped.partition("#")
    try:
        url = _parse_until_fragment(rest, base)
    except ValueError as error:
        raise _error(text, str(error)) from None
    return url._replace(fragment=quote(fragment, _IN_FRAGMENT) if hash_sign else None)


def _error(text: str, reason: str) -> ValueError:
    return ValueError(f"{shown(text)} is not a valid URL: {reason}")


# https://url.spec.whatwg.org/#scheme-start-state, #scheme-state, #no-scheme-state
def _parse_until_fragment(text: str, base: URL | None) -> URL:
    match = _SCHEME.match(text)
    if match:
        scheme, rest = match[1].lower(), text[match.end() :]
        return _parse_special(scheme, rest, base) if scheme in _DEFAULT_PORTS else _unread(scheme, rest)
    if base is None or base.scheme not in _DEFAULT_PORTS:
        raise ValueError("it has no scheme; write it as in https://example.com/")
    return _parse_special(base.scheme, text, base)


def _unread(scheme: str, rest: str) -> URL:
    return URL(scheme, "", "", "", 0, rest, None, None)


# https://url.spec.whatwg.org/#special-relative-or-authority-state, #special-authority-slashes-state,
# #relative-state and #relative-slash-state. In all of them a backslash is a slash.
def _parse_special(scheme: str, text: str, base: URL | None) -> URL:
    before_query, question_mark, rest = text.partition("?")
    hierarchy = before_query.replace("\\", "/")
    query = quote(rest, _IN_QUERY) if question_mark else None
    if base is None or base.scheme != scheme or hierarchy.startswith("//"):
        authority, _, path = hierarchy.lstrip("/").partition("/")
        return _parse_authority(scheme, authority)._replace(path=_normalized(path), query=query)
    if not hierarchy:
        return base._replace(query=query if question_mark else base.query)
    folder = base.path[1 : base.path.rindex("/") + 1]
    path = hierarchy[1:] if hierarchy.startswith("/") else f"{folder}{hierarchy}"
    return base._replace(path=_normalized(path), query=query)


# https://url.spec.whatwg.org/#authority-state, #host-state, #port-state
def _parse_authority(scheme: str, text: str) -> URL:
    user_info, _, host_and_port = text.rpartition("@")
    username, _, password = (quote(part, _IN_USER_INFO) for part in user_info.partition(":"))
    host_text, port_text = _HOST_AND_PORT.findall(host_and_port)[0]
    host = parse_host(host_text)
    if not host:
        raise ValueError(f"its host '{shown(host_text)}' is not valid" if host_text else "it has no host")
    return URL(scheme, username, password, host, _parse_port(scheme, port_text), "/", None, None)


def _parse_port(scheme: str, text: str) -> int:
    """*text* is what follows the host."""
    if text in ("", ":"):
        return _DEFAULT_PORTS[scheme]
    digits = re.fullmatch(":0*([0-9]{0,5})", text)
    if digits is None or int(digits[1] or "0") > 65535:
        raise ValueError(f"its port '{shown(text.removeprefix(':'))}' is not a number from 0 to 65535")
    return int(digits[1] or "0")


# https://url.spec.whatwg.org/#path-start-state, #path-state
def _normalized(path: str) -> str:
    """*path*, which lacks its first slash, without dot segments."""
    segments: list[str] = []
    dots = ""
    for segment in path.split("/"):
        dots = segment.lower().replace("%2e", ".")
        if dots == "..":
            del segments[-1:]
        elif dots != ".":
            segments.append(segment)
    if dots in (".", ".."):
        segments.append("")
    return quote(f"/{'/'.join(segments)}", _IN_PATH)


def _all_but(percent_encode_set: str) -> str:
    return "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in percent_encode_set)


# What is not percent-encoded: https://url.spec.whatwg.org/#percent-encoded-bytes. All of the standard's sets have the
# C0 controls, the space, and what comes after "~".
_IN_FRAGMENT = _all_but('"<>`')
_IN_QUERY = _all_but("\"#<>'")
_IN_PATH = _all_but('"#<>?^`{}')
_IN_USER_INFO = _all_but('"#<>?^`{}/:;=@[\\]|')


# ---------------------------------------------------------------------------------------
# Origins and sites
# ---------------------------------------------------------------------------------------

# Of a scheme that is not special, whose host is opaque or empty:
# https://url.spec.whatwg.org/#concept-opaque-host-parser
_OPAQUE_ORIGIN = re.compile(
    r"(?!https?:|ftp:|wss?:|file:)[a-z][a-z0-9+.-]*://((?P<host>[a-z0-9._~-]+|\[[0-9a-f:]+\])(:[1-9][0-9]{0,4})?)?"
)


def checked_origin(origin: str) -> str:
    """*origin* itself; ``ValueError`` if it is not serialized as browsers do, ``TypeError`` if it is no string."""
    if not isinstance(origin, str):
        raise TypeError(f"origin: {origin!r} is not a string")
    opaque = _OPAQUE_ORIGIN.fullmatch(origin)
    host = opaque["host"] or "" if opaque else ""
    is_spelled_right = not host.startswith("[") or parse_ipv6(host) == host
    if words.WILDCARD in origin:
        raise ValueError(f"origin: {origin!r} is a pattern; write one origin, such as 'https://frontend.com'")
    if origin == words.NULL_ORIGIN or (opaque and is_spelled_right):
        return origin
    if with_scheme := _with_scheme(origin):
        raise ValueError(f"origin: {origin!r} has no scheme; write {with_scheme!r}")
    better = parse_url(origin).origin
    if better == words.NULL_ORIGIN:
        raise ValueError(f"origin: {origin!r} is not an origin; write 'null', or a scheme and a host in lower case")
    if origin != better:
        raise ValueError(f"origin: {origin!r} is not as browsers write it; write {better!r}")
    return origin


_WITHOUT_SCHEME = re.compile(r"(?P<host>[\w-]+(?:\.[\w-]+)*|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?/?")
_LOCAL_HOST = re.compile(r"[^.]*|.*[0-9\]]|.*\.localhost", re.IGNORECASE)


def _with_scheme(text: str) -> str | None:
    """The origin that a host without a scheme probably stands for; ``None`` if *text* is not a host."""
    match = _WITHOUT_SCHEME.fullmatch(text)
    if match is None or text.isdecimal():
        return None
    scheme = "http" if _LOCAL_HOST.fullmatch(match["host"]) else "https"
    with suppress(ValueError):
        return parse_url(f"{scheme}://{text}").origin
    return None
