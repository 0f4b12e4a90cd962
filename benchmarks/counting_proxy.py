"""Counts what a contender asks of PostgreSQL, in a proxy between its processes and the server.

Counts do not depend on the machine or its load, and any client is counted alike.
"""

import asyncio
import struct
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

HOST = "127.0.0.1"
CHUNK = 65_536
SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
TRANSACTIONS, STATEMENTS, ROUND_TRIPS = "transactions", "statements", "round trips"
WHATS = (TRANSACTIONS, STATEMENTS, ROUND_TRIPS)
# https://www.postgresql.org/docs/current/protocol-message-formats.html
_QUERY, _EXECUTE, _SYNC, _PARSE, _READY = b"Q", b"E", b"S", b"P", b"Z"
_BOUNDARIES = ("BEGIN", "COMMIT", "ROLLBACK")


@dataclass
class Counts:
    """Counts per database: `whats` of WHATS, and how often each statement's text was executed."""

    whats: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    texts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def clear(self) -> None:
        """Forget everything counted so far."""
        self.whats.clear()
        self.texts.clear()


class _Client:
    """Follows one connection: which database, which statement text has which name."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self.database = ""
        self._texts: dict[bytes, str] = {}
        self._bound = b""

    def asked(self, kind: bytes, body: bytes) -> None:
        """Count a message of the client."""
        whats = self._counts.whats[self.database]
        if kind == _PARSE:
            name, text, _ = body.split(b"\0", 2)
            self._texts[name] = " ".join(text.decode(errors="replace").split())
        elif kind == b"B":
            self._bound = body.split(b"\0", 2)[1]
        elif kind == _EXECUTE:
            self._executed(self._texts.get(self._bound, "?"))
        elif kind == _QUERY:
            self._executed(" ".join(body.rstrip(b"\0").decode(errors="replace").split()))
            whats[ROUND_TRIPS] += 1
        elif kind == _SYNC:
            whats[ROUND_TRIPS] += 1

    def _executed(self, text: str) -> None:
        if not text.upper().startswith(_BOUNDARIES):
            self._counts.whats[self.database][STATEMENTS] += 1
        self._counts.texts[self.database][text] += 1

    def answered(self, kind: bytes, body: bytes) -> None:
        """Count a message of the server: it is idle again after a transaction."""
        if kind == _READY and body == b"I":
            self._counts.whats[self.database][TRANSACTIONS] += 1


@contextmanager
def counting(url: str) -> Iterator[tuple[int, Counts]]:
    """Run a proxy before the server of this URL; yield its port and what it counts."""
    counts, parts = Counts(), urlsplit(url)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(parts.hostname, parts.port)
        client = _Client(counts)
        await asyncio.gather(
            _forward(reader, there[1], client.asked, client),
            _forward(there[0], writer, client.answered, None),
            return_exceptions=True,
        )

    serving = asyncio.run_coroutine_threadsafe(asyncio.start_server(serve, HOST, 0), loop)
    server = serving.result()
    try:
        yield server.sockets[0].getsockname()[1], counts
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _forward(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    report: Callable[[bytes, bytes], None],
    starting: _Client | None,
) -> None:
    """Pass bytes on as they come, and report each whole message.

    `starting`: the client, whose first messages have no kind; the server answers its question for
    TLS with one byte.
    """
    kept, first = b"", True
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
            kept += data
            if starting is None and first and kept[:1] == b"N":
                kept = kept[1:]
            first = False
            while starting and not starting.database and len(kept) >= 8:
                size, code = struct.unpack_from("!ii", kept)
                if code not in (SSL_REQUEST, GSS_REQUEST):
                    words = kept[8:size].split(b"\0")
                    starting.database = dict(zip(words[::2], words[1::2], strict=False))[
                        b"database"
                    ].decode()
                kept = kept[size:]
            if starting and not starting.database:
                continue
            while len(kept) >= 5:
                size = 1 + struct.unpack_from("!i", kept, 1)[0]
                if len(kept) < size:
                    break
                report(kept[:1], kept[5:size])
                kept = kept[size:]
    finally:
        writer.close()
