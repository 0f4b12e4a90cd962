"""A schema registry over HTTP in this process, which can be in trouble."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HTML = b"<html>Down for maintenance</html>"


class RegistryDouble(ThreadingHTTPServer):
    """Answers as a Confluent registry does; `trouble` says how it fails look-ups of schemas.

    unavailable: 503; page: 200 with HTML; unknown: 404, as a replica that lags behind.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.trouble = ""
        self.schemas: dict[int, str] = {}
        self.asked = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, schema: Any) -> int:
        """Register a schema, and return its id."""
        text = json.dumps(schema)
        known = {t: number for number, t in self.schemas.items()}
        return known.get(text) or self._keep(text)

    def _keep(self, text: str) -> int:
        self.schemas[len(self.schemas) + 1] = text
        return len(self.schemas)

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        """Answer a request."""
        _, kind, *rest = path.partition("?")[0].split("/")
        if kind == "schemas":
            self.asked += 1
            number = int(rest[1])
            if self.trouble in ("unavailable", "page"):
                return (503, b"{}") if self.trouble == "unavailable" else (200, HTML)
            if self.trouble == "unknown" or number not in self.schemas:
                return 404, json.dumps({"error_code": 40403, "message": "not found"}).encode()
            return 200, json.dumps({"schema": self.schemas[number]}).encode()
        if kind == "subjects" and method == "POST":
            return 200, json.dumps({"id": self.add(json.loads(body["schema"]))}).encode()
        return 200, b'{"compatibilityLevel": "FULL_TRANSITIVE"}'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RegistryDouble

    def _serve(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, body = self.server.answer(self.command, self.path, json.loads(content or b"{}"))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = _serve

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


@contextmanager
def registry_double() -> Iterator[RegistryDouble]:
    """Run one."""
    double = RegistryDouble()
    try:
        yield double
    finally:
        double.shutdown()
        double.server_close()
