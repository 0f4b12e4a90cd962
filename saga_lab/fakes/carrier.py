"""Runs a fake parcel carrier with its own ledger: `python -m saga_lab.fakes.carrier`.

Tags in brackets at the end of `ship_to` choose the behaviour; several may be combined, as in
`1 Main Street, Springfield [lost] [pickup:60]`. `<s>` is seconds, `<n>` a number of calls:

| address tag | what happens |
|---|---|
| none | label created, picked up after `SANDBOX_PICKUP_DELAY_S` (1.0) |
| `[pickup:<s>]` | picked up after s |
| `[no-pickup]` | picked up only by POST `/control/pickup` |
| `[refuse]` | refused, with a reason |
| `[500:<n>]` | the first n calls answer 500 with nothing recorded |
| `[lost]` | recorded, then the connection is dropped unanswered; the next call is answered |
| `[slow:<s>]` | recorded at once, answered after s |
| `[cancel-500:<n>]` | the first n calls to cancel the label answer 500 with nothing recorded |
| any other tag | refused; the reason lists the valid tags |

A label is `created`, `refused`, `picked_up` or `cancelled`. A call under a known key is answered at
once with the label as it is now; a known key with different content is refused with 409
`idempotency_key_reuse`. Cancelling by a `label_key` that has no label stores the key as cancelled,
and a later label under it is refused. Webhook: `label.picked_up`; see `saga_lab.fakes.callbacks`.

Rehearsals: see `saga_lab.fakes.trouble` for outages and other trouble; POST `/control/pickup`
{"order_id"} (pick up now), `/control/flush` (run everything now that is due later),
`/control/resend` {"order_id"} (post its last webhook again, same event id).
"""

import re
import time
import uuid
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from saga_lab.fakes import base, callbacks
from saga_lab.fakes.base import Answer, Id, Ledger, Refusal, Row, json_response

SCHEMA = """
CREATE TABLE IF NOT EXISTS labels (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, idempotency_key TEXT NOT NULL UNIQUE,
    order_id TEXT NOT NULL, ship_to TEXT NOT NULL, email TEXT NOT NULL, parcels INTEGER NOT NULL,
    lines TEXT NOT NULL, tracking TEXT, status TEXT NOT NULL, reason TEXT, created INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS labels_order ON labels (order_id, seq);
CREATE TABLE IF NOT EXISTS cancellations (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, idempotency_key TEXT NOT NULL UNIQUE,
    order_id TEXT NOT NULL, label_id TEXT, label_key TEXT, status TEXT NOT NULL,
    created INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS cancelled_keys (label_key TEXT PRIMARY KEY);
"""

# tag -> whether it takes a number after the colon
TAGS = {
    "refuse": False,
    "pickup": True,
    "no-pickup": False,
    "500": True,
    "lost": False,
    "slow": True,
    "cancel-500": True,
}


class CarrierSettings(base.CallbackSettings):
    """Adds the seconds until pickup for addresses without a pickup tag."""

    pickup_delay_s: float = Field(1.0, ge=0)


class ParcelLine(BaseModel):
    """Describes one SKU in the parcel and its units."""

    sku: Id
    quantity: int = Field(strict=True, ge=1, lt=2**63)


class LabelRequest(BaseModel):
    """Carries the body of `POST /v1/labels`."""

    order_id: Id
    ship_to: str = Field(min_length=1, max_length=10_000)
    email: Id
    parcels: int = Field(1, strict=True, ge=1, le=10_000)
    lines: list[ParcelLine] = Field(min_length=1, max_length=10_000)


class CancelRequest(BaseModel):
    """Names the label by its id or, when the caller never got the id, by its idempotency key."""

    order_id: Id
    label_id: Id | None = None
    label_key: Id | None = None


def parse_tags(ship_to: str) -> dict[str, float]:
    """Return the tags at the end of an address with their numbers.

    Raises ValueError for an unknown tag or a wrong number.
    """
    end = re.search(r"(?:\[[^\[\]]*\]\s*)*$", ship_to)
    tags = re.findall(r"\[([^\[\]]*)\]", end.group() if end else "")
    return dict(base.parse_directive(tag, TAGS) for tag in tags)


def label_view(row: Row) -> Row:
    """Return the label as the API shows it."""
    return {name: row[name] for name in row if name != "seq"} | {
        "lines": orjson.loads(row["lines"])
    }


