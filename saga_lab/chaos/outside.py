"""Faults of the outside world: payment provider, carrier, mail server, and what they call back."""

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx

from saga_lab.chaos.fault import Fault, Violation
from saga_lab.chaos.site import Site
from sagakit.web.signed_webhook import HEADER, TOLERANCE_S, sign

FOREVER_S = 600.0
"""Ended by `heal`; a server that restarts has forgotten it anyway."""
LISTENER = {"provider": ("payment", "charge.captured"), "carrier": ("shipping", "label.picked_up")}
LEDGER = {"provider": "charges", "carrier": "labels"}
FORGED = 20


@dataclass(frozen=True, slots=True)
class Misbehaving(Fault):
    """A server that is told to misbehave in one way, until it is told to behave."""

    way: ClassVar[str]

    def inject(self, site: Site) -> None:
        site.post(self.target, f"/control/{self.way}", {"seconds": FOREVER_S})

    def heal(self, site: Site) -> None:
        site.post(self.target, f"/control/{self.way}", {"seconds": 0})


class Out(Misbehaving):
    """Answers 503 (SMTP: 451) and does nothing."""

    way = "outage"


class Slow(Misbehaving):
    """Does what it is asked at once, and answers late."""

    way = "slow"


class Garbling(Misbehaving):
    """Does what it is asked, and answers garbage with status 200."""

    way = "garbage"


class CallbacksTwice(Misbehaving):
    """Posts every callback again, under the same id, a moment later."""

    way = "callbacks-twice"


class CallbacksReversed(Misbehaving):
    """Keeps callbacks back, then posts the last first."""

    way = "callbacks-reversed"


class CallbacksLate(Misbehaving):
    """Keeps callbacks back, then posts all of them."""

    way = "callbacks-late"


@dataclass(frozen=True, slots=True)
class CallbacksRepeated(Fault):
    """Callbacks of orders that ended long ago come once more, freshly signed."""

    def inject(self, site: Site) -> None:
        for row in _latest(site, self.target):
            body = {"order_id": row["order_id"]}
            site.request("POST", self.target, "/control/resend", json=body)


@dataclass(frozen=True, slots=True)
class CallbacksForged(Fault):
    """Somebody without the secret reports money and parcels that never moved."""

    def inject(self, site: Site) -> None:
        service, event_type = LISTENER[self.target]
        secret = str(site.content["secrets"][self.target])
        for row in _latest(site, self.target):
            event = {
                "id": f"evt_{uuid.uuid4().hex}",
                "type": event_type,
                "created": int(time.time()),
                "data": row,
            }
            body = json.dumps(event).encode()
            for signature in _forgeries(secret, body):
                headers = {HEADER: signature} if signature else {}
                path = f"/webhooks/{self.target}"
                try:
                    answer = site.request("POST", service, path, content=body, headers=headers)
                except httpx.TransportError:
                    continue  # another fault has the service
                if answer.status_code < 400:
                    raise Violation(f"{service} took a forged {event_type}, signed {signature!r}")


def _forgeries(secret: str, body: bytes) -> tuple[str | None, ...]:
    """No signature; one by another secret; a true one of another body; a true one, days old."""
    now = int(time.time())
    return (
        None,
        sign(f"not {secret}", body, now),
        sign(secret, body + b" ", now),
        sign(secret, body, now - 100 * TOLERANCE_S),
    )


def _latest(site: Site, server: str) -> list[dict[str, Any]]:
    """The last rows of a server's ledger; none while it does not answer."""
    try:
        path = f"/v1/{LEDGER[server]}"
        total = site.request("GET", server, path, params={"limit": 1}).json()["total"]
        page = {"limit": FORGED, "offset": max(0, total - FORGED)}
        rows: list[dict[str, Any]] = site.request("GET", server, path, params=page).json()["data"]
    except httpx.TransportError:
        return []
    return rows
