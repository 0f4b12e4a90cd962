"""A pooler as PgBouncer in transaction mode: a session of the server for each transaction."""

import contextlib
import socket
import struct
import threading

import psycopg

SSL_REQUEST = 80877103
ENDS_GROUP = b"QS"
"""Messages of a client that the server answers with ReadyForQuery."""


class TransactionPooler:
    """Listens on a port of its own; `session_mode` keeps a session for each client instead."""

    def __init__(self, url: str, *, session_mode: bool = False) -> None:
        self._target, self._session_mode = url, session_mode
        self._idle: list[psycopg.Connection[tuple[object, ...]]] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        place = self._listener.getsockname()[1]
        user = url.partition("//")[2].partition("@")[0].partition(":")[0]
        self.url = f"postgresql://{user}@127.0.0.1:{place}/{url.rpartition('/')[2]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more clients, and close the sessions."""
        self._listener.close()
        while self._idle:
            self._idle.pop().close()

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            number += 1
            threading.Thread(target=self._guarded, args=(client, number), daemon=True).start()

    def _guarded(self, client: socket.socket, number: int) -> None:
        with client, contextlib.suppress(OSError, EOFError, psycopg.Error):
            self._serve(client, number)

    def _serve(self, client: socket.socket, number: int) -> None:
        while True:
            (length,) = struct.unpack("!i", _exactly(client, 4))
            startup = _exactly(client, length - 4)
            if struct.unpack("!i", startup[:4]) != (SSL_REQUEST,):
                break
            client.sendall(b"N")
        client.sendall(_frame(b"R", struct.pack("!i", 0)))
        for name, value in {"client_encoding": "UTF8", "server_version": "18.0"}.items():
            client.sendall(_frame(b"S", f"{name}\0{value}\0".encode()))
        # PgBouncer gives each client a random process id, none of the server's
        client.sendall(_frame(b"K", struct.pack("!ii", 1_000_000_000 + number, 1)))
        client.sendall(_frame(b"Z", b"I"))
        self._pass_on(client)

    def _pass_on(self, client: socket.socket) -> None:
        """Pass on a client's messages until it ends; close the session that it still holds."""
        session = None
        try:
            while (found := _message(client))[0] != b"X":
                kind, body = found
                session = session or self._take()
                with socket.socket(fileno=socket.dup(session.fileno())) as server:
                    server.setblocking(True)
                    server.sendall(_frame(kind, body))
                    free = kind in ENDS_GROUP and _answers(server, client) == b"I"
                if free and not self._session_mode:
                    self._give_back(session)
                    session = None
        finally:
            if session is not None:
                session.close()

    def _take(self) -> "psycopg.Connection[tuple[object, ...]]":
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return psycopg.connect(self._target, autocommit=True)

    def _give_back(self, session: "psycopg.Connection[tuple[object, ...]]") -> None:
        with self._lock:
            self._idle.append(session)


def _answers(server: socket.socket, client: socket.socket) -> bytes:
    """Pass on the server's answers up to ReadyForQuery; return its status."""
    while True:
        kind, body = _message(server)
        client.sendall(_frame(kind, body))
        if kind == b"Z":
            return body


def _message(peer: socket.socket) -> tuple[bytes, bytes]:
    kind = _exactly(peer, 1)
    (length,) = struct.unpack("!i", _exactly(peer, 4))
    return kind, _exactly(peer, length - 4)


def _frame(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _exactly(peer: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = peer.recv(size - len(found))
        if not part:
            raise EOFError
        found += part
    return found
