"""The exported files: one policy for each edge, as a review sees it, and nothing that breaks out of a file's syntax.

``python tests/test_edge_files.py`` writes the files of tests/edges.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from test_edge_servers import PAGE
from test_export_command import LINE

from flask_preflight import Policy, Preflight, __version__, by_path
from flask_preflight.commands.export import EDGES, files_of
from flask_preflight.commands.targets import FlaskTarget
from flask_preflight.edge.app import rows_of_app
from flask_preflight.edge.rows import CannotExport, Row, rows_of

FOLDER = Path(__file__).parent / "edges"

# ---------------------------------------------------------------------------------------
# One policy
# ---------------------------------------------------------------------------------------

SHOWN: Any = by_path(
    {
        "/api": Policy(
            allow_origins=[PAGE, "https://*.frontend.com"],
            allow_methods=["GET", "PUT"],
            allow_headers=["Authorization", "Content-Type"],
            allow_credentials=True,
        ),
        "/api/open": Policy(allow_origins="*"),
        "/api/é": Policy(allow_origins=[PAGE]),
    }
)


def shown(edge: str) -> dict[str, str]:
    files = files_of(edge, rows_of(SHOWN), f"flask preflight export {edge}")
    return {name: text.replace(f"flask-preflight {__version__}", "flask-preflight") for name, text in files.items()}


@pytest.mark.parametrize("edge", EDGES)
def test_the_files_of_one_policy(edge: str) -> None:
    assert shown(edge) == {file.name: file.read_text(encoding="ascii") for file in (FOLDER / edge).iterdir()}


@pytest.mark.parametrize("edge", EDGES)
def test_every_file_says_how_it_is_used(edge: str) -> None:
    files = EDGES[edge].about
    assert shown(edge).keys() == files.keys()
    assert all(files[name] in text.splitlines()[2] for name, text in shown(edge).items())


# ---------------------------------------------------------------------------------------
# Limits
# ---------------------------------------------------------------------------------------

LIMITS = {
    "caddy": (1000, "Caddy compares origins one by one, and 1001 are too many: at most 1000"),
    "envoy": (10_000, "Envoy has all origins in one expression, and 10001 are too many: at most 10000"),
    "njs": (1000, "njs reads all origins for each request, and 1001 are too many: at most 1000."),
}


@pytest.mark.parametrize("edge", LIMITS)
def test_as_many_origins_as_an_edge_holds(edge: str) -> None:
    most, says = LIMITS[edge]
    origins = [f"https://{number}.example" for number in range(most + 1)]
    assert EDGES[edge].export(rows_of(Policy(allow_origins=origins[1:])))
    with pytest.raises(CannotExport, match=says):
        EDGES[edge].export(rows_of(Policy(allow_origins=origins)))


def test_as_many_bytes_as_cloudfront_takes() -> None:
    def export(count: int) -> dict[str, str]:
        origins = [f"https://{'a' * 50}.{number:050}.example" for number in range(count)]
        return files_of("cloudfront", rows_of(Policy(allow_origins=origins)), "the command")

    assert 10_000 < len(export(65)["cors-cloudfront.js"]) <= 10_240
    with pytest.raises(CannotExport, match=r"^cors-cloudfront\.js would have 10[0-9]{3} bytes, and cloudfront takes"):
        export(67)


@pytest.mark.parametrize(("edge", "says"), [("nginx", "than nginx takes"), ("haproxy", "than HAProxy takes")])
def test_lists_that_are_too_long(edge: str, says: str) -> None:
    names = [f"X-Header-{number}" for number in range(400)]
    with pytest.raises(CannotExport, match=f"^a list of methods or headers is longer {says}$"):
        EDGES[edge].export(rows_of(Policy(allow_origins=[PAGE], allow_headers=names)))


@pytest.mark.parametrize("edge", EDGES)
def test_nothing_to_grant(edge: str) -> None:
    with pytest.raises(CannotExport, match=r"^there is nothing that an edge could grant$"):
        EDGES[edge].export(rows_of(Policy()))


# ---------------------------------------------------------------------------------------
# Hostile names
# ---------------------------------------------------------------------------------------

# What may be between quotes: no quote, no backslash, no "$", and braces only around numbers
EXPRESSION = r"(?:[A-Za-z0-9_/:@~%.,?*+()|\[\]^# -]|\{[0-9]+,?[0-9]*\})*"
SPACELESS = EXPRESSION.replace(" -]", "-]").replace("(?:[", r"(?:\\x20|[")
VALUE = "[A-Za-z0-9*_:, /.-]+"
COMMENT = "[ -~]*"

HAPROXY_VALUE = rf'"(?:{VALUE}|%\[req\.fhdr\((?:origin|access-control-request-method)\)\])"'
CADDY_VALUE = rf'"(?:{VALUE}|\{{http\.request\.header\.(?:Origin|Access-Control-Request-Method)\}})"'

MARK = "[0-9a-f]{8}"

# The lines that hold something of a policy. The others are those of `SHOWN`.
LINES = {
    "nginx": [LINE.pattern],
    "haproxy": [
        f"#{COMMENT}",
        rf"\^{SPACELESS}\$ (?:app|g?[0-9]+|cors_mark_[0-9a-f]{{8}})",
        r"g[0-9]+\|[a-z0-9+.-]+://[a-z0-9_.:\[\]-]* 1",
        rf"http-request return status [0-9]+(?: hdr [A-Za-z-]+ {HAPROXY_VALUE})+ if "
        rf"\{{ var\(txn\.cors_row_{MARK}\) -m str g[0-9]+ \}} cors_once_{MARK} !cors_twice_{MARK} !cors_nul_{MARK} "
        f"cors_origin_{MARK} cors_asked_{MARK}",
    ],
    "caddy": [
        f"#{COMMENT}",
        rf'\t*"(?:~\^)?{EXPRESSION}\$?" (?:app|known|g[0-9]+)',
        rf"\t*header [A-Za-z-]+ {CADDY_VALUE}",
        r"\t*@cors_g[0-9]+ vars cors_grant g[0-9]+",
        r"\t*route @cors_g[0-9]+ \{",
        r'\t*respond "" [0-9]+',
    ],
    "envoy": [
        f"#{COMMENT}",
        r'- match: \{"prefix": "/", "headers": \[',
        r'  direct_response: \{"status": [0-9]+\}',
        rf'    \{{"header": \{{"key": "[A-Za-z-]+", "value": "(?:{VALUE}|%REQ\([a-z-]+\)%)"\}}\}}[,\]]',
        r'    \{"name": "[:a-z-]+", "string_match": \{"safe_regex": \{"regex": '
        rf'"(?:{EXPRESSION}|\\\\[.\[\]-])*"\}}\}}'
        r'(?:, "(?:invert_match|treat_missing_header_as_empty)": true)?\}(?:,|\]\})',
    ],
    **{
        platform: [
            f"//{COMMENT}",
            rf'    \["{EXPRESSION}", -?[0-9]+\],',
            r"    \{.*\},",  # looked at below
        ]
        for platform in ("njs", "worker", "cloudfront")
    },
}

HOSTILE = "\"'$@`{}()[]<>;:#\\ \t\n\r\0\x0b\x85\u2028é%^|*+?!&~,./-_ab1"


# https://www.rfc-editor.org/rfc/rfc9110#name-tokens
TOKEN = "!#$%&'*+.^_`|~-ab1"


def hostile_text() -> st.SearchStrategy[str]:
    return st.text(alphabet=HOSTILE, min_size=1, max_size=8)


@st.composite
def hostile_rows(draw: st.DrawFn) -> list[Row]:
    """Rows with hostile names wherever a policy or an app has names, and with something to grant."""
    if draw(st.booleans()):
        return _rows_of_app([draw(hostile_text()) for _ in range(2)])
    policies = {"/good": Policy(allow_origins=[PAGE])}
    for name, fields in draw(
        st.lists(st.tuples(st.one_of(st.just("a"), hostile_text()), hostile_fields()), max_size=2)
    ):
        with suppress(ValueError):
            more = {**policies, f"/{name}": Policy(**fields)}
            by_path(more)
            policies = more
    found: Any = by_path(policies)
    return rows_of(found, draw(st.sampled_from(["", "/mount"])))


def hostile_fields() -> st.SearchStrategy[Any]:
    names = st.one_of(st.just("X-A"), st.text(alphabet=TOKEN, min_size=1, max_size=4))
    origins = st.one_of(st.sampled_from([PAGE, "http://[::1]:1", "*"]), hostile_text().map("https://{}".format))
    return st.fixed_dictionaries(
        {
            "allow_origins": st.lists(origins, min_size=1, max_size=2),
            "allow_methods": st.lists(names, min_size=1, max_size=2),
            "allow_headers": st.lists(names, max_size=2),
        }
    )


def _rows_of_app(names: list[str]) -> list[Row]:
    app = Flask("hostile", static_folder=None)
    Preflight(app, allow_origins=[PAGE])
    app.add_url_rule("/good", "good", lambda: "", methods=["PUT"])
    for number, name in enumerate(names):
        for rule in (f"/{name}", f"/<any({name!r}, z):n>/c", f"/x{name}<n>"):
            with suppress(ValueError, LookupError):  # Werkzeug refuses some
                app.add_url_rule(rule, f"{number} {rule}", lambda **_: "", methods=["PUT"])
    return rows_of_app(FlaskTarget(app))


def unmarked(line: str) -> str:
    return re.sub(rf"(\bcors_[a-z]+)_{MARK}\b", r"\1", line)


def lines_of(files: dict[str, str]) -> Iterator[str]:
    for text in files.values():
        yield from text.split("\n")


@pytest.mark.parametrize("edge", EDGES)
@given(rows=hostile_rows())
@pytest.mark.slow
def test_nothing_breaks_out_of_the_syntax_of_a_file(edge: str, rows: list[Row]) -> None:
    fixed, allowed = (
        {unmarked(line) for line in lines_of(shown(edge))},
        re.compile("|".join(f"(?:{line})" for line in LINES[edge])),
    )
    files = files_of(edge, rows, "the command")
    assert files.keys() == EDGES[edge].about.keys()
    for line in lines_of(files):
        assert unmarked(line) in fixed or allowed.fullmatch(line), line
        if edge in {"njs", "worker", "cloudfront"} and line.startswith("    {"):
            assert all(re.fullmatch(rf"{EXPRESSION}|\{{[a-z]+\}}", text) for text in _texts(json.loads(line[:-1])))


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, list | dict):
        for each in data.values() if isinstance(data, dict) else data:
            yield from _texts(each)


if __name__ == "__main__":
    for each in EDGES:
        (FOLDER / each).mkdir(exist_ok=True)
        for file_name, written in shown(each).items():
            (FOLDER / each / file_name).write_text(written, encoding="ascii")
