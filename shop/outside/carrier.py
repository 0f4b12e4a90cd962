"""Runs a fake parcel carrier with its own ledger: `python -m shop.outside.carrier`.

Tags in brackets at the end of `ship_to` choose the behaviour; several may be combined, as in
`1 Main Street, Springfield [lost] [pickup:60]`. `<s>` is seconds, `<n>` a number of calls:

| address tag | what happens |
|---|---|
| none | label created, picked up after `SANDBOX_PICKUP_DELAY_S` (1.0) |
| `[pickup:<s>]` | picked up after s |
| `[no-pickup]` | picked up only by POST `/control/pickup` |
| `[refuse]` | refused, with a code and a reason that quotes the address |
| `[500:<n>]` | the first n calls answer 500 with nothing recorded |
| `[lost]` | recorded, then the connection is dropped unanswered; the next call is answered |
| `[slow:<s>]` | recorded at once, answered after s |
| `[cancel-500:<n>]` | the first n calls to cancel the label answer 500 with nothing recorded |
| `[parcels:<n>]` | sent as n parcels, picked up one after the other, each with its webhook |
| any other tag | refused; the reason lists the valid tags |

A label is `created`, `refused`, `picked_up` or `cancelled`. A call under a known key is answered at
once with the label as it is now; a known key with different content is refused with 409
`idempotency_key_reuse`. Cancelling by a `label_key` that has no label stores the key as cancelled,
and a later label under it is refused. Webhook: `label.picked_up`; see `saga_lab.fakes.callbacks`.

Rehearsals: see `saga_lab.fakes.trouble` for outages and other trouble; POST `/control/pickup`
{"reference"} (pick up now), `/control/flush` (run everything now that is due later),
`/control/resend` {"saga"} (post its last webhook again, same event id).
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from saga_lab.fakes import base, callbacks
from saga_lab.fakes.base import Id, Ledger, Refusal, Row, json_response
from shop.outside import carrier_machine as machine
from shop.outside.carrier_machine import (
    CancelAsked,
    CancellationRecord,
    LabelAccount,
    LabelAsked,
    LabelRecord,
    LabelStep,
    ParcelPlan,
    parcel_plan,
)
from shop.outside.reference_page import ReferencePage, ReferencePageAsked

SCHEMA = """
CREATE TABLE IF NOT EXISTS labels (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, idempotency_key TEXT NOT NULL UNIQUE,
    reference TEXT NOT NULL, ship_to TEXT NOT NULL, email TEXT NOT NULL, parcels INTEGER NOT NULL,
    lines TEXT NOT NULL, tracking TEXT, status TEXT NOT NULL,
    code TEXT, reason TEXT, created INTEGER NOT NULL, gone INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS labels_reference ON labels (reference, seq);
CREATE TABLE IF NOT EXISTS cancellations (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, idempotency_key TEXT NOT NULL UNIQUE,
    reference TEXT NOT NULL, label_id TEXT, label_key TEXT NOT NULL, status TEXT NOT NULL,
    created INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS cancellations_label ON cancellations (label_key, seq);
CREATE TABLE IF NOT EXISTS cancelled_keys (label_key TEXT PRIMARY KEY);
"""


class CarrierSettings(base.CallbackSettings):
    """Adds the seconds until pickup for addresses without a pickup tag."""

    pickup_delay_s: float = Field(1.0, ge=0)


class ParcelLine(BaseModel):
    """Describes one SKU in the parcel and its units."""

    sku: Id
    quantity: int = Field(strict=True, ge=1, lt=2**63)


class LabelRequest(BaseModel):
    """Carries the body of `POST /v1/labels`."""

    reference: Id
    ship_to: str = Field(min_length=1, max_length=10_000)
    email: Id
    parcels: int = Field(1, strict=True, ge=1, le=10_000)
    lines: list[ParcelLine] = Field(min_length=1, max_length=10_000)


class CancelRequest(BaseModel):
    """Names the label by its id or, when the caller never got the id, by its idempotency key."""

    reference: Id
    label_id: Id | None = None
    label_key: Id | None = None


class ReferenceNamed(BaseModel):
    """Carries the body of a control call about one reference."""

    reference: Id


class Labels:
    """Serves the labels of one ledger; `pickup_delay_s` is that of addresses without a tag."""

    def __init__(
        self, ledger: Ledger, callbacks: callbacks.Callbacks, pickup_delay_s: float
    ) -> None:
        self._ledger, self._callbacks, self._pickup_delay_s = ledger, callbacks, pickup_delay_s
        callbacks.when_due(self._timer_due)

    def create(self, key: str, asked: LabelRequest) -> LabelStep:
        """Create a label under an idempotency key."""
        lines = orjson.dumps([line.model_dump() for line in asked.lines]).decode()
        content = LabelAsked(asked.reference, asked.ship_to, asked.email, asked.parcels, lines)
        plan = parcel_plan(asked.ship_to, self._pickup_delay_s)
        label_id, tracking = f"lb_{uuid.uuid4().hex}", f"TRK{uuid.uuid4().hex[:16].upper()}"
        now_s = int(time.time())
        return self._run(
            self._account(key),
            lambda it: machine.label(it, content, plan, label_id, tracking, now_s),
        )

    def cancel(self, key: str, asked: CancelRequest) -> LabelStep:
        """Cancel a label under an idempotency key. Raises Refusal if no label is named."""
        sql = "SELECT label_key FROM cancellations WHERE idempotency_key = ?"
        known = self._ledger.row(sql, key)
        account = self._account(known["label_key"] if known else self._key_of(asked))
        content = CancelAsked(key, asked.reference)
        cancellation_id, now_s = f"cn_{uuid.uuid4().hex}", int(time.time())
        plan = self._plan(account)
        return self._run(
            account, lambda it: machine.cancel(it, content, plan, cancellation_id, now_s)
        )

    def pick_up(self, reference: str) -> Row:
        """Pick up every waiting label of a reference now.

        Raises Refusal (404) when none waits.
        """
        sql = "SELECT id, idempotency_key FROM labels WHERE reference = ? AND status = 'created'"
        waiting = self._ledger.rows(sql, reference)
        if not waiting:
            message = f"no label of reference {reference!r} waits for pickup; see GET /v1/labels"
            raise Refusal(404, "no_label", message)
        with self._ledger.transaction():
            for row in waiting:
                self._pick_up(row["idempotency_key"])
        return {"reference": reference, "picked_up": [row["id"] for row in waiting]}

    def labels(self, asked: ReferencePage) -> Row:
        """Return a page of the labels and their total number."""
        rows, total = asked.of(self._ledger, "labels")
        return {"data": [_label(row).view() for row in rows], "total": total}

    # -- accounts --

    def _key_of(self, asked: CancelRequest) -> str:
        if asked.label_id is not None:
            sql = "SELECT idempotency_key FROM labels WHERE id = ?"
            row = self._ledger.row(sql, asked.label_id)
            if row is None:
                refusal = machine.not_found(asked.label_id)
                raise Refusal(refusal.status, refusal.code, refusal.message)
            return str(row["idempotency_key"])
        if asked.label_key is not None:
            return asked.label_key
        message = "both label_id and label_key are null; name the label by one of them"
        raise Refusal(400, "label_not_named", message)

    def _account(self, key: str) -> LabelAccount:
        row = self._ledger.row("SELECT * FROM labels WHERE idempotency_key = ?", key)
        sql = "SELECT * FROM cancellations WHERE label_key = ? ORDER BY seq"
        cancellations = self._ledger.rows(sql, key)
        cancelled = self._ledger.row("SELECT 1 FROM cancelled_keys WHERE label_key = ?", key)
        return LabelAccount(
            key,
            _label(row) if row else None,
            tuple(_cancellation(row) for row in cancellations),
            cancelled is not None,
            self._ledger.failed_calls(f"label:{key}"),
            self._ledger.failed_calls(f"cancel:{key}"),
        )

    def _plan(self, account: LabelAccount) -> ParcelPlan:
        ship_to = account.label.ship_to if account.label else ""
        return parcel_plan(ship_to, self._pickup_delay_s)

    def _run(self, before: LabelAccount, work: Callable[[LabelAccount], LabelStep]) -> LabelStep:
        with self._ledger.transaction():
            step = work(before)
            self._store(before, step.account)
            self._callbacks.carry_out(step)
        return step

    def _store(self, before: LabelAccount, after: LabelAccount) -> None:
        label = after.label
        if label and before.label is None:
            self._ledger.add("labels", asdict(label))
        elif label and label != before.label:
            sql = "UPDATE labels SET status = ?, gone = ? WHERE id = ?"
            self._ledger.run(sql, label.status, label.gone, label.id)
        for cancellation in after.cancellations[len(before.cancellations) :]:
            self._ledger.add("cancellations", asdict(cancellation))
        if after.cancelled:
            self._ledger.run("INSERT OR IGNORE INTO cancelled_keys VALUES (?)", after.key)
        if after.failed_labels != before.failed_labels:
            self._ledger.set_failed_calls(f"label:{after.key}", after.failed_labels)
        if after.failed_cancels != before.failed_cancels:
            self._ledger.set_failed_calls(f"cancel:{after.key}", after.failed_cancels)

    def _timer_due(self, _kind: str, label_id: str) -> None:
        """Run the machine on a due timer; the caller holds the transaction."""
        row = self._ledger.rows("SELECT idempotency_key FROM labels WHERE id = ?", label_id)[0]
        self._pick_up(row["idempotency_key"])

    def _pick_up(self, key: str) -> None:
        before = self._account(key)
        step = machine.pick_up(before, self._plan(before))
        self._store(before, step.account)
        self._callbacks.carry_out(step)


def _label(row: Row) -> LabelRecord:
    return LabelRecord(**{name: row[name] for name in row if name != "seq"})


def _cancellation(row: Row) -> CancellationRecord:
    return CancellationRecord(**{name: row[name] for name in row if name != "seq"})


router = base.v1_router()
control = APIRouter(prefix="/control")


async def _labels(request: Request) -> Labels:
    labels: Labels = request.app.state.labels
    return labels


Carrier = Annotated[Labels, Depends(_labels)]


@router.post("/labels")
async def create_label(
    request: Request, carrier: Carrier, key: base.IdempotencyKey, asked: LabelRequest
) -> Response:
    return await base.reply(request, carrier.create(key, asked))


@router.get("/labels")
async def list_labels(carrier: Carrier, asked: ReferencePageAsked) -> Response:
    return json_response(carrier.labels(asked))


@router.post("/cancellations")
async def cancel_label(
    request: Request, carrier: Carrier, key: base.IdempotencyKey, asked: CancelRequest
) -> Response:
    return await base.reply(request, carrier.cancel(key, asked))


@control.post("/pickup")
async def pick_up(carrier: Carrier, asked: ReferenceNamed) -> Response:
    return json_response(carrier.pick_up(asked.reference))


def main() -> None:
    settings = base.read_settings(CarrierSettings)
    ledger = Ledger(settings.db, SCHEMA + callbacks.SCHEMA)
    app = base.create_app(ledger, router, control, callbacks.router)
    app.state.callbacks = callbacks.Callbacks(ledger, settings, app)
    app.state.labels = Labels(ledger, app.state.callbacks, settings.pickup_delay_s)
    base.serve(app, settings, app.state.callbacks.running())


if __name__ == "__main__":
    main()
