"""What the package is held against: the same answers from a few slow lines that are easy to believe."""

from __future__ import annotations

from collections.abc import Iterable


def split(text: str) -> tuple[str, list[str], str]:
    """Split an origin or a pattern into its scheme, the labels of its host, and its port (or ``""``)."""
    scheme, _, rest = text.partition("://")
    if rest.startswith("["):
        address, _, port = rest.partition("]")
        return scheme, [address], port.removeprefix(":")
    host, _, port = rest.partition(":")
    return scheme, host.split("."), port


def covers(value: str, origin: str) -> bool:
    """Tell whether one origin or pattern covers a well-formed origin."""
    scheme, labels, port = split(value)
    its_scheme, its_labels, its_port = split(origin)
    if scheme != its_scheme or port not in {"*", its_port}:
        return False
    if labels[0] != "*":
        return labels == its_labels
    domain = labels[1:]
    if not domain:  # "scheme://*": every host
        return True
    subdomain = its_labels[: -len(domain)]
    return its_labels[len(subdomain) :] == domain and bool(subdomain) and all(subdomain)


def allowed(values: Iterable[str], origin: str) -> bool:
    return any(value == origin or (value != "null" and covers(value, origin)) for value in values)


def ipv6(number: int) -> str:
    """Spell an address as https://url.spec.whatwg.org/#concept-ipv6-serializer does."""
    groups = [f"{number:032x}"[place : place + 4].lstrip("0") or "0" for place in range(0, 32, 4)]
    for length in range(8, 1, -1):  # the longest run of zeros, of these the first
        for start in range(9 - length):
            if groups[start : start + length] == ["0"] * length:
                return ":".join(groups[:start]) + "::" + ":".join(groups[start + length :])
    return ":".join(groups)
