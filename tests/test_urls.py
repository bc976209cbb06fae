"""URLs: by the standard's states, against ``ada-url``, by laws, through ``Browser``, and in three engines.

``python tests/url_oracle.py --urls 1000000 --seed 7`` compares more of them with ``ada-url``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from real_browsers import ENGINES, Engine, Session
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from strategies import origins
from url_oracle import SPECIAL, Drawn, ada_or_none, compare, draw, is_unread, ours_or_none, wide

from flask_preflight.browser import Browser, CORSError, Step
from flask_preflight.browser.urls import URL, checked_origin, parse_location, parse_url
from flask_preflight.hosts import parse_host
from flask_preflight.origin import parse_origin

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ROOT = Path(__file__).parent.parent
BASE = "https://u:p@page.com:8443/a/b/c?q#f"


# ---------------------------------------------------------------------------------------
# By the standard's states: https://url.spec.whatwg.org/#url-parsing
# ---------------------------------------------------------------------------------------

ABSOLUTE = {
    # scheme start, scheme, and the slashes after it
    "https://a.com": "https://a.com/",
    "HTTPS://A.com": "https://a.com/",
    "https:a.com": "https://a.com/",
    "https:/a.com/b": "https://a.com/b",
    "https:////a.com//b": "https://a.com//b",
    "https:\\\\a.com\\b": "https://a.com/b",
    "https:/\\/a.com": "https://a.com/",
    "ws://a.com:80": "ws://a.com/",
    "wss://a.com:443": "wss://a.com/",
    "ftp://a.com:21": "ftp://a.com/",
    # what is cut off, and dropped wherever it stands
    "\x00\x1f https://a.com \n": "https://a.com/",
    "ht\ntps:\t//a\r.com/b\tc": "https://a.com/bc",
    "https://a.com/\xa0": "https://a.com/%C2%A0",
    # authority
    "https://@a.com": "https://a.com/",
    "https://:@a.com": "https://a.com/",
    "https://u@a.com": "https://u@a.com/",
    "https://u:@a.com": "https://u@a.com/",
    "https://:p@a.com": "https://:p@a.com/",
    "https://u:p:q@a.com": "https://u:p%3Aq@a.com/",
    "https://a@b@c.com": "https://a%40b@c.com/",
    "https://a.com\\@b.com": "https://a.com/@b.com",
    "https://a.com?@b.com": "https://a.com/?@b.com",
    "https://a.com#@b.com": "https://a.com/#@b.com",
    "https://é;=|^[]'@a.com": "https://%C3%A9%3B%3D%7C%5E%5B%5D'@a.com/",
    # port
    "https://a.com:": "https://a.com/",
    "https://a.com:443": "https://a.com/",
    "https://a.com:00443": "https://a.com/",
    "https://a.com:0": "https://a.com:0/",
    "https://a.com:80": "https://a.com:80/",
    "http://a.com:65535": "http://a.com:65535/",
    f"http://a.com:{'0' * 5000}81": "http://a.com:81/",
    # host: domains
    "https://a_b.-c-.com.": "https://a_b.-c-.com./",
    "https://a..b": "https://a..b/",
    "https://*.a.com": "https://*.a.com/",
    "https://!\"$&'()*+,-.;=_`{}~": "https://!\"$&'()*+,-.;=_`{}~/",
    "https://%41.c%6fm": "https://a.com/",
    "https://straße.de": "https://xn--strae-oqa.de/",
    "https://BÜCHER.example": "https://xn--bcher-kva.example/",
    "https://b%C3%BCcher.example": "https://xn--bcher-kva.example/",
    "https://例え。テスト": "https://xn--r8jz45g.xn--zckzah/",
    "https://☃.💩": "https://xn--n3h.xn--ls8h/",
    f"https://{wide('EXample.com')}": "https://example.com/",
    "https://ex\xadam\u200bple.com": "https://example.com/",
    "https://न्\u200d.example": "https://xn--l2b8ev54f.example/",
    "https://e\u0301.example": "https://xn--9ca.example/",
    "https://XN--LS8H.example": "https://xn--ls8h.example/",
    "https://xn--a": "https://xn--a/",
    "https://xn--bücher-kva.example".replace("ü", ""): "https://xn--bcher-kva.example/",
    "https://ü.xn--ls8h": "https://xn--tda.xn--ls8h/",
    "https://א.example": "https://xn--4db.example/",
    # host: IPv4
    "http://127.1": "http://127.0.0.1/",
    "http://0x7f.1": "http://127.0.0.1/",
    "http://0177.0.0.0x1.": "http://127.0.0.1/",
    "http://2130706433": "http://127.0.0.1/",
    f"http://{wide('127')}.0.0.1": "http://127.0.0.1/",
    "http://0x": "http://0.0.0.0/",
    "http://%31": "http://0.0.0.1/",
    "http://1.2.3.4.a": "http://1.2.3.4.a/",
    # host: IPv6
    "http://[::1]": "http://[::1]/",
    "http://[0:0:0:1:0:0:0:0]": "http://[0:0:0:1::]/",
    "http://[1:0:0:2:0:0:3:4]": "http://[1::2:0:0:3:4]/",
    "http://[1:0:2:3:4:5:6:7]": "http://[1:0:2:3:4:5:6:7]/",
    "http://[::FFFF:127.0.0.1]:8080": "http://[::ffff:7f00:1]:8080/",
    "http://[1:2:3:4:5:6:7::]": "http://[1:2:3:4:5:6:7:0]/",
    # path
    "https://a.com/b/../c": "https://a.com/c",
    "https://a.com/../../b": "https://a.com/b",
    "https://a.com/b/./c/.": "https://a.com/b/c/",
    "https://a.com/b/c/..": "https://a.com/b/",
    "https://a.com/b/%2e%2E/c/%2e": "https://a.com/c/",
    "https://a.com/b/.%2e/c\\..\\d": "https://a.com/d",
    "https://a.com/b//../c": "https://a.com/b/c",
    "https://a.com/.../..a/%2e%2e%2e": "https://a.com/.../..a/%2e%2e%2e",
    "https://a.com/%2f%5c/..": "https://a.com/",
    'https://a.com/ "#': "https://a.com/%20%22#",
    "https://a.com/<>^`{}|[]'\x7fé\ufdd0": "https://a.com/%3C%3E%5E%60%7B%7D|[]'%7F%C3%A9%EF%B7%90",
    "https://a.com/%%zz%2": "https://a.com/%%zz%2",
    "https://a.com/\ud83d\udca9": "https://a.com/%EF%BF%BD%EF%BF%BD",
    # query and fragment
    "https://a.com?": "https://a.com/?",
    "https://a.com?b#": "https://a.com/?b#",
    "https://a.com/?a/../b?c\\": "https://a.com/?a/../b?c\\",
    "https://a.com/? \"<>'`{}|^é": "https://a.com/?%20%22%3C%3E%27`{}|^%C3%A9",
    "https://a.com/# \"<>'`{}#é": "https://a.com/#%20%22%3C%3E'%60{}#%C3%A9",
}


@pytest.mark.parametrize(("text", "href"), [pytest.param(*row, id=ascii(row[0])[:60]) for row in ABSOLUTE.items()])
def test_absolute_urls(text: str, href: str) -> None:
    assert parse_url(text).href == href


RELATIVE = {
    "": "https://u:p@page.com:8443/a/b/c?q",
    "?": "https://u:p@page.com:8443/a/b/c?",
    "?x": "https://u:p@page.com:8443/a/b/c?x",
    "#x": "https://u:p@page.com:8443/a/b/c?q#x",
    "x": "https://u:p@page.com:8443/a/b/x",
    ".": "https://u:p@page.com:8443/a/b/",
    "..": "https://u:p@page.com:8443/a/",
    "../../../x": "https://u:p@page.com:8443/x",
    "/": "https://u:p@page.com:8443/",
    "\\x\\..\\y": "https://u:p@page.com:8443/y",
    "https:x": "https://u:p@page.com:8443/a/b/x",
    "https:/x": "https://u:p@page.com:8443/x",
    "https:": "https://u:p@page.com:8443/a/b/c?q",
    "http:x": "http://x/",
    "//x": "https://x/",
    "/\\x/y": "https://x/y",
    "\\\\x": "https://x/",
    "///x//y": "https://x//y",
    "https:\\/x": "https://x/",
    "a:b": "a:b",
    "1:b": "https://u:p@page.com:8443/a/b/1:b",
}


@pytest.mark.parametrize(("text", "href"), [pytest.param(*row, id=ascii(row[0])) for row in RELATIVE.items()])
def test_relative_urls(text: str, href: str) -> None:
    assert parse_url(text, parse_url(BASE)).href == href


NOT_VALID = "its host '{}' is not valid"
NO_PORT = "its port '{}' is not a number from 0 to 65535"
INVALID = {
    "": "it has no scheme; write it as in https://example.com/",
    "/a": "it has no scheme; write it as in https://example.com/",
    "//a.com": "it has no scheme; write it as in https://example.com/",
    "1https://a.com": "it has no scheme; write it as in https://example.com/",
    "https://": "it has no host",
    "https:///": "it has no host",
    "https://?a": "it has no host",
    "https://:80": "it has no host",
    "https://u@": "it has no host",
    "https://u@/a": "it has no host",
    "https://a.com:65536": NO_PORT.format("65536"),
    "https://a.com:8a": NO_PORT.format("8a"),
    "https://a.com:-1": NO_PORT.format("-1"),
    "https://a.com: 1": NO_PORT.format(" 1"),
    "https://a.com:\u0661": NO_PORT.format(r"\u0661"),
    "https://a.com:80:": NO_PORT.format("80:"),
    "https://[::1]80": NO_PORT.format("80"),
    "https://a b.com": NOT_VALID.format("a b.com"),
    "https://a%20b.com": NOT_VALID.format("a%20b.com"),
    "https://a%00b": NOT_VALID.format("a%00b"),
    "https://a%zz": NOT_VALID.format("a%zz"),
    "https://a<b": NOT_VALID.format("a<b"),
    "https://a^b": NOT_VALID.format("a^b"),
    "https://a|b": NOT_VALID.format("a|b"),
    "https://a\x7fb": NOT_VALID.format(r"a\x7fb"),
    "https://\xad": NOT_VALID.format(r"\xad"),
    "https://%E9.com": NOT_VALID.format("%E9.com"),
    "https://\ud800": NOT_VALID.format(r"\ufffd"),
    "https://\u0301a": NOT_VALID.format(r"\u0301a"),
    "https://a\u200db": NOT_VALID.format(r"a\u200db"),
    f"https://a{wide('.%')}41": NOT_VALID.format(r"a\uff0e\uff0541"),
    "https://é.xn--a": NOT_VALID.format(r"\xe9.xn--a"),
    "https://é.xn--a-": NOT_VALID.format(r"\xe9.xn--a-"),
    "https://é.xn--xn---epa": NOT_VALID.format(r"\xe9.xn--xn---epa"),
    "https://é.xn--u-ccb": NOT_VALID.format(r"\xe9.xn--u-ccb"),
    "https://xn--é": NOT_VALID.format(r"xn--\xe9"),
    "https://aא": NOT_VALID.format(r"a\u05d0"),
    "https://1.א": NOT_VALID.format(r"1.\u05d0"),
    "https://1.2.3.256": NOT_VALID.format("1.2.3.256"),
    "https://256.1.1.1": NOT_VALID.format("256.1.1.1"),
    "https://1.2.3.4.5": NOT_VALID.format("1.2.3.4.5"),
    "https://4294967296": NOT_VALID.format("4294967296"),
    "https://a.08": NOT_VALID.format("a.08"),
    "https://.1.": NOT_VALID.format(".1."),
    "https://1..2": NOT_VALID.format("1..2"),
    "https://a.1": NOT_VALID.format("a.1"),
    "https://1_0.1": NOT_VALID.format("1_0.1"),
    "https://127.0.\u06630.1": NOT_VALID.format(r"127.0.\u06630.1"),
    "https://[::1": NOT_VALID.format("[::1"),
    "https://[::1%1]": NOT_VALID.format("[::1%1]"),
    "https://[[::1]": NOT_VALID.format("[[::1]"),
    "https://[]": NOT_VALID.format("[]"),
    "https://[1:2:3:4:5:6:7:8:9]": NOT_VALID.format("[1:2:3:4:5:6:7:8:9]"),
    "https://[::01.2.3.4]": NOT_VALID.format("[::01.2.3.4]"),
    "https://::1": "it has no host",
    "https://a[::1]": NOT_VALID.format("a["),
}


@pytest.mark.parametrize(("text", "reason"), [pytest.param(*row, id=ascii(row[0])) for row in INVALID.items()])
def test_invalid_urls(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match="is not a valid URL") as caught:
        parse_url(text)
    assert str(caught.value).endswith(f" is not a valid URL: {reason}")


def test_a_long_message_is_cut_and_stays_on_one_line() -> None:
    with pytest.raises(ValueError, match="is not a valid URL") as caught:
        parse_url("https://a\n\u2028\x00" + "é" * 1000)
    shown = r"https://a\n\u2028\x00" + r"\xe9" * 188
    host = r"a\u2028\x00" + r"\xe9" * 197
    assert str(caught.value) == f"{shown}... (1012 characters) is not a valid URL: " + NOT_VALID.format(
        f"{host}... (1003 characters)"
    )


@pytest.mark.parametrize(("length", "is_valid"), [(65_536, True), (65_537, False)])
def test_the_longest_url(length: int, is_valid: bool) -> None:
    text = "https://a.com/".ljust(length, "a")
    if is_valid:
        assert parse_url(text).href == text
    else:
        with pytest.raises(ValueError, match=r"\(65537 characters\) is not a valid URL: it has more than 65536"):
            parse_url(text)


LONG = 65_000
# For each of these, a careless parser takes quadratic time. The time limit of the tests is the assertion.
HOSTILE = {
    "labels": "a." * (LONG // 2),
    "numbers": "1." * (LONG // 2),
    "digits": "9" * LONG,
    "hexadecimal digits": "0x" + "f" * LONG,
    "zeros": "0" * LONG,
    "percent": "%41" * (LONG // 3),
    "signs for user info": "@" * LONG,
    "colons": ":" * LONG,
    "brackets": "[]" * (LONG // 2),
    "port": "a:" + "9" * LONG,
    "slashes": "a" + "/" * LONG,
    "dot segments": "a/" + "../" * (LONG // 3),
    "folders and dot segments": "a/" + "a/" * (LONG // 4) + "../" * (LONG // 6),
    "Unicode": "é" * LONG,
    "Unicode label": "".join(map(chr, range(0x4E00, 0x4E00 + 253))),
    "longer label": "".join(map(chr, range(0x4E00, 0x4E00 + 254))),
    "Unicode domain": "é." * 512,
    "longer domain": "é." * 512 + "a",
    "marks": "e" + "\u0301\u0323" * 500,
    "joiners": "न्\u200d" * 80,
    "right to left": "א" * 253,
    "Punycode": "é.xn--" + "a" * 1000,
    "tabs": "a/" + "\t" * LONG,
    "surrogates": "a/" + "\ud800" * LONG,
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in HOSTILE.items()])
@pytest.mark.timeout(20)
@pytest.mark.slow
def test_no_length_takes_long(text: str) -> None:
    for _ in range(20):
        try:
            assert len(parse_url(f"https://{text}").href) < 14 * LONG
        except ValueError as error:
            assert len(str(error)) < 3000  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "is_host"),
    [
        pytest.param(HOSTILE["Unicode label"], True, id="253 characters"),
        pytest.param(HOSTILE["longer label"], False, id="254 characters"),
        pytest.param(HOSTILE["Unicode domain"], True, id="1024 characters"),
        pytest.param(HOSTILE["longer domain"], False, id="1025 characters"),
        pytest.param(HOSTILE["labels"], True, id="ASCII has no limit"),
    ],
)
def test_the_longest_hosts(text: str, is_host: bool) -> None:
    assert (parse_host(text) is not None) is is_host


def test_the_parts_of_a_url() -> None:
    url = parse_url("https://u:p@a.com:8443/b?c#d")
    assert url == URL("https", "u", "p", "a.com", 8443, "/b", "c", "d")
    assert (url.origin, url.target, str(url)) == ("https://a.com:8443", "/b?c", "https://a.com:8443/b?c")
    assert url.has_credentials
    url = parse_url("http://a.com")
    assert url == URL("http", "", "", "a.com", 80, "/", None, None)
    assert (url.origin, url.target, str(url), url.href) == ("http://a.com", "/", "http://a.com/", "http://a.com/")
    assert not url.has_credentials


@pytest.mark.parametrize(
    "text", ["data:text/html,é ?x#y", "file:///a/../b", "app://A/b", "javascript:alert(1)", "http+x://[", "about:blank"]
)
def test_of_other_schemes_only_the_scheme_is_read(text: str) -> None:
    url = parse_url(text, parse_url(BASE))
    assert (url.scheme, url.origin, url.host, str(url)) == (text.split(":")[0], "null", "", text.split("#")[0])


def test_a_page_of_another_scheme_is_no_base() -> None:
    with pytest.raises(ValueError, match="/a is not a valid URL: it has no scheme"):
        parse_url("/a", parse_url("app://./"))


def test_idna_is_imported_for_hosts_beyond_ascii_alone() -> None:
    code = """
