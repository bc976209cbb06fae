"""Random cookie cases: lines of ``Set-Cookie`` that are right, nearly right and malformed.

Where engines are known to differ, the table of cookies in ``docs/engines.md`` has a row. The cases for an engine avoid
the rows in which it differs from the model: *avoided* holds their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from random import Random

from cookie_cases import API, HTTP_PAGE, HTTPS_PAGE, LOCALHOST_API, LOCALHOST_PAGE, STRANGER, CookieCase, Hop, Step

# Each case has hosts of its own, which are of the page's site, and may set cookies for c{n}.site{g}.
HTTPS = ("https://front.c{n}.site{g}.co.uk", API, "https://c{n}.site{g}.co.uk", "https://a.api.c{n}.site{g}.co.uk")
HTTP = tuple(origin.replace("https", "http") for origin in HTTPS)
OTHER_SITES = (STRANGER, "https://c{n}.site{g}.github.io")
LOCALHOST = (LOCALHOST_PAGE, LOCALHOST_API)
LOCALHOST_NAMES = ("http://api.c{n}.site{g}.localhost:{a}", "http://c{n}.site{g}.localhost:{b}")

PATHS = ("/", "/", "/a", "/a/", "/a/b", "/a/b/", "/ab", "/a/b/c")
ATTRIBUTE_PATHS = ("/", "/", "/", "/a", "/a/", "/a/b", "/ab", "a", "", "/A", '"/a"', "/a/../b", "//a")
SAME_SITES = ("Strict", "Lax", "LAX", "strict", "", "junk")
SECURES = ("Secure", "Secure", "secure", "Secure=", "Secure=no", "secure ")
HTTP_ONLYS = ("HttpOnly", "httponly=1")

# Values by the row that they touch. Those of "" are read alike by all engines.
Kinds = dict[str, tuple[str, ...]]
NAMES: Kinds = {
    "": ("a-{n}", "a-{n}", "a-{n}", "b-{n}", "A-{n}", "b c-{n}", "__a-{n}"),
    "cookie-prefix": ("__Secure-a-{n}", "__SECURE-a-{n}", "__Http-a-{n}"),
    "cookie-prefix-path": ("__Host-a-{n}", "__HOST-a-{n}", "__host-http-a-{n}"),
    "cookie-utf-8": ("\xc3\xa9-{n}",),
}
VALUES: Kinds = {
    "": ("1", "2", "3", "4", "", '"5"', "6 7", "a=b", ",", "%20", "__Secure-x"),
    "cookie-control": ("\x7f", "1\x01"),
    "cookie-latin-1": ("\xe9",),
    "cookie-nameless": ("{n}",),
    "cookie-size": ("x" * 4100,),
    "cookie-tab": ("1\t2",),
    "cookie-utf-8": ("\xc3\xa9",),
}
DOMAINS: Kinds = {
    "": (
        *("", "c{n}.site{g}.co.uk", ".c{n}.site{g}.co.uk", "..c{n}.site{g}.co.uk", "c{n}.site{g}.co.uk."),
        *('"c{n}.site{g}.co.uk"', "c{n}.site{g}.com", "co.uk", "com", "127.0.0.1", "localhost"),
    ),
    "cookie-domain-case": ("C{N}.SITE{G}.CO.UK",),
    "cookie-utf-8": ("\xc3\xa9.com",),
}
MAX_AGES: Kinds = {
    "": ("100", "100", "0", "-1", "0050", "9" * 300, "abc", "1e3", "1 2", '"5"'),
    "cookie-attribute-size": ("9" * 1025,),
    "cookie-max-age-dash": ("-",),
    "cookie-max-age-empty": ("",),
    "cookie-max-age-plus": ("+5",),
}
DATES: Kinds = {
    "": (
        "Wed, 09 Jun 2099 10:18:14 GMT",
        "Wed, 09 Jun 2999 10:18:14 GMT",
        "Wed, 09 Jun 1999 10:18:14 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Wednesday, 09-Jun-99 10:18:14 GMT",
        "Wednesday, 09-Jun-28 10:18:14 GMT",
        "09 Jun 2001 10:18:14",
        "0",
        "",
        "never",
    ),
    "cookie-date-day": ("31 feb 2001 1:1:1",),
    "cookie-date-form": ("1 jan 2001 1:1:1", "10:18:14 09 jun 2001", "Jun 9 2001 10:18:14", "2001-06-09 10:18:14"),
    "cookie-date-hour": ("1 jan 2001 24:00:00",),
    "cookie-date-no-time": ("1 jan 2001",),
    "cookie-date-year": ("1 jan 1600 1:1:1",),
}
REST: Kinds = {"": ("Priority=High", "=x", ""), "cookie-attribute-empty": ("Path", "Domain", "SameSite")}

AVOIDABLE = {kind for kinds in (NAMES, VALUES, DOMAINS, MAX_AGES, DATES, REST) for kind in kinds if kind} | {
    *("cookie-empty-name", "cookie-none-insecure", "cookie-max-age-first", "cookie-redirect"),
    *("cookie-third-party", "cookie-scheme", "cookie-secure-loopback", "cookie-localhost-name"),
}


def choose(random: Random, kinds: Kinds, avoided: frozenset[str]) -> str:
    """A value that all engines read alike, or, less often, another one."""
    others = [value for kind, values in kinds.items() if kind and kind not in avoided for value in values]
    return random.choice(others if others and random.random() < 0.3 else kinds[""])


def random_line(random: Random, host: str, avoided: frozenset[str]) -> str:
    name, value = choose(random, NAMES, avoided), choose(random, VALUES, avoided)
    pair = f"{name}{random.choice(('=', '=', '=', ' = '))}{value}"
    if value == "{n}":
        pair = value if "cookie-empty-name" in avoided else random.choice((value, f"={value}"))
    attributes = [*random_scope(random, host, avoided), *random_times(random, avoided)]
    random.shuffle(attributes)
    return random.choice(("; ", "; ", ";", " ; ")).join([pair, *attributes])


def random_scope(random: Random, host: str, avoided: frozenset[str]) -> Iterator[str]:
    """Attributes that say which requests carry the cookie."""
    if random.random() < 0.5:
        yield f"Path={random.choice(ATTRIBUTE_PATHS)}"
    if random.random() < 0.3:
        yield random.choice(HTTP_ONLYS)
    if random.random() < 0.3:
        yield f"SameSite={random.choice(SAME_SITES)}"
    if random.random() < 0.1:
        yield choose(random, REST, avoided)
    if host == "localhost" and "cookie-secure-loopback" in avoided:
        return
    if random.random() < 0.4:
        yield f"Domain={random.choice((host, choose(random, DOMAINS, avoided)))}"
    if random.random() < 0.3:
        yield random.choice(SECURES)
    if random.random() < 0.2:
        yield "SameSite=None"
        if "cookie-none-insecure" in avoided or random.random() < 0.5:
            yield "Secure"


def random_times(random: Random, avoided: frozenset[str]) -> Iterator[str]:
    kind = random.random()
    if kind < 0.2:
        yield f"Max-Age={choose(random, MAX_AGES, avoided)}"
    if 0.15 < kind < 0.35 and (kind >= 0.2 or "cookie-max-age-first" not in avoided):
        yield f"Expires={choose(random, DATES, avoided)}"


def random_hop(random: Random, origins: Sequence[str], avoided: frozenset[str]) -> Hop:
    origin = random.choice(origins)
    host = origin.split("/")[2].partition(":")[0]
    lines = tuple(random_line(random, host, avoided) for _ in range(random.choice((0, 1, 1, 2))))
    return Hop(origin, random.choice(PATHS), lines)


def random_step(random: Random, origins: Sequence[str], others: Sequence[str], avoided: frozenset[str]) -> Step:
    number = random.choice((1, 1, 1, 1, 1, 2, 3))
    reached = origins if number > 1 and "cookie-redirect" in avoided else (*origins, *origins, *others)
    return tuple(random_hop(random, reached, avoided) for _ in range(number))


def random_cookie_case(random: Random, number: int, avoided: frozenset[str]) -> CookieCase:
    """Some requests that set cookies, and then one to each origin."""
    page, origins, others = random_sites(random, avoided)
    if page == LOCALHOST_PAGE:  # whose cookies all cases share, so that each needs a name with the case's number
        avoided |= {"cookie-nameless", "cookie-prefix-path"}
    steps = [random_step(random, origins, others, avoided) for _ in range(random.choice((1, 2, 3, 4)))]
    reads = [(Hop(origin, random.choice(("/", "/a/b/c"))),) for origin in (*origins, *others)]
    return CookieCase(number, page, (*steps, *reads, *(expired(steps) if page == LOCALHOST_PAGE else ())))


def random_sites(random: Random, avoided: frozenset[str]) -> tuple[str, Sequence[str], Sequence[str]]:
    """A page, origins of its site, and origins of other sites."""
    kind = random.random()
    if kind < 0.5:
        return HTTPS_PAGE, HTTPS, () if "cookie-third-party" in avoided else OTHER_SITES
    if kind < 0.7:
        return HTTP_PAGE, HTTP, () if "cookie-scheme" in avoided else HTTPS
    if kind < 0.85 or "cookie-localhost-name" in avoided:
        return LOCALHOST_PAGE, LOCALHOST, () if "cookie-third-party" in avoided else ("http://127.0.0.1:{b}",)
    return "http://site{g}.localhost:{a}", LOCALHOST_NAMES, ()


def expired(steps: Iterable[Step]) -> Iterator[Step]:
    """The same steps, which now take away what they set."""
    for step in steps:
        yield tuple(Hop(hop.origin, hop.path, tuple(f"{line}; Max-Age=0" for line in hop.set_cookie)) for hop in step)
