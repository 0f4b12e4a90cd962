"""Counts the statements of a connection to PostgreSQL from the bytes that pass."""

import struct
from collections.abc import Callable

from benchmarks.counting.model import ROUND_TRIPS, STATEMENTS, TRANSACTIONS, Counts

# https://www.postgresql.org/docs/current/protocol-message-formats.html
_QUERY, _EXECUTE, _SYNC, _PARSE, _BIND, _READY = b"Q", b"E", b"S", b"P", b"B", b"Z"
_CANCEL_REQUEST, _SSL_REQUEST, _GSS_REQUEST = 80877102, 80877103, 80877104
_REFUSED = b"N"
"""The server's whole answer to a client that asks for encryption."""
_BOUNDARIES = ("BEGIN", "COMMIT", "ROLLBACK")
PREFIX = "saga_"
"""The beginning of the name of a service's database. The rest is the service's name."""


class PostgresConnection:
    """Follows one connection: its database, and which statement text has which name."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._service = ""
        self._texts: dict[bytes, str] = {}
        self._bound = b""
        self._asked = self._answered = b""

    def asked(self, data: bytes) -> None:
        """Count the client's messages. The first ones have no kind."""
        self._asked += data
        while not self._service and len(self._asked) >= 8:
            size, code = struct.unpack_from("!ii", self._asked)
            if len(self._asked) < size:
                return
            if code not in (_CANCEL_REQUEST, _SSL_REQUEST, _GSS_REQUEST):
                self._service = _database(self._asked[8:size]).removeprefix(PREFIX)
            self._asked = self._asked[size:]
        if self._service:
            self._asked = _each_message(self._asked, self._count)

    def answered(self, data: bytes) -> None:
        """Count the server's messages: it is idle again after a transaction."""
        self._answered += data
        if not self._service:
            self._answered = self._answered.removeprefix(_REFUSED)
        self._answered = _each_message(self._answered, self._count_transaction)

    def _count(self, kind: bytes, body: bytes) -> None:
        if kind == _PARSE:
            name, text, _ = body.split(b"\0", 2)
            self._texts[name] = _one_line(text)
        elif kind == _BIND:
            self._bound = body.split(b"\0", 2)[1]
        elif kind == _EXECUTE:
            self._count_statement(self._texts.get(self._bound, "?"))
        elif kind == _QUERY:
            self._count_statement(_one_line(body.rstrip(b"\0")))
        if kind in (_QUERY, _SYNC):
            self._counts.whats[self._service][ROUND_TRIPS] += 1

    def _count_statement(self, text: str) -> None:
        if not text.upper().startswith(_BOUNDARIES):
            self._counts.whats[self._service][STATEMENTS] += 1
        self._counts.texts[self._service][text] += 1

    def _count_transaction(self, kind: bytes, body: bytes) -> None:
        if kind == _READY and body == b"I":
            self._counts.whats[self._service][TRANSACTIONS] += 1


def _database(parameters: bytes) -> str:
    """Return the database that a startup message names."""
    words = parameters.split(b"\0")
    return dict(zip(words[::2], words[1::2], strict=False)).get(b"database", b"?").decode()


def _each_message(data: bytes, count: Callable[[bytes, bytes], None]) -> bytes:
    """Call `count(kind, body)` for each whole message, and return the rest."""
    while len(data) >= 5:
        size = 1 + struct.unpack_from("!i", data, 1)[0]
        if len(data) < size:
            break
        count(data[:1], data[5:size])
        data = data[size:]
    return data


def _one_line(text: bytes) -> str:
    return " ".join(text.decode(errors="replace").split())
