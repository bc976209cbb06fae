"""A server that says what a test wants, byte for byte, right or wrong, over TLS or not."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

Talk = Callable[[socket.socket], object]
"""What is done with a connection after the head of its request was read. It is closed afterwards."""

SECONDS_OF_PATIENCE = 20  # a bound, not a wait


class RawServer:
    """A server on a free port of loopback."""

    def __init__(self, listener: socket.socket, talk: Talk, tls: ssl.SSLContext | None) -> None:
        self.port: int = listener.getsockname()[1]
        self.heads: list[str] = []
        """What was read of each request: up to the empty line."""
        self._talk = talk
        self._tls = tls

    def serve(self, connection: socket.socket) -> None:
        connection.settimeout(SECONDS_OF_PATIENCE)
        with ExitStack() as exits, suppress(OSError):  # the client may leave whenever it likes
            exits.enter_context(connection)
            if self._tls:
                connection = exits.enter_context(self._tls.wrap_socket(connection, server_side=True))
            self.heads.append(read_head(connection))
            self._talk(connection)


@contextmanager
def raw_server(talk: Talk, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = RawServer(listener, talk, tls)
        ended = threading.Event()
        accepting = threading.Thread(target=_accept, args=(listener, server, ended))
        accepting.start()
        try:
            yield server
        finally:
            ended.set()
            accepting.join()


def _accept(listener: socket.socket, server: RawServer, ended: threading.Event) -> None:
    listener.settimeout(0.02)
    threads: list[threading.Thread] = []
    while not ended.is_set():
        with suppress(TimeoutError):
            connection, _ = listener.accept()
            threads.append(threading.Thread(target=server.serve, args=(connection,)))
            threads[-1].start()
    for thread in threads:
        thread.join()


def read_head(connection: socket.socket) -> str:
    head = b""
    while not head.endswith(b"\r\n\r\n") and head != b"\x16":  # the first byte of TLS
        byte = connection.recv(1)
        if not byte:
            raise ConnectionError
        head += byte
    return head.decode("latin-1")


# ---------------------------------------------------------------------------------------
# What it may say
# ---------------------------------------------------------------------------------------


def saying(*parts: bytes) -> Talk:
    return lambda connection: connection.sendall(b"".join(parts))


def forever(part: bytes, *, first: bytes = b"", pause: float = 0) -> Talk:
    """Say *first*, then *part* again and again with *pause* seconds in between, until the client leaves."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(part)
            time.sleep(pause)

    return talk


def silent(connection: socket.socket) -> None:
    """Say nothing, until the client leaves."""
    while connection.recv(65536):
        pass


def leaving(*parts: bytes) -> Talk:
    """Say it, end, and read what still comes, so that nothing of it is lost."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"".join(parts))
        connection.shutdown(socket.SHUT_WR)
        silent(connection)

    return talk
