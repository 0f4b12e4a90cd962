"""A link between two programs: passes, cut, silent, slow."""

import json
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from saga_lab.devstack.ports import free_port
from saga_lab.fakes.link import SLOW_S
from tests.outside_processes import Server
from tests.stack import PATIENCE_S

NAME = "here>there"


class Echo(socketserver.BaseRequestHandler):
    """Says what it hears."""

    def handle(self) -> None:
        with suppress(ConnectionError):
            while received := self.request.recv(1000):
                self.request.sendall(received)


@pytest.fixture(scope="module")
def listening() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def links(listening: int, port: int) -> Iterator[Server]:
    wanted = json.dumps({NAME: [port, listening]})
    server = Server("saga_lab.fakes.link", Path("unused"), "http://unused", SANDBOX_LINKS=wanted)
    yield server
    server.close()


@pytest.fixture
def caller(links: Server, port: int) -> Iterator[socket.socket]:
    change(links, "open")
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        assert answer(connection, b"hello") == b"hello"
        yield connection


def change(links: Server, mode: str) -> None:
    links.post("/control/link", {"name": NAME, "mode": mode}).raise_for_status()


def answer(connection: socket.socket, sent: bytes) -> bytes:
    connection.sendall(sent)
    return connection.recv(1000)


def test_a_cut_resets_who_is_connected_and_who_comes(
    links: Server, caller: socket.socket, port: int
) -> None:
    change(links, "cut")
    with pytest.raises(ConnectionError):
        caller.recv(1000)
    with (
        pytest.raises(ConnectionError),
        socket.create_connection(("127.0.0.1", port), PATIENCE_S) as late,
    ):
        late.recv(1000)
    change(links, "open")
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as again:
        assert answer(again, b"again") == b"again"


def test_a_silent_link_keeps_what_is_sent_until_it_is_open(
    links: Server, caller: socket.socket
) -> None:
    change(links, "silent")
    caller.settimeout(0.3)
    with pytest.raises(TimeoutError):
        answer(caller, b"anybody?")
    caller.settimeout(PATIENCE_S)
    change(links, "open")
    assert caller.recv(1000) == b"anybody?"


def test_a_slow_link_is_slow_both_ways(links: Server, caller: socket.socket) -> None:
    change(links, "slow")
    began = time.monotonic()
    assert answer(caller, b"hello") == b"hello"
    assert time.monotonic() - began >= 2 * SLOW_S


def test_a_link_that_is_not_there_is_named(links: Server) -> None:
    answered = links.post("/control/link", {"name": "nobody", "mode": "cut"})
    assert answered.status_code == 404
    assert NAME in answered.json()["error"]["message"]
