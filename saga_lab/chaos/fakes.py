"""Faults of the fakes and of their webhooks; an application names the targets."""

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx2

from saga_lab.chaos.fault import Fault, Violation
from saga_lab.chaos.site import Site
from sagakit.web.signed_webhook import HEADER, TOLERANCE_S, sign

FOREVER_S = 600.0
"""Longer than any fault lasts: `heal` ends it, and so does a restart of the server."""
FORGED = 20


@dataclass(frozen=True, slots=True)
class FakeFault(Fault):
    """Switch a fake to one kind of misbehaviour, and back on heal."""

    control: ClassVar[str]
    """Last part of the path of the fake's control request."""

    def inject(self, site: Site) -> None:
        site.post(self.target, f"/control/{self.control}", {"seconds": FOREVER_S})

    def heal(self, site: Site) -> None:
        site.post(self.target, f"/control/{self.control}", {"seconds": 0})


class Outage(FakeFault):
    """The server answers 503 (SMTP: 451) and does nothing."""

    control = "outage"


class SlowAnswers(FakeFault):
    """The server executes a request at once, and answers late."""

    control = "slow"


class GarbageAnswers(FakeFault):
    """The server executes a request, and answers garbage with status 200."""

    control = "garbage"


class HostileAnswers(FakeFault):
    """The server executes a request, and answers with what it was sent, and control characters."""

    control = "hostile"


class HugeAnswers(FakeFault):
    """The server executes a request, and answers with far more bytes than anyone should read."""

    control = "huge"


class StoredFailures(FakeFault):
    """The server executes a request, answers 500, and repeats that under its key for ever."""

    control = "stored"


class Ban(FakeFault):
    """The server answers 429 with Retry-After, and does nothing."""

    control = "banning"


class DuplicateCallbacks(FakeFault):
    """The server posts every webhook again a moment later, under the same event id."""

    control = "callbacks-twice"


class ReversedCallbacks(FakeFault):
    """The server withholds webhooks, then posts them in reverse order."""

    control = "callbacks-reversed"


class DelayedCallbacks(FakeFault):
    """The server withholds webhooks, then posts all of them at once."""

    control = "callbacks-late"


@dataclass(frozen=True, slots=True)
class ReplayedCallbacks(Fault):
    """Resend webhooks of the latest sagas in the fake's ledger, freshly signed.

    `ledger`: the path of that ledger at the fake; `id_field`: the field of its rows that holds the
    saga key.
    """

    ledger: str
    id_field: str

    def inject(self, site: Site) -> None:
        for row in _latest(site, self.target, self.ledger):
            body = {"saga": row[self.id_field]}
            site.request("POST", self.target, "/control/resend", json=body)


@dataclass(frozen=True, slots=True)
class ForgedCallbacks(Fault):
    """Post webhooks with invalid signatures that report good news about the latest sagas.

    `ledger` as of ReplayedCallbacks; `receiver`: the participant that takes the fake's webhooks at
    `/webhooks/<fake>`; `event_type`: the news. Raises Violation if the receiver accepts one.
    """

    ledger: str
    receiver: str
    event_type: str

    def inject(self, site: Site) -> None:
        secret = str(site.content["secrets"][self.target])
        for row in _latest(site, self.target, self.ledger):
            event = {
                "id": f"evt_{uuid.uuid4().hex}",
                "type": self.event_type,
                "created": int(time.time()),
                "data": row,
            }
            body = json.dumps(event).encode()
            for signature in _forgeries(secret, body):
                headers = {HEADER: signature} if signature else {}
                path = f"/webhooks/{self.target}"
                try:
                    answer = site.request(
                        "POST", self.receiver, path, content=body, headers=headers
                    )
                except httpx2.TransportError:
                    continue  # another fault has stopped the receiver
                if answer.status_code < 400:
                    raise Violation(
                        f"{self.receiver} accepted a forged {self.event_type} with signature "
                        f"{signature!r}"
                    )


def _forgeries(secret: str, body: bytes) -> tuple[str | None, ...]:
    """Return invalid signatures: none, by another secret, of another body, and one long expired."""
    now = int(time.time())
    return (
        None,
        sign(f"not {secret}", body, now),
        sign(secret, body + b" ", now),
        sign(secret, body, now - 100 * TOLERANCE_S),
    )


def _latest(site: Site, server: str, path: str) -> list[dict[str, Any]]:
    """Return the last rows of a fake's ledger; none while it does not answer."""
    try:
        total = site.request("GET", server, path, params={"limit": 1}).json()["total"]
        page = {"limit": FORGED, "offset": max(0, total - FORGED)}
        rows: list[dict[str, Any]] = site.request("GET", server, path, params=page).json()["data"]
    except httpx2.TransportError:
        return []
    return rows
