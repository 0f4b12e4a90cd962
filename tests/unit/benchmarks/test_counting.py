"""What the proxies count, whatever pieces the bytes come in; and that they pass on every byte."""

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from benchmarks.counting.kafka import KafkaConnection
from benchmarks.counting.model import (
    KAFKA_REQUESTS,
    ROUND_TRIPS,
    STATEMENTS,
    TRANSACTIONS,
    Counts,
)
from benchmarks.counting.postgres import PostgresConnection
from benchmarks.counting.proxy import HOST, Observer, Route, run_proxies
from benchmarks.counts import counts_an_order

PIECES = (1, 3, 7, 10_000)


def feed(take: object, data: bytes, size: int) -> None:
    assert callable(take)
    for start in range(0, len(data), size):
        take(data[start : start + size])


def startup(database: str) -> bytes:
    words = f"user\0saga\0database\0{database}\0\0".encode()
    return struct.pack("!ii", 8 + len(words), 196608) + words


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", 4 + len(body)) + body


def request(key: int, body: bytes) -> bytes:
    return struct.pack("!ih", 2 + len(body), key) + body


@pytest.mark.parametrize("size", PIECES)
def test_statements_are_counted_for_the_service_of_the_database(size: int) -> None:
    """Given a client that asked for TLS in vain; when it runs a prepared statement twice between
    BEGIN and COMMIT; then these are two statements and one transaction."""
    counts = Counts()
    connection = PostgresConnection(counts)
    feed(connection.asked, struct.pack("!ii", 8, 80877103), size)
    feed(connection.answered, b"N", size)
    feed(connection.asked, startup("saga_payment"), size)
    feed(connection.answered, message(b"R", b"\0\0\0\0") + message(b"Z", b"I"), size)
    counts.clear()

    prepared = message(b"P", b"s1\0select\n 1\0\0\0") + message(b"B", b"\0s1\0\0\0\0\0\0\0")
    again = message(b"B", b"\0s1\0\0\0\0\0\0\0") + message(b"E", b"\0\0\0\0\0") + message(b"S")
    feed(connection.asked, message(b"Q", b"BEGIN\0"), size)
    feed(connection.answered, message(b"Z", b"T"), size)
    feed(connection.asked, prepared + message(b"E", b"\0\0\0\0\0") + message(b"S") + again, size)
    feed(connection.answered, 2 * message(b"Z", b"T"), size)
    feed(connection.asked, message(b"Q", b"COMMIT\0"), size)
    feed(connection.answered, message(b"Z", b"I"), size)

    assert counts.whats == {"payment": {STATEMENTS: 2, ROUND_TRIPS: 4, TRANSACTIONS: 1}}
    assert counts.texts["payment"] == {"BEGIN": 1, "select 1": 2, "COMMIT": 1}


def test_a_request_to_cancel_is_no_connection_to_a_database() -> None:
    counts = Counts()
    PostgresConnection(counts).asked(struct.pack("!iiii", 16, 80877102, 1, 2))
    assert not counts.whats


@pytest.mark.parametrize("size", PIECES)
def test_kafka_requests_are_counted_by_name(size: int) -> None:
    counts = Counts()
    connection = KafkaConnection(counts, "payment")
    sent = request(18, b"") + request(0, b"x" * 100) + request(1, b"y") + request(999, b"z" * 20)
    feed(connection.asked, 2 * sent, size)

    assert counts.whats == {"payment": {KAFKA_REQUESTS: 8}}
    assert counts.requests["payment"] == {"ApiVersions": 2, "Produce": 2, "Fetch": 2, "API 999": 2}


def test_counts_of_an_order_and_of_all_services() -> None:
    """Given services with counts, one of Kafka alone; then each has a row, and there is a sum."""
    counts = Counts()
    counts.whats["payment"].update({TRANSACTIONS: 20, STATEMENTS: 40, ROUND_TRIPS: 60})
    counts.whats["monitor"].update({KAFKA_REQUESTS: 10})

    assert counts_an_order(counts.snapshot(), 10) == {
        "monitor": [0, 0, 0, 1],
        "payment": [2, 4, 6, 0],
        "together": [2, 4, 6, 1],
    }


class Recorded(Observer):
    """Remembers what passes."""

    def __init__(self, seen: list[tuple[str, bytes]]) -> None:
        self._seen = seen

    def asked(self, data: bytes) -> None:
        self._seen.append(("asked", data))

    def answered(self, data: bytes) -> None:
        self._seen.append(("answered", data))


class Capitals(socketserver.BaseRequestHandler):
    """Sends back what it gets, in capitals."""

    def handle(self) -> None:
        while data := self.request.recv(1000):
            self.request.sendall(data.upper())


@contextmanager
def server() -> Iterator[int]:
    with socketserver.ThreadingTCPServer((HOST, 0), Capitals) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running.server_address[1]
        running.shutdown()
        thread.join()


def joined(seen: Sequence[tuple[str, bytes]], side: str) -> bytes:
    return b"".join(data for whose, data in seen if whose == side)


def test_a_proxy_passes_on_what_both_sides_say() -> None:
    """Given a server behind a proxy; when a client talks to it; then the observer sees it all."""
    seen: list[tuple[str, bytes]] = []
    with (
        server() as port,
        run_proxies([Route(0, (HOST, port), lambda: Recorded(seen))]) as (listening,),
        socket.create_connection((HOST, listening)) as client,
    ):
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        got = b""
        while data := client.recv(1000):
            got += data
    assert got == b"HELLO"
    assert joined(seen, "asked") == b"hello"
    assert joined(seen, "answered") == b"HELLO"
