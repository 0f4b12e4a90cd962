"""An OpenID Connect issuer on this machine: it publishes its keys, and signs what a test wants."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
AUDIENCE = "the-sagas"
Key = RSAKey | ECKey | OKPKey


class Issuer:
    """An issuer with one RSA key. `published`: the keys it lists; `away`: it answers 503."""

    def __init__(self, url: str) -> None:
        self.url = self.calls_itself = url
        self.key = RSAKey.generate_key(2048, {"kid": "first"})
        self.published: list[Mapping[str, Any]] = [public(self.key)]
        self.away = False
        self.asked: list[str] = []

    def answer(self, path: str) -> Any:
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.calls_itself, "jwks_uri": f"{self.url}/keys"}
        return {"keys": self.published}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a good token, changed; `...` leaves one out."""
        at = int(NOW.timestamp())
        good = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "exp": at + 600, "iat": at}
        return {
            k: v
            for k, v in ({**good, "scope": "openid read decide"} | changes).items()
            if v is not ...
        }

    def token(self, key: Key | None = None, alg: str = "RS256", **changes: Any) -> str:
        """A token, signed with a key."""
        key = key or self.key
        return jwt.encode(
            {"alg": alg, "kid": key.kid}, self.claims(**changes), key, algorithms=[alg]
        )


def public(key: Key, **more: Any) -> dict[str, Any]:
    """A key as an issuer publishes it."""
    return {**key.as_dict(private=False), "kid": key.kid, "use": "sig", **more}


@contextmanager
def an_issuer() -> Iterator[Issuer]:
    """Serve an issuer until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(issuer.answer(self.path)).encode()
            self.send_response(503 if issuer.away else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
