"""URLs, their hosts and origins, as browsers read them: https://url.spec.whatwg.org/."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from werkzeug.urls import iri_to_uri

from .. import fetch as words
from .text import shown


class URL(NamedTuple):
    """https://url.spec.whatwg.org/#concept-url, as far as a request needs it."""

    origin: str
    scheme: str
    host: str
    port: int
    target: str
    """Path and query."""
    fragment: str
    has_credentials: bool

    def __str__(self) -> str:
        return self.origin + self.target


# https://fetch.spec.whatwg.org/#http-scheme
HTTP_SCHEMES: Final = frozenset({"http", "https"})

_DEFAULT_PORTS = {"http": 80, "https": 443}

# https://url.spec.whatwg.org/#forbidden-domain-code-point
_FORBIDDEN_IN_HOST = re.compile(r"[\0-\x20\"#%/:<>?@\[\\\]^`{|}\x7f]")

# https://url.spec.whatwg.org/#url-parsing: what is cut off, and dropped wherever it stands
_C0_OR_SPACE = "".join(map(chr, range(0x21)))
_TAB_OR_NEWLINE = re.compile(r"[\t\n\r]")

# https://url.spec.whatwg.org/#special-authority-ignore-slashes-state
_SLASHES = re.compile(r"\A(https?:)[/\\]{2,}", re.IGNORECASE)

# The standard has no limit; engines stop between one and two million.
_LONGEST_URL = 65_536


def parse_url(text: str, base: str | None = None) -> URL:
    """``ValueError`` if *text* is no URL, or none with a host where the scheme is ``http`` or ``https``."""
    if len(text) > _LONGEST_URL:
        raise ValueError(f"{shown(text)} is longer than servers read")
    text = _TAB_OR_NEWLINE.sub("", text.strip(_C0_OR_SPACE))
    text, is_absolute = _SLASHES.subn(r"\1//", text)
    parts = urlsplit(iri_to_uri(text if is_absolute or not base else urljoin(base, text)))
    host = _host(parts.hostname or "")
    default_port = _DEFAULT_PORTS.get(parts.scheme)
    if not parts.scheme or (default_port and not host):
        raise ValueError(f"{shown(text)} is no URL that can be fetched")
    port = parts.port or default_port or 0
    origin = f"{parts.scheme}://{host}" + (f":{port}" if port != (default_port or 0) else "")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return URL(origin, parts.scheme, host, port, target, parts.fragment, "@" in parts.netloc)


def _host(name: str) -> str:
    if ":" in name:
        return f"[{words.serialize_ipv6(int(IPv6Address(name)))}]"
    if _FORBIDDEN_IN_HOST.search(name):
        raise ValueError(f"{shown(name)} is no host")
    return name


# Of a scheme that is not special, whose host is opaque or empty:
# https://url.spec.whatwg.org/#concept-opaque-host-parser
_OPAQUE_ORIGIN = re.compile(r"(?!https?:|ftp:|wss?:|file:)[a-z][a-z0-9+.-]*://([a-z0-9._~-]+(:[1-9][0-9]{0,4})?)?")


def checked_origin(origin: str) -> str:
    """*origin* itself; ``ValueError`` if it is not serialized as browsers do."""
    if origin == words.NULL_ORIGIN or _OPAQUE_ORIGIN.fullmatch(origin):
        return origin
    url = parse_url(origin)
    if origin != url.origin or not url.host:
        raise ValueError(f"origin: {origin!r} is not as browsers write it; write {url.origin!r}")
    return origin
