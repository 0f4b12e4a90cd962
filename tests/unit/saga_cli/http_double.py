"""A server that gives every request the same answer, and a home whose stack.json leads to it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PROCESSES = ("monitor", "order", "inventory")


class Double(ThreadingHTTPServer):
    """Answers with these bytes, and with `known` which sagas a name may mean, unless it is None.

    `asked`: the paths asked for.
    """

    daemon_threads = True

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.body, self.headers = status, body, headers
        self.asked: list[str] = []
        self.known: str | None = None
        self.write: Callable[[BaseHTTPRequestHandler], None] = lambda handler: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Double

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        known = self.server.known
        if known is not None and self.path.startswith("/candidates"):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps([{"saga": known}]).encode())
            return
        self.server.asked.append(self.path)
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)
        self.server.write(self)

    do_POST = do_GET


@contextmanager
def answering(
    home: Path,
    status: int,
    body: bytes,
    headers: dict[str, str] | None = None,
    write: Callable[[BaseHTTPRequestHandler], None] | None = None,
    known: str | None = None,
) -> Iterator[Double]:
    """Serve the answer, and what `write` adds to it, until the block ends.

    known: the saga that every name means; None: that answer is the same as all others.
    """
    double = Double(status, body, headers or {})
    double.write = write or double.write
    double.known = known
    addresses = dict.fromkeys(PROCESSES, double.url)
    content = {"processes": {"monitor": {}}, "urls": addresses}
    (home / "stack.json").write_text(json.dumps(content))
    threading.Thread(target=double.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield double
    finally:
        double.shutdown()
        double.server_close()
