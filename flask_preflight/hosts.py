"""Hosts, as the URL standard reads and writes them: https://url.spec.whatwg.org/#host-parsing

These are the hosts of ``http``, ``https`` and the other special schemes. The server's side corrects misspelled origins
with this file, and the browser's side parses URLs with it.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final

# https://url.spec.whatwg.org/#forbidden-domain-code-point
_FORBIDDEN_IN_DOMAIN = r"[\0-\x20#%/:<>?@\[\\\]^|\x7f]"

# https://url.spec.whatwg.org/#ends-in-a-number-checker: such a host is an IPv4 address, or it is invalid
ENDS_IN_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")

# The standard has no limits. In DNS a domain has at most 253 characters. Punycode takes quadratic time.
_LONGEST_UNICODE_DOMAIN = 1024
_LONGEST_UNICODE_LABEL = 253


# https://url.spec.whatwg.org/#concept-host-parser, with isOpaque false
def parse_host(text: str) -> str | None:
    """*text*, the host of a URL, as browsers write it; ``None`` if it is not a host."""
    if text.startswith("["):
        return parse_ipv6(text)
    domain = _domain_to_ascii(_percent_decoded(text))
    if not domain or re.search(_FORBIDDEN_IN_DOMAIN, domain):
        return None
    return _parse_ipv4(domain) if ENDS_IN_NUMBER.fullmatch(domain) else domain


def _percent_decoded(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote_to_bytes  # servers need it nowhere else

    return unquote_to_bytes(text.encode(errors="replace")).decode(errors="replace")


# ---------------------------------------------------------------------------------------
# Addresses
# ---------------------------------------------------------------------------------------


# https://url.spec.whatwg.org/#concept-ipv6-parser; Python's differs in the zone alone
def parse_ipv6(text: str) -> str | None:
    """*text*, an IPv6 address in brackets, as browsers write it; ``None`` if it is not one."""
    if not text.endswith("]") or "%" in text:
        return None
    try:
        return f"[{_serialize_ipv6(int(IPv6Address(text[1:-1])))}]"
    except ValueError:
        return None


# https://url.spec.whatwg.org/#concept-ipv6-serializer. No IPv4 is embedded; `str(IPv6Address(address))` does that,
# depending on the version of Python.
def _serialize_ipv6(address: int) -> str:
    text = ":".join(f"{address >> shift & 0xFFFF:x}" for shift in range(112, -1, -16))
    zeros = max(re.finditer(r"\b0(?::0)+\b", text), key=lambda run: len(run[0]), default=None)
    if zeros is None:
        return text
    # `max` keeps the first of the longest runs, as the standard asks
    return f"{text[: zeros.start()].rstrip(':')}::{text[zeros.end() :].lstrip(':')}"


# https://url.spec.whatwg.org/#concept-ipv4-parser
def _parse_ipv4(domain: str) -> str | None:
    try:
        *octets, last = [_parse_ipv4_number(part) for part in domain.removesuffix(".").split(".")]
    except ValueError:
        return None
    if len(octets) > 3 or any(octet > 255 for octet in octets) or last >= 256 ** (4 - len(octets)):
        return None
    return str(IPv4Address(last + sum(octet << 8 * (3 - index) for index, octet in enumerate(octets))))


# https://url.spec.whatwg.org/#ipv4-number-parser
def _parse_ipv4_number(part: str) -> int:
    if not (part.isascii() and part.isalnum()):  # `int` would also take underscores and digits of other scripts
        raise ValueError(part)
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8 if part.startswith("0") else 10)


# ---------------------------------------------------------------------------------------
# Domains
# ---------------------------------------------------------------------------------------


# https://url.spec.whatwg.org/#concept-domain-to-ascii, with beStrict false. ASCII is not checked, not even Punycode.
def _domain_to_ascii(domain: str) -> str | None:
    if domain.isascii():
        return domain.lower()
    try:
        return _unicode_to_ascii(domain) if len(domain) <= _LONGEST_UNICODE_DOMAIN else None
    except ValueError:  # of `idna`, and of the codec
        return None


# https://www.unicode.org/reports/tr46/#ToASCII. CheckBidi and CheckJoiners are true, the other options are false.
def _unicode_to_ascii(domain: str) -> str:
    from idna import uts46_remap  # its tables take long to import, and most hosts do not need them

    labels = [_decoded(label) for label in uts46_remap(domain, std3_rules=False).split(".")]
    _check_labels(labels)
    return ".".join(map(_encoded, labels))


def _encoded(label: str) -> str:
    if label.isascii():
        return label
    if len(label) > _LONGEST_UNICODE_LABEL:
        raise ValueError("a label that is too long")
    return f"xn--{label.encode('punycode').decode()}"


# https://www.unicode.org/reports/tr46/#ProcessingStepConvertValidate
def _decoded(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    decoded = label[4:].encode("ascii").decode("punycode")
    if decoded.isascii():
        raise ValueError("Punycode of no more than ASCII")
    return decoded


# https://www.unicode.org/reports/tr46/#Validity_Criteria
def _check_labels(labels: list[str]) -> None:
    """``ValueError`` if one of *labels* is invalid."""
    from unicodedata import bidirectional, category

    from idna import check_bidi, uts46_remap, valid_contextj

    is_bidi = any(bidirectional(character) in ("R", "AL", "AN") for label in labels for character in label)
    for label in filter(None, labels):
        joiners = [position for position, character in enumerate(label) if character in "\u200c\u200d"]
        if (
            label.startswith("xn--")
            or category(label[0]).startswith("M")
            or uts46_remap(label, std3_rules=False) != label
            or not all(valid_contextj(label, position) for position in joiners)
        ):
            raise ValueError("an invalid label")
        if is_bidi:
            check_bidi(label, check_ltr=True)
