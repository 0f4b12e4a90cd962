"""Signs and verifies webhooks with the header `Saga-Signature: t=<unix seconds>,v1=<hex>`.

`v1` is the HMAC-SHA256 over `<t>.<body>`. The scheme is Stripe's
(https://docs.stripe.com/webhooks#verify-manually).
"""

import hashlib
import hmac
from datetime import datetime

from sagakit.errors import SagaError

TOLERANCE_S = 300
HEADER = "Saga-Signature"


class BadSignature(SagaError):
    """The caller does not hold the secret, or replays an old call. Answered with 401."""


def sign(secret: str, body: bytes, at: int) -> str:
    """Return the header for a body sent at Unix second `at`."""
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


def verify(secret: str, body: bytes, signature: str | None, now: datetime) -> None:
    """Verify the signature header of a body. Raises BadSignature that says what is wrong."""
    if not signature:
        raise BadSignature(f"the {HEADER} header is missing; sign the request")
    parts = dict(p.partition("=")[::2] for p in signature.split(","))
    sent = parts.get("t", "")
    if not (sent.isascii() and sent.isdigit() and len(sent) < 16):
        raise BadSignature(f"{HEADER} has no time (t=<unix seconds>)")
    if abs(now.timestamp() - int(sent)) > TOLERANCE_S:
        raise BadSignature(
            f"{HEADER} is more than {TOLERANCE_S} s off this clock; check both clocks"
        )
    expected, given = sign(secret, body, int(sent)), f"t={int(sent)},v1={parts.get('v1', '')}"
    if not hmac.compare_digest(expected.encode(), given.encode()):  # bytes: it takes only ASCII str
        raise BadSignature(f"{HEADER} does not match the body; check the shared secret")
