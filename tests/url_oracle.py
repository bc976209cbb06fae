"""Random URLs, and ``ada-url``, the WHATWG's own library, as the oracle for them.

Most texts are nearly a URL: each part is drawn from what parsers get wrong, and then a few characters are changed. The
tests compare some ten thousand. To compare more::

    python tests/url_oracle.py --urls 1000000 --seed 7
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import IPv6Address
from random import Random
from typing import NamedTuple
from unicodedata import bidirectional

import ada_url

from flask_preflight.browser.urls import parse_url

SPECIAL = ("ftp", "http", "https", "ws", "wss")


def wide(text: str) -> str:
    """*text* in full-width letters and signs, which hosts may be written in."""
    return "".join(chr(ord(character) + 0xFEE0) for character in text)


def split(text: str) -> list[str]:
    return text.split(" ")


ARABIC_THREE, ALEF, LONG_S, KELVIN = "\u0663", "\u0627", "\u017f", "\u212a"

SCHEMES = [*["http:"] * 4, *["https:"] * 4, *[""] * 7, *split("HTTP: hTTps: ws: wss: ftp:"), "ht\ntp:"]
OTHER_SCHEMES = [*split("file: data: app: javascript: http+x: 1http: -: : é: http%3A"), "http :"]
SLASHES = [*["//"] * 6, "", *split(r"/ /// //// \\ /\ \/ \ ///\//"), "//\t", "/\n/", "/ /"]
USER_INFO = [*[""] * 8, *split(r"@ u@ u:p@ :@ :p@ u:@ a@b@ a:b:c@ é%:\@ u/p@ u?p@ u#p@ '@ %@")]
PORTS = [*[""] * 6, *split(": :80 :443 :21 :0 :00080 :65535 :65536 :8a :-1 :+1 ::1"), ": 1", f":{ARABIC_THREE}"]
SEGMENTS = [
    *split(r"a b c.d . .. ... %2e %2E .%2e %2e. %2E%2e %2e%2e%2e %2e.a ..a \ % %zz %2 %2f %5c é 💩 ;x=1 @ : C: C|"),
    *split("' \" ` {} <> ^| [] ~ * !$&()+,"),
    *("", " ", "a b", "\x00", "\x1f", "\t", "\x7f", "\x80", "\ufdd0", "\ufeff"),
]
TAILS = [*split(r"a a=b&c ? # é 😀 ' \" <> ` ^{|} [\] % %zz /.."), " ", "\x00", "\x7f"]
# Nothing on which versions of Unicode differ: those of Python, of idna and of ada-url may be of any age.
LABELS = [
    *split("a b www example com localhost a_b -a- -- xn--bcher-kva xn--a xn-- XN--ls8h xn--1ug xn--4db"),
    *split("bücher straße BÜCHER ς ß ẞ 例え テスト ☃ 💩 🏳️\u200d🌈 א אב1 1א न्\u200d a\u200d \u200cb"),
    *split("\xad \u0301a e\u0301 ⒈ ① Ⅷ ǆ \ufb03 ≠ =\u0338 \ufffd \U000e0001 \ufe0f"),
    *(ALEF, ARABIC_THREE, f"{ARABIC_THREE}0", f"a{ARABIC_THREE}", LONG_S, KELVIN),
    *(wide("ex"), wide("%"), wide("%41"), wide("%") + "2e", wide("1")),
    *split("0x7f 0 1 256 08 0x 1_0 %41 %2e %C3%A9 %E9 %zz %00 %25"),
    *split("* + ! ' \" ` { } | ^ <"),
    *(" ", "\x00", "\x1f"),
]
DOTS = [*["."] * 12, wide("."), "\u3002", "\uff61", "%2e", "%2E", "..", ""]
WHITE_SPACE = ("", " ", "\x00\x1f", "\n")
CHARACTERS: list[str] = [
    *"ab09zZxX.:/\\?#@[]%|^`{}<>\"'!$&()*+,;=-_~ éßςא😀",
    *"\t\n\r\x00\x0b\x1f\x7f\x80\xa0\xad\u200d\u0301\u2028\u3002\ufeff",
    *wide(".%/:@"),
    *(ARABIC_THREE, ""),
]
BASES = [
    *(None, None),
    *split("http://example.org/ https://example.org/a/b/c?d#e http://u:p@h:8080/x/ https://[::1]:8443/..%2f/y;z"),
    *split("https://example.org//a//b http://h/a%7Cb/?'\" https://u@h/ http://1.2.3.4/a/./b ws://h/a"),
    "https://xn--bcher-kva.de/é?é",
]


# ---------------------------------------------------------------------------------------
# Drawing
# ---------------------------------------------------------------------------------------


def draw_domain(random: Random) -> str:
    domain = random.choice(LABELS)
    for _ in range(random.randint(0, 3)):
        domain += random.choice(DOTS) + random.choice((*LABELS, *"abc" * 20))
    return domain + random.choice(("",) * 8 + (".", "..", "\u3002"))


IPV4_NUMBERS: tuple[Callable[[int], str], ...] = (str, str, hex, "0{:o}".format, "0X{:X}".format, "00{:o}".format)


def draw_ipv4(random: Random) -> str:
    """Draw an address in any spelling, or what is nearly one."""
    number = random.choice((random.getrandbits(32), random.getrandbits(8), 0x7F000001, 2**32 - 1))
    count = random.randint(1, 4)
    last = number % 256 ** (5 - count) + random.choice((0,) * 9 + (256 ** (5 - count),))
    numbers = [*(number >> shift & 255 for shift in (24, 16, 8)[: count - 1]), last]
    extra = random.choice(("",) * 9 + (".", "..", ".0", "x", "_0", ".0x", ".09"))
    return ".".join(random.choice(IPV4_NUMBERS)(part) for part in numbers) + extra


def draw_ipv6(random: Random) -> str:
    pieces = [random.choice((0, 0, 0, 1, random.getrandbits(16))) for _ in range(8)]
    address = IPv6Address(sum(piece << 16 * index for index, piece in enumerate(pieces)))
    text = random.choice((str(address), address.exploded, address.exploded.replace("0000", "0"), str(address).upper()))
    if random.random() < 0.2:
        text = f"{text.rsplit(':', 2)[0]}:{random.choice((draw_ipv4(random), '1.2.3.4', '01.2.3.4'))}"
    return random.choice((*[f"[{text}]"] * 45, f"[{text}", f"[{text}%1]", text, f"[{text}]x", f"[[{text}]"))


def draw_host(random: Random) -> str:
    return random.choice((draw_domain, draw_domain, draw_domain, draw_ipv4, draw_ipv6))(random)


def draw_path(random: Random) -> str:
    slash = ("/",) * 8 + ("\\", "//")
    return "".join(random.choice(slash) + random.choice(SEGMENTS) for _ in range(random.choice((0, 0, 1, 1, 2, 3, 4))))


def draw_url(random: Random) -> str:
    scheme = random.choice(OTHER_SCHEMES if random.random() < 0.05 else SCHEMES)
    text = scheme + random.choice(SLASHES)
    if random.random() < (0.95 if scheme else 0.4):
        text += random.choice(USER_INFO) + draw_host(random) + random.choice(PORTS)
    text += draw_path(random)
    text = text if scheme or random.random() < 0.7 else text.lstrip("/\\")
    text += "".join(mark + random.choice(TAILS) * random.randint(0, 2) for mark in "?#" if random.random() < 0.25)
    for _ in range(random.choice((0, 0, 0, 0, 1, 1, 2, 3))):
        text = changed(random, text)
    return text if random.random() < 0.95 else f"{random.choice(WHITE_SPACE)}{text}{random.choice(WHITE_SPACE)}"


def changed(random: Random, text: str) -> str:
    """*text* with one character more, less, or another."""
    start = random.randint(0, len(text))
    end = min(len(text), start + random.choice((0, 1)))
    return text[:start] + random.choice(CHARACTERS) + text[end:]


class Drawn(NamedTuple):
    """A text, and the URL to which it is relative."""

    text: str
    base: str | None


def draw(random: Random) -> Drawn:
    while True:
        base = random.choice(BASES) if random.random() < 0.8 else draw_url(random)
        if base is None or (ada_or_none(base) and ours_or_none(base) and not is_unread(base)):
            return Drawn(draw_url(random), base)


# ---------------------------------------------------------------------------------------
# Comparing
# ---------------------------------------------------------------------------------------


def ada_or_none(text: str, base: str | None = None) -> str | None:
    """The URL as ``ada-url`` serializes it; ``None`` if it is invalid."""
    try:
        return ada_url.URL(text, base).href
    except ValueError:
        return None


def ours_or_none(text: str, base: str | None = None) -> str | None:
    try:
        return parse_url(text, None if base is None else parse_url(base)).href
    except ValueError:
        return None


def is_unread(text: str) -> bool:
    """Whether *text* has a scheme of which our parser reads no more."""
    scheme = re.match(
        "[a-zA-Z][a-zA-Z0-9+.-]*(?=:)", re.sub("[\t\n\r]", "", text.strip("".join(map(chr, range(0x21)))))
    )
    return scheme is not None and scheme[0].lower() not in SPECIAL


def is_right_to_left(href: str) -> bool:
    """Whether the domain of *href* has a right-to-left label."""
    labels = [label[4:] for label in ada_url.URL(href).hostname.split(".") if label.startswith("xn--")]
    for label in labels:
        with suppress(UnicodeError):  # ASCII is not checked
            if any(bidirectional(character) in ("R", "AL", "AN") for character in label.encode().decode("punycode")):
                return True
    return False


def kinds_of(drawn: Drawn, href: str | None) -> Iterator[str]:
    """What was tried: parts of the URL, and how it was written."""
    if href is None:
        yield "invalid"
        return
    host = ada_url.URL(href).hostname
    yield "IPv6" if host.startswith("[") else "IPv4" if re.fullmatch(r"[0-9.]+", host) else "domain"
    yield from ["Punycode"] * ("xn--" in host)
    yield from ["credentials"] * ("@" in href.split("/")[2])
    yield from ["port"] * bool(ada_url.URL(href).port)
    yield from ["percent-encoded"] * ("%" in href and "%" not in drawn.text)
    yield from ["dot segments"] * bool(re.search(r"[/\\](\.|%2[eE]){1,2}($|[/\\?#])", drawn.text))
    yield from ["relative"] * (":" not in drawn.text)


class Comparison(NamedTuple):
    kinds: Counter[str]
    explained: list[Drawn]
    """Where ``ada-url`` differs as the tests say that it does."""
    differences: list[str]


def compare(seed: int, count: int) -> Comparison:
    random = Random(seed)
    comparison = Comparison(Counter(), [], [])
    for _ in range(count):
        drawn = draw(random)
        if is_unread(drawn.text):
            comparison.kinds["other scheme"] += 1
            assert ours_or_none(*drawn) is not None
            continue
        expected, given = ada_or_none(*drawn), ours_or_none(*drawn)
        comparison.kinds.update(kinds_of(drawn, expected))
        if given is None and expected is not None and is_right_to_left(expected):
            comparison.explained.append(drawn)
        elif given != expected:
            comparison.differences.append(f"{drawn}\n  ada-url  {expected!r}\n  given    {given!r}")
    return comparison


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the parser of URLs with ada-url.")
    parser.add_argument("--urls", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kinds, explained, differences = compare(options.seed, options.urls)
    for kind, count in sorted(kinds.items()):
        print(f"{100 * count / options.urls:6.2f} %  {kind}")
    print(f"{options.urls} URLs, {len(explained)} differences that the tests explain, {len(differences)} others")
    print("\n\n".join(differences[:10]))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
