"""Random cookie cases: lines of ``Set-Cookie`` that are right, nearly right and malformed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from cookie_cases import CookieCase, Hop, Step

HTTPS = ("https://front.c{n}.site{g}.co.uk", "https://api.c{n}.site{g}.co.uk", "https://c{n}.site{g}.co.uk", "https://a.api.c{n}.site{g}.co.uk")
HTTP = tuple(origin.replace("https", "http") for origin in HTTPS)
STRANGERS = ("https://c{n}.site{g}.com", "https://api.c{n}.site{g}.com")
LOOPBACK = ("http://front.c{n}.site{g}.localhost:{a}", "http://front.c{n}.site{g}.localhost:{b}", "http://c{n}.site{g}.localhost:{b}")
STRANGER_LOOPBACK = ("http://c{n}.other{g}.localhost:{b}",)

PATHS = ("/", "/", "/a", "/a/", "/a/b", "/a/b/", "/ab", "/a/b/c")
NAMES = ("a", "a", "a", "b", "b", "c", "A", "", "__Secure-a", "__Host-a", "__secure-b", "__HOST-b", "__Http-a", "__Host-Http-a", "a b", "\xc3\xa9")
VALUES = ("1", "2", "3", "4", "5", "", '"6"', "7 8", "a=b", "\xc3\xa9", "__Secure-x", "__host-y", ",", "%20", "a\tb", "\x7f", "\x01")
ATTRIBUTE_PATHS = ("/", "/a", "/a/", "/a/b", "/ab", "a", "", "/A", '"/a"', "/a/../b", "//a")
MAX_AGES = ("100", "0", "-1", "", "abc", "1e3", "+5", "0050", "9" * 300, "-", "1 2", "5;", '"5"')
DATES = (
    "Wed, 09 Jun 2099 10:18:14 GMT",
    "Wed, 09 Jun 1999 10:18:14 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Wednesday, 09-Jun-99 10:18:14 GMT",
    "Wednesday, 09-Jun-28 10:18:14 GMT",
    "09 Jun 2099 10:18:14",
    "Jun 9 2099 10:18:14",
    "2099-06-09 10:18:14",
    "2099-06-09T10:18:14Z",
    "10:18:14 09 jun 2001",
    "1 jan 1601 1:1:1",
    "1 jan 1600 1:1:1",
    "31 feb 2001 1:1:1",
    "1 jan 2001 24:00:00",
    "1 jan 2001",
    "0",
    "",
    "never",
    "Mon, 01 Jan 2001 00:00:00 +0100",
    "1 january 2001 1:1:1",
    "1 Jan 10000 00:00:00",
    "01 Jan 69 00:00:00",
    "01 Jan 70 00:00:00",
)
SAME_SITES = ("Strict", "Lax", "None", "none", "LAX", "", "junk")


def domains(origin: str) -> Sequence[str]:
    host = origin.partition("://")[2].partition(":")[0]
    parents = [host[host.index("c{n}") :], "c{n}.site{g}.co.uk", "c{n}.site{g}.com", "c{n}.site{g}.localhost"]
    return (host, host, host.upper(), parents[0], *parents, f".{parents[0]}", f"..{parents[0]}", f"x.{host}", "co.uk", "com", "", f"{host}.", "127.0.0.1", "localhost", "\xc3\xa9.com", f'"{host}"')


def random_line(random: Random, origin: str) -> str:
    name, value = random.choice(NAMES), random.choice(VALUES[:5] if random.random() < 0.8 else VALUES)
    pair = value if not name and random.random() < 0.5 else f"{name}{random.choice(('=',) * 9 + (' = ',))}{value}"
    attributes = []
    if random.random() < 0.4:
        attributes.append("Domain=" + random.choice(domains(origin)))
    if random.random() < 0.5:
        attributes.append("Path=" + random.choice(ATTRIBUTE_PATHS if random.random() < 0.5 else ("/",)))
    if random.random() < 0.5:
        attributes.append(random.choice(("Secure",) * 5 + ("secure", "Secure=", "Secure=no", "secure ")))
    if random.random() < 0.3:
        attributes.append(random.choice(("HttpOnly", "httponly=1")))
    if random.random() < 0.5:
        attributes.append("SameSite=" + random.choice(SAME_SITES))
    if random.random() < 0.2:
        attributes.append("Max-Age=" + random.choice(MAX_AGES))
    if random.random() < 0.2:
        attributes.append("Expires=" + random.choice(DATES))
    if random.random() < 0.1:
        attributes.append(random.choice(("Path", "Domain", "SameSite", "Priority=High", "=x", "", "Max-Age=5=5", "expires")))
    random.shuffle(attributes)
    return random.choice(("; ",) * 6 + (";", " ; ")).join([pair, *attributes])


def random_hop(random: Random, origins: Sequence[str]) -> Hop:
    origin = random.choice(origins)
    return Hop(origin, random.choice(PATHS), tuple(random_line(random, origin) for _ in range(random.choice((0, 1, 1, 2)))))


def random_step(random: Random, origins: Sequence[str]) -> Step:
    return tuple(random_hop(random, origins) for _ in range(random.choice((1,) * 7 + (2, 2, 3))))


def random_cookie_case(random: Random, number: int) -> CookieCase:
    page, own, others = random.choice(
        (
            ("https://site{g}.co.uk", HTTPS, STRANGERS),
            ("https://site{g}.co.uk", HTTPS, STRANGERS),
            ("http://site{g}.co.uk", HTTP, HTTPS),
            ("http://site{g}.localhost:{a}", LOOPBACK, STRANGER_LOOPBACK),
        )
    )
    origins = (*own, *own, *others)
    steps = [random_step(random, origins) for _ in range(random.choice((1, 2, 3, 4)))]
    # and what is where then
    reads = [(Hop(origin, random.choice(("/", "/a/b/c"))),) for origin in dict.fromkeys(origins)]
    return CookieCase(number, page, (*steps, *reads))
