"""Runs a fake wrapper in memory: `python examples/giftwrap/fake_wrapper.py [PORT]`.

A repeated call for a reference gives the first answer again. One that was unwrapped is never
wrapped any more.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

HOST, PORT = "127.0.0.1", 8090
WRAPPED = {"status": "wrapped", "paper": "red"}
UNWRAPPED = {"status": "no_paper", "reason": "unwrapped"}

answers: dict[str, dict[str, str]] = {}
lock = Lock()


class WrapperHandler(BaseHTTPRequestHandler):
    """Serves `POST /wraps` and `POST /unwraps`; both bodies have a `reference`."""

    def do_POST(self) -> None:
        """Answer one call. The name is that of `http.server`."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with lock:
            if self.path == "/unwraps":
                answers[body["reference"]] = UNWRAPPED
            answer = answers.setdefault(body["reference"], WRAPPED)
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else PORT
    server = ThreadingHTTPServer((HOST, port), WrapperHandler)
    print(f"the fake wrapper listens on http://{HOST}:{port}", flush=True)
    server.serve_forever()
