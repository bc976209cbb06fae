"""An HTTP/1.1 answer, read from a stream of bytes: https://httpwg.org/specs/rfc9112.html.

``http.client`` is not used. It takes status 103 for the answer, an incomplete head for a whole one, and the lines after
a malformed line for the body. The lost headers would look like a CORS failure.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from werkzeug.datastructures import Headers

from .. import fetch as words
from .text import shown
from .transport import MOST_BODY, MOST_HEAD, Answer, are_fields


class BadAnswer(Exception):
    """The server sent something that is no HTTP answer. The message says why, as the end of a sentence."""


def read_answer(file: BinaryIO, method: str, *, may_switch: bool = False) -> Answer:
    """Read the answer to a request whose method is *method*. *may_switch*: it asked for another protocol.

    Of *file*, no more is read than :data:`~.transport.MOST_HEAD` and :data:`~.transport.MOST_BODY` allow. Raises
    :class:`BadAnswer`, and what *file* raises.
    """
    stream = _Stream(file, "head", MOST_HEAD)
    # https://httpwg.org/specs/rfc9110.html#status.1xx: they may come before any answer.
    status, fields = _read_head(stream)
    while status < 200 and status != 101:
        status, fields = _read_head(stream)
    headers = Headers(fields)
    if status == 101 and not may_switch:
        raise BadAnswer("the server switched to another protocol (status 101)")
    stream.begin("body", MOST_BODY)
    return Answer(status, headers, _read_body(stream, method, status, headers))


class _Stream:
    """Reads lines and blocks, up to a number of bytes for each part of the answer."""

    def __init__(self, file: BinaryIO, part: str, most: int) -> None:
        self._file = file
        self.begin(part, most)

    def begin(self, part: str, most: int) -> None:
        self._part, self._most, self._left = part, most, most

    def line(self) -> str:
        """The next line, without its end."""
        line = self._spend(self._file.readline(self._left + 1))
        if not line.endswith(b"\n"):
            raise BadAnswer(f"the connection was closed before the {self._part} of the answer was complete")
        return line[:-1].removesuffix(b"\r").decode("latin-1")

    def block(self, length: int) -> bytes:
        """The next *length* bytes."""
        if length > self._left:
            raise self._too_long()
        data = self._spend(self._file.read(length))
        if len(data) < length:
            raise BadAnswer(f"the connection was closed {length - len(data):,} bytes before the end of the body")
        return data

    def rest(self) -> bytes:
        """All that comes until the connection is closed."""
        return self._spend(self._file.read(self._left + 1))

    def _spend(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise self._too_long()
        return data

    def _too_long(self) -> BadAnswer:
        return BadAnswer(f"the {self._part} of the answer is longer than {self._most:,} bytes")


# https://httpwg.org/specs/rfc9112.html#status.line
_STATUS_LINE = re.compile(r"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: [^\0\r]*)?")


# https://httpwg.org/specs/rfc9112.html#message.parsing
def _read_head(stream: _Stream) -> tuple[int, list[tuple[str, str]]]:
    line = stream.line()
    status = _STATUS_LINE.fullmatch(line)
    if status is None:
        raise BadAnswer(f"the answer does not begin as HTTP/1.1 does, but with {shown(line) or 'an empty line'}")
    return int(status[1]), _read_fields(stream)


# https://httpwg.org/specs/rfc9112.html#field.syntax
def _read_fields(stream: _Stream) -> list[tuple[str, str]]:
    fields: list[list[str]] = []
    while line := stream.line():
        # https://httpwg.org/specs/rfc9112.html#line.folding: "replace each received obs-fold with one or more SP"
        if fields and line[0] in words.TAB_OR_SPACE:
            fields[-1].append(line.strip(words.TAB_OR_SPACE))
        else:
            fields.append([line])
    return [_field(" ".join(lines)) for lines in fields]


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    field = (name, value.strip(words.TAB_OR_SPACE))
    if not colon or not are_fields([field]):
        raise BadAnswer(f"the answer has a line that is no header: {shown(line)}")
    return field


# https://httpwg.org/specs/rfc9112.html#message.body.length
def _read_body(stream: _Stream, method: str, status: int, headers: Headers) -> bytes:
    if method == "HEAD" or status in (101, 204, 304):
        return b""
    if codings := ", ".join(headers.getlist("Transfer-Encoding")):
        if codings.lower() != "chunked":
            raise BadAnswer(f"the answer has Transfer-Encoding: {shown(codings)}, which no browser asks for")
        return _read_chunks(stream)
    lengths = {item for line in headers.getlist("Content-Length") for item in words.split_list(line)}
    return stream.block(_content_length(lengths)) if lengths else stream.rest()


def _content_length(values: set[str]) -> int:
    value = ", ".join(sorted(values))
    if re.fullmatch("[0-9]+", value) is None:
        raise BadAnswer(f"the answer has Content-Length: {shown(value)}, which is no length")
    # More digits than these are more than can be read, too, and `int` refuses thousands of them.
    return int((value.lstrip("0") or "0")[:20])


# https://httpwg.org/specs/rfc9112.html#chunked.encoding
def _read_chunks(stream: _Stream) -> bytes:
    chunks: list[bytes] = []
    while size := _chunk_size(stream.line()):
        chunks.append(stream.block(size))
        if stream.line():
            raise BadAnswer("the answer has a chunk that is longer than it says")
    stream.begin("trailer", MOST_HEAD)
    while stream.line():  # no script can read it
        pass
    return b"".join(chunks)


def _chunk_size(line: str) -> int:
    size = re.fullmatch(r"([0-9A-Fa-f]{1,16})[\t ]*(?:;.*)?", line)
    if size is None:
        raise BadAnswer(f"the answer has a chunk whose size is no number: {shown(line)}")
    return int(size[1], 16)
