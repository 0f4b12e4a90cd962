"""The outside world as processes of their own, and who takes their webhooks: for tests of it, and
of those who call it."""

import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from saga_lab.devstack.ports import free_port
from tests.stack import PATIENCE_S, until

SECRET = "whsec_test_0123456789abcdefghijkl"
NOWHERE = "http://127.0.0.1:9/webhooks"
GIVES_UP = httpx2.Timeout(PATIENCE_S, read=0.3)
"""Of a client who does not wait for a slow answer."""
T = TypeVar("T")
Row = dict[str, Any]


class Receiver:
    """Takes webhooks, checks their signatures, and can be told to refuse the next few."""

    def __init__(self) -> None:
        self.events: list[Row] = []
        self.forged: list[bytes] = []
        self.refuse_next = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.take(body, self.headers["Saga-Signature"])
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks/test"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, body: bytes, signature: str) -> int:
        stamp, given = (part.split("=", 1)[1] for part in signature.split(","))
        mac = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256)
        if not hmac.compare_digest(mac.hexdigest(), given) or abs(time.time() - int(stamp)) > 60:
            self.forged.append(body)
        if self.refuse_next > 0:
            self.refuse_next -= 1
            return 500
        self.events.append(json.loads(body))
        return 200

    def of(self, reference: str) -> list[Row]:
        return [event for event in list(self.events) if event["data"]["reference"] == reference]

    def types(self, reference: str) -> list[str]:
        return [event["type"] for event in self.of(reference)]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Server:
    """A fake server, run by its module as a process, with an HTTP client to it."""

    def __init__(self, module: str, db: Path, webhook_url: str, **env: str) -> None:
        self.port = free_port()
        self._command = [sys.executable, "-m", module]
        self._env = os.environ | {
            "SANDBOX_PORT": str(self.port),
            "SANDBOX_DB": str(db),
            "SANDBOX_WEBHOOK_URL": webhook_url,
            "SANDBOX_WEBHOOK_SECRET": SECRET,
            **env,
        }
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx2.Client(base_url=self.url, trust_env=False, timeout=PATIENCE_S)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, env=self._env)
        until(self._ready, f"{self._command[-1]} is ready")

    def _ready(self) -> bool:
        assert self.process.poll() is None, "the server ended while it started"
        try:
            return self.http.get("/health/ready").is_success
        except httpx2.TransportError:
            return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)

    def post(self, path: str, body: Row, key: str | None = None) -> httpx2.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.http.post(path, json=body, headers=headers)

    def list(self, what: str, reference: str) -> list[Row]:
        asked = {"reference": reference}
        data: list[Row] = self.http.get(f"/v1/{what}", params=asked).json()["data"]
        return data

    def close(self) -> None:
        if self.process.poll() is None:
            self.stop()
        self.http.close()


def charge(
    provider: Server, order: str, token: str, amount_minor: object = 1001, key: str | None = None
) -> httpx2.Response:
    body = {
        "reference": order,
        "amount_minor": amount_minor,
        "currency": "EUR",
        "card_token": token,
    }
    return provider.post("/v1/charges", body, key or f"charge:{order}")


def refund(
    provider: Server, order: str, amount_minor: int = 1001, n: int = 1, **by: str
) -> httpx2.Response:
    body: Row = {"reference": order, "charge_id": None, "charge_key": f"charge:{order}"}
    body |= {"amount_minor": amount_minor, **by}
    return provider.post("/v1/refunds", body, f"refund:{order}:{n}")


def status_of(provider: Server, order: str) -> str:
    (row,) = provider.list("charges", order)
    status: str = row["status"]
    return status
