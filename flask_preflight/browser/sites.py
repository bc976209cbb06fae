"""Sites: which origins belong to one site, and which origins are trustworthy.

Cookies and the ``Sec-Fetch-Site`` header go by sites, not by origins.
"""

from __future__ import annotations

import re

from .. import fetch as words
from ..suffixes import public_suffix

_ORIGIN = re.compile(r"([^:]+)://(\[[^]]*\]|[^:]*)(?::[0-9]+)?")


# https://html.spec.whatwg.org/multipage/browsers.html#same-site
def same_site(one: str, other: str) -> bool:
    """Whether two serialized origins are of the same site; ``null`` is of none."""
    if words.NULL_ORIGIN in (one, other):
        return False
    (scheme, host), (other_scheme, other_host) = _split(one), _split(other)
    return scheme == other_scheme and (host == other_host or _share_registrable_domain(host, other_host))


def _split(origin: str) -> tuple[str, str]:
    """The scheme and the host of a serialized origin."""
    match = _ORIGIN.fullmatch(origin)
    return (match[1], match[2]) if match else (origin, "")


def _share_registrable_domain(host: str, other: str) -> bool:
    # A registrable domain has two labels or more. The list is slow to load, so it is only used where it is needed.
    return host.split(".")[-2:] == other.split(".")[-2:] and site_of(host) == site_of(other)


def site_of(host: str) -> str:
    """The registrable domain of *host*, or *host* itself if it has none: https://html.spec.whatwg.org/#obtain-a-site."""
    return registrable_domain(host) or host


# https://url.spec.whatwg.org/#host-registrable-domain
def registrable_domain(host: str) -> str | None:
    """The public suffix of *host* and one label more; ``None`` for an IP address or a public suffix."""
    if is_address(host):
        return None
    suffix = public_suffix(host)
    name = host.removesuffix(".")
    if suffix is None or suffix == name:
        return None
    label = name.removesuffix(f".{suffix}").rpartition(".")[2]
    return f"{label}.{suffix}" + host[len(name) :]


def is_public_suffix(domain: str) -> bool:
    return not is_address(domain) and registrable_domain(domain) is None


def is_address(host: str) -> bool:
    """Whether the host of a URL is an IP address: https://url.spec.whatwg.org/#ends-in-a-number-checker."""
    return host.endswith("]") or host.rpartition(".")[2].isdecimal()


# https://w3c.github.io/webappsec-secure-contexts/#is-origin-trustworthy
def is_trustworthy(scheme: str, host: str) -> bool:
    """Whether an origin is potentially trustworthy: encrypted, or on this machine."""
    return scheme == "https" or is_loopback(host)


def is_loopback(host: str) -> bool:
    name = host.removesuffix(".")
    is_ipv4 = is_address(host) and host.startswith("127.")
    return is_ipv4 or host == "[::1]" or f".{name}".endswith(".localhost")
