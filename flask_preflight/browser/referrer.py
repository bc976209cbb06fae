"""Which part of the page's URL is in ``Referer``: https://w3c.github.io/webappsec-referrer-policy/."""

from __future__ import annotations

from typing import Literal, get_args

from werkzeug.datastructures import Headers

from .. import fetch as words
from .urls import URL

ReferrerPolicy = Literal[
    "no-referrer",
    "no-referrer-when-downgrade",
    "same-origin",
    "origin",
    "strict-origin",
    "origin-when-cross-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
]

POLICIES: tuple[ReferrerPolicy, ...] = get_args(ReferrerPolicy)

_LONGEST = 4096


# https://w3c.github.io/webappsec-referrer-policy/#determine-requests-referrer, without credentials and fragment from
# the start
def determine_referrer(referrer: URL | None, policy: ReferrerPolicy, url: URL) -> URL | None:
    """The part of *referrer* that a request to *url* sends: all of it, its origin, or nothing."""
    if referrer is None or policy == "no-referrer":
        return None
    is_same_origin = referrer.origin == url.origin
    if policy == "same-origin" and not is_same_origin:
        return None
    tells_all_at_home = is_same_origin and policy in _ALL_AT_HOME
    if policy in _STRICT and is_downgrade(referrer, url):
        return None
    tells_all = tells_all_at_home or policy in ("unsafe-url", "no-referrer-when-downgrade")
    return referrer if tells_all and len(referrer.href) <= _LONGEST else referrer._replace(path="/", query=None)


_ALL_AT_HOME = {"same-origin", "origin-when-cross-origin", "strict-origin-when-cross-origin"}
_STRICT = {"strict-origin", "strict-origin-when-cross-origin", "no-referrer-when-downgrade"}


def is_downgrade(referrer: URL, url: URL) -> bool:
    """Whether *url* is not encrypted, and the page is.

    The standard asks if they are potentially trustworthy, so that loopback counts as encrypted. All three engines look
    at TLS.
    """
    return referrer.scheme == "https" and url.scheme != "https"


# https://w3c.github.io/webappsec-referrer-policy/#parse-referrer-policy-from-header
def parse_policy(headers: Headers) -> ReferrerPolicy | None:
    """The policy that the answer sets, the last one that is known; ``None`` if it sets none."""
    said = [item.lower() for line in headers.getlist("Referrer-Policy") for item in words.split_list(line)]
    return next((policy for item in reversed(said) for policy in POLICIES if policy == item), None)
