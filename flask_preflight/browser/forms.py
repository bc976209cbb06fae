"""How a form becomes a query or a body: https://html.spec.whatwg.org/multipage/form-control-infrastructure.html."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from secrets import token_hex
from typing import Any, Final, Literal, cast
from urllib.parse import quote_plus

from .text import scalar, shown

__tracebackhide__ = True

File = tuple[str, bytes, str]
"""The name, the content and the type of a file; of an empty type, browsers make ``application/octet-stream``."""

FormData = Mapping[str, str | File] | Iterable[tuple[str, str | File]]
"""Names and values; pairs if a name comes twice."""

Enctype = Literal["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]

Entries = list[tuple[str, str | File]]


# https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#constructing-form-data-set
def read_entries(data: FormData) -> Entries:
    """The names and values of a form; ``TypeError`` for what is none."""
    if isinstance(data, (str, bytes)) or not isinstance(data, Iterable):
        raise TypeError(f"data: {_show(data)} is neither a mapping nor pairs; write {{'name': 'value'}}")
    pairs = list(data.items() if isinstance(data, Mapping) else data)
    return [_read_entry(pair) for pair in cast("list[object]", pairs)]


def _read_entry(pair: object) -> tuple[str, str | File]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"data: {_show(pair)} is not a pair of name and value; write {{'name': 'value'}}")
    name, value = pair
    if not isinstance(name, str) or not (isinstance(value, str) or _is_file(value)):
        advice = "write strings, and ('a.txt', b'...', 'text/plain') for a file"
        raise TypeError(f"data: {_show(name)}: {_show(value)} is not a field of a form; {advice}")
    return name, value


def _is_file(value: Any) -> bool:
    return isinstance(value, tuple) and [type(part) for part in value] == [str, bytes, str]


def _show(value: object) -> str:
    return shown(repr(value))


# https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#submit-body
def encode_body(entries: Entries, enctype: Enctype) -> tuple[str, bytes]:
    """The ``Content-Type`` and the body."""
    if enctype == "multipart/form-data":
        boundary = f"----FlaskPreflightFormBoundary{token_hex(16)}"
        return f"{enctype}; boundary={boundary}", _multipart(entries, boundary)
    encode = encode_query if enctype == "application/x-www-form-urlencoded" else _plain
    return enctype, encode(entries).encode()


# https://url.spec.whatwg.org/#concept-urlencoded-serializer
def encode_query(entries: Entries) -> str:
    return "&".join(f"{_percent_encoded(name)}={_percent_encoded(value)}" for name, value in _pairs(entries))


def _percent_encoded(text: str) -> str:
    return quote_plus(text, safe="*").replace("~", "%7E")


# https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#text/plain-encoding-algorithm
def _plain(entries: Entries) -> str:
    return "".join(f"{name}={value}\r\n" for name, value in _pairs(entries))


# https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#convert-to-a-list-of-name-value-pairs
def _pairs(entries: Entries) -> list[tuple[str, str]]:
    """Of files only the name is sent."""
    return [(_lines(name), _lines(value if isinstance(value, str) else value[0])) for name, value in entries]


_LINE_END: Final = re.compile("\r\n?|\n")


def _lines(text: str) -> str:
    return _LINE_END.sub("\r\n", scalar(text))


# https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart/form-data-encoding-algorithm
def _multipart(entries: Entries, boundary: str) -> bytes:
    parts = [_part(boundary, name, value) for name, value in entries]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()])


def _part(boundary: str, name: str, value: str | File) -> bytes:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_escaped(_lines(name))}"'
    if isinstance(value, str):
        return f"{head}\r\n\r\n{_lines(value)}\r\n".encode()
    file_name, content, content_type = value
    one_line = _LINE_END.sub(" ", scalar(content_type)) or "application/octet-stream"
    more = f'; filename="{_escaped(scalar(file_name))}"\r\nContent-Type: {one_line}\r\n\r\n'
    return f"{head}{more}".encode() + content + b"\r\n"


def _escaped(text: str) -> str:
    return text.replace("\n", "%0A").replace("\r", "%0D").replace('"', "%22")