import sys
from flask_preflight.browser.urls import parse_url
parse_url("https://xn--bcher-kva.example/é")
assert "idna" not in sys.modules
parse_url("https://bücher.example")
assert "idna" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------------------------------
# Against ada-url
# ---------------------------------------------------------------------------------------

# The least share of each kind among what is drawn, in percent. Without these, a mistake in the drawing would prove
# nothing.
LEAST = {
    "credentials": 10.0,
    "domain": 25.0,
    "dot segments": 2.0,
    "invalid": 15.0,
    "IPv4": 5.0,
    "IPv6": 2.0,
    "other scheme": 1.0,
    "percent-encoded": 10.0,
    "port": 5.0,
    "Punycode": 5.0,
    "relative": 10.0,
}
SEEDS = [pytest.param(seed, id=f"seed {seed}") for seed in range(4)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.slow
def test_the_parser_agrees_with_ada_url(seed: int) -> None:
    kinds, _, differences = compare(seed, 5000)
    assert differences == []
    assert kinds.keys() == LEAST.keys()
    assert {kind: count for kind, count in kinds.items() if count < 50 * LEAST[kind]} == {}


# The Bidi Rule is for all labels of a domain that has a right-to-left one. ada-url checks each label by itself.
# https://www.unicode.org/reports/tr46/#Validity_Criteria
BIDI = ("https://1.א/", "https://≠.א/", "https://אב1.+/", "https://xn--4db.☃.א/", "https://a.b.0.א.c/")


@pytest.mark.parametrize("text", BIDI, ids=ascii)
def test_what_ada_url_takes_and_the_standard_does_not(text: str) -> None:
    assert ada_or_none(text) is not None
    assert ours_or_none(text) is None


def in_chromium(drawn: Sequence[Drawn]) -> list[str | None]:
    """What ``new URL()`` makes of each in Chromium; ``None``: it throws."""
    options = ChromeOptions()
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    script = """
        return arguments[0].map(([text, base]) => {
            try { return new URL(text, base ?? undefined).href } catch { return null }
        })"""
    driver = Chrome(options, Service(shutil.which("chromedriver")))
    try:
        return cast("list[str | None]", driver.execute_script(script, drawn))
    finally:
        driver.quit()


@pytest.mark.browser
def test_chromium_agrees_where_ada_url_does_not() -> None:
    drawn = [*compare(0, 10_000).explained, *(Drawn(text, None) for text in BIDI)]
    assert len(drawn) > 10
    assert in_chromium(drawn) == [None] * len(drawn)


@pytest.mark.browser
def test_chromium_parses_as_we_do() -> None:
    random = Random(1)
    drawn = [one for one in (draw(random) for _ in range(5000)) if not is_unread(one.text)]
    different = []
    for one, chromium in zip(drawn, in_chromium(drawn), strict=True):
        ours = ours_or_none(*one)
        if ours != chromium and not is_chromiums_own(one, ours, chromium):
            different.append(f"{one}\n  ours      {ours}\n  Chromium  {chromium}")
    assert different == []


def is_chromiums_own(drawn: Drawn, ours: str | None, chromium: str | None) -> bool:
    """Whether Chromium departs from the standard as ``docs/engines.md`` says."""
    if chromium is None:
        return False
    if ours is None:  # spaces, full-width percent signs and odd IPv6 addresses in hosts
        return (
            "%20" in chromium.split("/")[2] or "\uff05" in f"{drawn.base}{drawn.text}" or "[" in chromium.split("/")[2]
        )
    spelled = [re.sub("%(7C|2A|27)", lambda code: unquote(code[0]), href) for href in (ours, chromium)]
    return spelled[0] == spelled[1] or ("*" in ours and "xn--" in ours)


# ---------------------------------------------------------------------------------------
# Laws
# ---------------------------------------------------------------------------------------


def drawn_urls() -> st.SearchStrategy[Drawn]:
    return st.integers(0, 2**32).map(lambda seed: draw(Random(seed)))


def parsed(drawn: Drawn) -> URL | None:
    try:
        return parse_url(drawn.text, None if drawn.base is None else parse_url(drawn.base))
    except ValueError:
        return None


@given(drawn_urls())
@example(Drawn("https://a.com?#", None))
@example(Drawn("https://:@a.com:/", None))
def test_a_serialized_url_is_parsed_again_to_the_same(drawn: Drawn) -> None:
    url = parsed(drawn)
    if url is not None:
        assert parse_url(url.href) == url
        assert parse_url(url.href, parse_url(BASE)) == url


@given(drawn_urls())
def test_a_relative_url_does_not_depend_on_the_spelling_of_its_base(drawn: Drawn) -> None:
    url = parsed(drawn)
    if url is not None and drawn.base is not None:
        base = parse_url(drawn.base)
        assert parse_url(drawn.text, parse_url(base.href)) == url
        assert url.scheme not in SPECIAL or parse_url("", url) == url._replace(fragment=None)


@given(drawn_urls())
def test_a_location_in_bytes_of_utf_8_is_the_text(drawn: Drawn) -> None:
    if drawn.base is not None and not is_unread(drawn.text):
        base, location = parse_url(drawn.base), drawn.text.encode().decode("latin-1")
        try:
            url = parse_location(location, base)
        except ValueError:
            assert parsed(drawn) is None
        else:
            assert url == parsed(drawn)


@given(drawn_urls())
def test_what_a_url_holds(drawn: Drawn) -> None:
    url = parsed(drawn)
    if url is None or url.scheme not in SPECIAL:
        return
    assert re.fullmatch("[!-~]+", url.href)
    assert not re.search(r"/(\.|%2e){1,2}(?=/|\Z)", url.path, re.IGNORECASE)
    assert parse_host(url.host) == url.host
    if "*" not in url.host:  # a valid host, but a user who writes it means a pattern
        assert checked_origin(url.origin) == url.origin
    assert str(url) == f"{url.origin}{url.target}"
    assert 0 <= url.port <= 65535


@given(st.one_of(st.text(), st.text("htps:/\\@.#?%[]é0x"), st.binary().map(lambda data: data.decode("latin-1"))))
def test_any_text_is_a_url_or_a_value_error(text: str) -> None:
    for parse in (parse_url, parse_location):
        try:
            url = parse(text, parse_url(BASE))
        except ValueError as error:
            assert str(error).isprintable()  # noqa: PT017
        else:
            assert url.scheme not in SPECIAL or re.fullmatch("[!-~]+", url.href)


@given(origins())
def test_the_servers_side_and_the_browsers_side_write_origins_alike(text: str) -> None:
    origin = parse_origin(text)
    if origin is not None and origin.scheme in SPECIAL:
        assert parse_url(text).origin == text


# ---------------------------------------------------------------------------------------
# Through Browser
# ---------------------------------------------------------------------------------------

PAGE = "https://page.com"
STAR = ("Access-Control-Allow-Origin", "*")


def moving(locations: Mapping[str, str], status: str = "302 Found") -> WSGIApplication:
    """An app that redirects by path, and allows everything."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        location = locations.get(environ["PATH_INFO"])
        if location is None or environ["REQUEST_METHOD"] == "OPTIONS":
            start_response("200 OK", [STAR, ("Access-Control-Allow-Methods", "PUT")])
        else:
            start_response(status, [STAR, ("Location", location)])
        return []

    return app


def asked(browser: Browser) -> list[str]:
    return [f"{exchange.method} {exchange.url}" for exchange in browser.exchanges]


def test_dot_segments_do_not_leave_the_browser() -> None:
    targets: list[tuple[str, str]] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        targets.append((environ["REQUEST_URI"], environ["PATH_INFO"]))
        start_response("200 OK", [STAR])
        return []

    response = Browser(app, PAGE).fetch("https://api.com/v1/../api/./x/%2e%2e/y")
    assert targets == [("/api/y", "/api/y")]
    assert response.url == "https://api.com/api/y"


def test_the_preflight_cache_knows_a_url_by_what_it_leads_to() -> None:
    browser = Browser(moving({}), PAGE)
    for url in ("https://api.com/a", "https://api.com/b/../a", "https://API.com:443\\a", "https://@api.com/%2e/a"):
        browser.fetch(url, "PUT")
    assert asked(browser) == ["OPTIONS https://api.com/a", *["PUT https://api.com/a"] * 4]


@pytest.mark.parametrize(
    ("location", "goal"),
    [
        pytest.param("/x/../y", "https://api.com/y", id="dot segments"),
        pytest.param("/\\evil.com/x", "https://evil.com/x", id="backslash"),
        pytest.param("///evil.com/x", "https://evil.com/x", id="three slashes"),
        pytest.param("https:evil.com", "https://api.com/evil.com", id="no slashes"),
        pytest.param("https://@other.com/to", "https://other.com/to", id="empty user info"),
        pytest.param("https://:@other.com/to", "https://other.com/to", id="empty name and password"),
        pytest.param("https://other.com:0/to", "https://other.com:0/to", id="port 0"),
        pytest.param("/to?é".encode().decode("latin-1"), "https://api.com/to?%C3%A9", id="bytes of UTF-8"),
        pytest.param("/to/\xe9", "https://api.com/to/%E9", id="bytes of Latin-1"),
        pytest.param("//bücher.de/".encode().decode("latin-1"), "https://xn--bcher-kva.de/", id="host in UTF-8"),
        pytest.param("?x", "https://api.com/from?x", id="query"),
        pytest.param("b|c", "https://api.com/b|c", id="relative"),
    ],
)
def test_where_a_redirect_leads(location: str, goal: str) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        is_first = environ["REQUEST_URI"] == "/from"
        start_response("302 Found" if is_first else "200 OK", [STAR, *([("Location", location)] if is_first else [])])
        return []

    browser = Browser(app, PAGE)
    assert browser.fetch("https://api.com/from").url == goal
    assert asked(browser) == ["GET https://api.com/from", f"GET {goal}"]


def test_an_empty_location_leads_to_the_same_url_again() -> None:
    browser = Browser(moving({"/a": ""}), PAGE)
    with pytest.raises(CORSError) as caught:
        browser.fetch("https://api.com/a")
    assert caught.value.step is Step.REDIRECT_COUNT
    assert asked(browser) == ["GET https://api.com/a"] * 21


def test_a_password_in_a_location_stays_in_the_url_of_the_response() -> None:
    browser = Browser(moving({"/a": "https://u:p@page.com/b/c", "/b/c": "d#e"}), PAGE)
    assert browser.fetch("/a").url == "https://u:p@page.com/b/d"
    assert asked(browser) == [f"GET {PAGE}{path}" for path in ("/a", "/b/c", "/b/d")]


def test_a_redirect_keeps_the_fragment_which_is_part_of_what_a_preflight_is_cached_for() -> None:
    browser = Browser(moving({"/a": "/b", "/c": "/b#y"}, "307 Temporary Redirect"), PAGE)
    for url in ("/a#x", "/b#x", "/c#x", "/b#y", "/b"):
        browser.fetch(f"https://api.com{url}", "PUT")
    preflights = [exchange.url for exchange in browser.exchanges if exchange.preflight]
    assert preflights == [f"https://api.com/{path}" for path in ("a", "b", "c", "b", "b")]


def test_a_page_of_another_scheme_asks_absolute_urls() -> None:
    browser = Browser(moving({}), "app://.")
    assert browser.fetch("https://api.com/a/../b").url == "https://api.com/b"
    with pytest.raises(TypeError, match=r"^url: /b is not a valid URL: it has no scheme; write it as in"):
        browser.fetch("/b")


# ---------------------------------------------------------------------------------------
# In three engines
# ---------------------------------------------------------------------------------------


class Row(NamedTuple):
    """What a page asks for, or an answer's ``Location``, and where the request arrives.

    ``{A}`` and ``{B}`` are the hosts and ports of the page's server and of another, ``{port}`` is B's port.
    """

    text: str
    arrives: str
    """The server and the target that it got; "fails", or the status of the redirect itself."""
    differs: Mapping[str, str] = {}
    """By engine."""

    def in_engine(self, engine: Engine) -> str:
        return self.differs.get(str(engine), self.arrives)


SAME = {
    "dots": Row("/x/../y/./z", "A /y/z"),
    "encoded dots": Row("/x/%2e%2E/y", "A /y"),
    "other dots": Row("/a;b/..;/c", "A /a;b/..;/c"),
    "backslash": Row("/\\{B}/x", "B /x"),
    "backslashes": Row("\\\\{B}\\x\\..\\y", "B /y"),
    "three slashes": Row("///{B}/x", "B /x"),
    "one slash": Row("http:/y", "A /y"),
    "upper case": Row("HTTP://{B}/x", "B /x"),
    "empty user info": Row("http://@{B}/x", "B /x"),
    "empty name and password": Row("http://:@{B}/x", "B /x"),
    "IPv4 in two parts": Row("http://127.1:{port}/x", "B /x"),
    "hexadecimal IPv4": Row("http://0x7f.1:{port}/x", "B /x"),
    "encoded IPv4": Row("http://127.0.0.%31:{port}/x", "B /x"),
    "dot after IPv4": Row("http://127.0.0.1.:{port}/x", "B /x"),
    "zeros before the port": Row("http://127.0.0.1:000{port}/x", "B /x"),
    "spaces": Row(" /a b ", "A /a%20b"),
    "empty query": Row("/x?", "A /x?"),
    "quotes": Row("/?a'b\"<>`", "A /?a%27b%22%3C%3E`"),
    "caret": Row("/a^b`c", "A /a%5Eb%60c"),
    "percent": Row("/%zz%", "A /%zz%"),
}
REDIRECTS = {
    **SAME,
    "controls": Row("/a\x01b\x7f", "A /a%01b%7F"),
    "password elsewhere": Row("http://u:p@{B}/x", "fails"),
    # the rows of docs/engines.md
    "an empty `Location`": Row("", "fails", {"Chromium": "302"}),
    "`Location: /é`, the bytes being UTF-8": Row("/\xc3\xa9", "A /%C3%A9", {"WebKit": "A /%C3%83%C2%A9"}),
    "`Location: /é`, the byte being Latin-1": Row("/\xe9", "A /%E9", {"WebKit": "A /%C3%AF%C2%BF%C2%BD"}),
    "a tab in `Location`": Row("/a\tb", "A /ab", {"Firefox": "A /a%09b"}),
    "`Location` with a password, on the page's own origin": Row("http://u:p@{A}/x", "A /x", {"Chromium": "fails"}),
}
FETCHES = {
    **SAME,
    "white space": Row(" ht\ntp:/\\/{B}\t/x ", "B /x"),
    "surrogate": Row("/\ud800x", "A /%EF%BF%BDx"),
    "Unicode": Row("/é?é", "A /%C3%A9?%C3%A9"),
    # a row of docs/engines.md
    '`fetch("/a\\|b")`': Row("/a|b", "A /a|b", {"Chromium": "A /a%7Cb"}),
}


class Relay:
    """Redirects requests for ``/from`` to *location*, and remembers all others."""

    def __init__(self) -> None:
        self.location = ""
        self.hosts: dict[str, str] = {}
        self.arrived: list[str] = []

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        headers = [STAR, ("Cache-Control", "no-store"), ("Content-Length", "0")]
        if environ["REQUEST_URI"] == "/from":
            start_response("302 Found", [*headers, ("Location", self.location)])
        else:
            server = next(name for name, host in self.hosts.items() if host == environ["HTTP_HOST"])
            self.arrived.append(f"{server} {environ['REQUEST_URI']}")
            start_response("200 OK", headers)
        return []

    def connect(self, origins: Mapping[str, str]) -> None:
        self.hosts = {name: origins[name].removeprefix("http://") for name in "AB"}

    def fill_in(self, row: Row) -> str:
        return row.text.format(**self.hosts, port=self.hosts["B"].rpartition(":")[2])

    def outcome(self, status: int | None) -> str:
        arrived = self.arrived.pop() if self.arrived else ""
        return "fails" if status is None else arrived or str(status)


def in_model(row: Row, *, is_location: bool) -> str:
    relay = Relay()
    relay.connect({"A": "http://127.0.0.1:8001", "B": "http://127.0.0.1:8002"})
    relay.location = relay.fill_in(row)
    try:
        status = Browser(relay, "http://127.0.0.1:8001").fetch("/from" if is_location else relay.location).status
    except CORSError:
        return relay.outcome(None)
    return relay.outcome(status)


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in REDIRECTS.items()])
def test_redirects_in_the_model(row: Row) -> None:
    assert in_model(row, is_location=True) == row.arrives


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in FETCHES.items()])
def test_fetches_in_the_model(row: Row) -> None:
    assert in_model(row, is_location=False) == row.arrives


class Connected(NamedTuple):
    session: Session
    relay: Relay

    def outcome(self, row: Row, *, is_location: bool) -> str:
        self.relay.location = self.relay.fill_in(row)
        url = "/from" if is_location else self.relay.location
        job = {"id": "url", "opaque": False, "fetches": [{"url": url, "init": {}}]}
        [result] = self.session.fetch_all([job])["url"]
        return self.relay.outcome(result["status"])


@pytest.fixture(scope="module", params=ENGINES, ids=str)
def connected(request: pytest.FixtureRequest) -> Iterator[Connected]:
    engine: Engine = request.param
    if not engine.is_installed:
        pytest.skip(f"needs {engine}")
    relay = Relay()
    with Session(engine, relay) as session:
        relay.connect(session.origins)
        yield Connected(session, relay)


@pytest.mark.browser
@pytest.mark.parametrize(("rows", "is_location"), [(REDIRECTS, True), (FETCHES, False)], ids=["redirects", "fetches"])
def test_urls_in_the_engine(connected: Connected, rows: Mapping[str, Row], is_location: bool) -> None:
    seen = {name: connected.outcome(row, is_location=is_location) for name, row in rows.items()}
    assert seen == {name: row.in_engine(connected.session.engine) for name, row in rows.items()}


def test_the_page_on_engines_lists_the_differences() -> None:
    text = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8").partition("\n## URLs\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| `(.+?)` \| `(.+?)` \| `(.+?)` \| `(.+?)` \|$", text, re.MULTILINE)
    documented = {name: [cell.replace("\\|", "|") for cell in cells] for name, *cells in rows}
    differing = {name: row for name, row in {**REDIRECTS, **FETCHES}.items() if row.differs}
    assert documented == {
        name: [outcome.removeprefix("A ") for outcome in (row.arrives, *(row.in_engine(engine) for engine in ENGINES))]
        for name, row in differing.items()
    }