class Labels:
    """Keeps the labels of one ledger. Methods raise Refusal for requests answered with an error."""

    def __init__(self, ledger: Ledger, owed: callbacks.Callbacks, pickup_delay_s: float) -> None:
        self._ledger, self._callbacks, self._pickup_delay_s = (
            ledger,
            owed,
            pickup_delay_s,
        )
        owed.when_due(self._advance)

    def create(self, key: str, asked: LabelRequest) -> Answer:
        """Create a label under an idempotency key."""
        content = asked.model_dump() | {"lines": asked.model_dump_json(include={"lines"})}
        content["lines"] = orjson.dumps([line.model_dump() for line in asked.lines]).decode()
        known = self._ledger.row("SELECT * FROM labels WHERE idempotency_key = ?", key)
        if known:
            base.same_request(known, key, **content)
            return Answer(label_view(known))
        tags: dict[str, float] = {}
        reason = None
        try:
            tags = parse_tags(asked.ship_to)
        except ValueError as error:
            reason = f"address tag {error}"
        if self._ledger.row("SELECT 1 FROM cancelled_keys WHERE label_key = ?", key):
            tags, reason = {}, "cancelled before it was made"
        elif "refuse" in tags:
            reason = "the carrier does not deliver to this address"
        self._ledger.fail_first(f"label:{key}", tags.get("500", 0))
        label = {
            "id": f"lb_{uuid.uuid4().hex}",
            "idempotency_key": key,
            **content,
            "tracking": None if reason else f"TRK{uuid.uuid4().hex[:16].upper()}",
            "status": "refused" if reason else "created",
            "reason": reason,
            "created": int(time.time()),
        }
        with self._ledger.transaction():
            self._ledger.add("labels", label)
            if not reason and "no-pickup" not in tags:
                pickup_s = tags.get("pickup", self._pickup_delay_s)
                self._callbacks.later(pickup_s, "pickup", label["id"])
        return Answer(label_view(label), tags.get("slow", 0.0), lost="lost" in tags)

    def cancel(self, key: str, asked: CancelRequest) -> Row:
        """Cancel a label that is not picked up yet; the status is `cancelled` or `too_late`."""
        known = self._ledger.row("SELECT * FROM cancellations WHERE idempotency_key = ?", key)
        if known:
            base.same_request(known, key, order_id=asked.order_id)
            return {name: known[name] for name in known if name != "seq"}
        label = self._label_of(asked)
        if label:
            # a refused label may carry unknown tags, on which parse_tags would raise
            tags = {} if label["status"] == "refused" else parse_tags(label["ship_to"])
            self._ledger.fail_first(f"cancel:{label['id']}", tags.get("cancel-500", 0))
        too_late = label is not None and label["status"] == "picked_up"
        cancellation = {
            "id": f"cn_{uuid.uuid4().hex}",
            "idempotency_key": key,
            "order_id": asked.order_id,
            "label_id": label and label["id"],
            "label_key": label["idempotency_key"] if label else asked.label_key,
            "status": "too_late" if too_late else "cancelled",
            "created": int(time.time()),
        }
        with self._ledger.transaction():
            self._ledger.add("cancellations", cancellation)
            if label is None:
                sql = "INSERT OR IGNORE INTO cancelled_keys VALUES (?)"
                self._ledger.run(sql, asked.label_key)
            elif label["status"] == "created":
                sql = "UPDATE labels SET status = 'cancelled' WHERE id = ?"
                self._ledger.run(sql, label["id"])
        return cancellation

    def _label_of(self, asked: CancelRequest) -> Row | None:
        """Return the label that a cancellation names; None when its key has no label.

        Raises Refusal for an unknown id, no name at all, or a label of another order.
        """
        if asked.label_id is not None:
            label = self._ledger.row("SELECT * FROM labels WHERE id = ?", asked.label_id)
            if label is None:
                message = f"no label has the id {asked.label_id!r}; without one, name its label_key"
                raise Refusal(404, "label_not_found", message)
        elif asked.label_key is not None:
            sql = "SELECT * FROM labels WHERE idempotency_key = ?"
            label = self._ledger.row(sql, asked.label_key)
        else:
            message = "both label_id and label_key are null; name the label by one of them"
            raise Refusal(400, "label_not_named", message)
        if label and label["order_id"] != asked.order_id:
            message = f"the label belongs to another order than {asked.order_id!r}"
            raise Refusal(409, "order_mismatch", message)
        return label

    def pick_up(self, order_id: str) -> Row:
        """Pick up every waiting label of an order now.

        Raises Refusal (404) when none waits.
        """
        sql = "SELECT id FROM labels WHERE order_id = ? AND status = 'created'"
        waiting = [row["id"] for row in self._ledger.rows(sql, order_id)]
        if not waiting:
            message = f"no label of order {order_id!r} waits for pickup; see GET /v1/labels"
            raise Refusal(404, "no_label", message)
        with self._ledger.transaction():
            for label_id in waiting:
                self._advance("pickup", label_id)
        return {"order_id": order_id, "picked_up": waiting}

    def _advance(self, _kind: str, label_id: str) -> None:
        sql = "UPDATE labels SET status = 'picked_up' WHERE id = ? AND status = 'created'"
        if self._ledger.run(sql, label_id).rowcount:
            label = self._ledger.rows("SELECT * FROM labels WHERE id = ?", label_id)[0]
            self._callbacks.announce("label.picked_up", label_view(label))

    def labels(self, asked: base.Page) -> Row:
        """Return a page of the labels and their total number."""
        rows, total = self._ledger.page("labels", asked)
        return {"data": [label_view(row) for row in rows], "total": total}


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
async def list_labels(carrier: Carrier, asked: base.PageAsked) -> Response:
    return json_response(carrier.labels(asked))


@router.post("/cancellations")
async def cancel_label(
    carrier: Carrier, key: base.IdempotencyKey, asked: CancelRequest
) -> Response:
    return json_response(carrier.cancel(key, asked))


@control.post("/pickup")
async def pick_up(carrier: Carrier, asked: base.OrderNamed) -> Response:
    return json_response(carrier.pick_up(asked.order_id))


def main() -> None:
    settings = base.read_settings(CarrierSettings)
    ledger = Ledger(settings.db, SCHEMA + callbacks.SCHEMA)
    app = base.create_app(ledger, router, control, callbacks.router)
    app.state.callbacks = callbacks.Callbacks(ledger, settings, app)
    app.state.labels = Labels(ledger, app.state.callbacks, settings.pickup_delay_s)
    base.serve(app, settings, app.state.callbacks.running())


if __name__ == "__main__":
    main()
