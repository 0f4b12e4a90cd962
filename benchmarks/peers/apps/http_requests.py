"""Reads the requests that come to a choreography over HTTP: orders, and the carrier's webhook."""

import hmac
import time
from collections.abc import Mapping
from hashlib import sha256

import orjson

from benchmarks.peers.apps.steps import CONFLICT, PLACED, REPEATED, Order

ORDERS, WEBHOOK = "/orders", "/webhooks/carrier"
SIGNATURE = "Saga-Signature"
PICKUP = "label.picked_up"
FACTS = "select facts from shipment where order_id = %s"
TOLERANCE_S = 300
STATUSES: Mapping[str, int] = {PLACED: 201, REPEATED: 200, CONFLICT: 409}
"""The answer of `steps.place` -> the status to answer."""
TOO_EARLY = 503
"""The label is not stored yet: the carrier reports the pickup again."""


class Refused(Exception):
    """The request is answered with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"refused with {status}")
        self.status = status


def order_of(body: bytes) -> Order:
    """Return the order of a request to place it. Raises Refused."""
    try:
        asked = orjson.loads(body)
        total = sum(line["quantity"] * line["unit_price_minor"] for line in asked["lines"])
        return {**asked, "order_id": str(asked["order_id"]), "total_minor": total}
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(422) from error


def picked_up_order(secret: str, body: bytes, signature: str) -> str | None:
    """Return the id of the order whose pickup a webhook reports, None for another report.

    Raises Refused unless it is signed with the secret and at most `TOLERANCE_S` old.
    """
    parts = dict(part.partition("=")[::2] for part in signature.split(","))
    at = parts.get("t", "")
    expected = hmac.new(secret.encode(), f"{at}.".encode() + body, sha256).hexdigest()
    fresh = at.isdigit() and abs(time.time() - int(at)) <= TOLERANCE_S
    if not fresh or not hmac.compare_digest(parts.get("v1", ""), expected):
        raise Refused(401)
    event = orjson.loads(body)
    return str(event["data"]["reference"]) if event["type"] == PICKUP else None
