"""Implements the provider's rules: how each card token treats a charge and its refunds."""

import time
import uuid

from pydantic import BaseModel, Field

from saga_lab.fakes.base import (
    Answer,
    Id,
    Ledger,
    Page,
    Refusal,
    Row,
    parse_directive,
    same_request,
)
from saga_lab.fakes.callbacks import Callbacks

SCHEMA = """
CREATE TABLE IF NOT EXISTS charges (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, idempotency_key TEXT NOT NULL UNIQUE,
    order_id TEXT NOT NULL, amount_minor INTEGER NOT NULL, currency TEXT NOT NULL,
    card_token TEXT NOT NULL, status TEXT NOT NULL, decline_code TEXT, created INTEGER NOT NULL,
    amount_refunded_minor INTEGER NOT NULL DEFAULT 0,
    CHECK (amount_refunded_minor BETWEEN 0 AND amount_minor),
    CHECK (amount_refunded_minor = 0 OR status = 'captured')
);
CREATE INDEX IF NOT EXISTS charges_order ON charges (order_id, seq);
CREATE TABLE IF NOT EXISTS refunds (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, idempotency_key TEXT NOT NULL UNIQUE,
    order_id TEXT NOT NULL, charge_id TEXT, charge_key TEXT, requested_minor INTEGER NOT NULL,
    amount_minor INTEGER NOT NULL, status TEXT NOT NULL, created INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS refunds_order ON refunds (order_id, seq);
CREATE INDEX IF NOT EXISTS refunds_charge ON refunds (charge_id);
CREATE TABLE IF NOT EXISTS voided_keys (charge_key TEXT PRIMARY KEY);
"""

# token -> whether it takes a number after the colon
TOKENS = {
    "tok_ok": False,
    "tok_declined": False,
    "tok_action": False,
    "tok_action_auto": True,
    "tok_slow": True,
    "tok_500": True,
    "tok_lost": False,
    "tok_async": True,
    "tok_async_declined": True,
    "tok_async_before": True,
    "tok_late": True,
    "tok_refund_500": True,
    "tok_refund_partial": False,
    "tok_refund_async": True,
}
STATUS_AT_FIRST = {
    "tok_declined": "declined",
    "tok_action": "action_required",
    "tok_action_auto": "action_required",
    "tok_async": "pending",
    "tok_async_declined": "pending",
    "tok_late": "pending",
}  # every other token: captured
TIMER = {
    "tok_action_auto": "capture",
    "tok_async": "capture",
    "tok_async_declined": "decline",
}

Amount = Field(strict=True, ge=1, le=10**12)


class ChargeRequest(BaseModel):
    """Carries the body of `POST /v1/charges`."""

    order_id: Id
    amount_minor: int = Amount
    currency: str = Field(pattern="^[A-Za-z]{3}$")
    card_token: Id


class RefundRequest(BaseModel):
    """Names the charge by its id or, when the caller never got the id, by its idempotency key."""

    order_id: Id
    charge_id: Id | None = None
    charge_key: Id | None = None
    amount_minor: int = Amount


def parse_token(card_token: str) -> tuple[str, float] | None:
    """Return name and number of a card token; None for an invalid token."""
    try:
        return parse_directive(card_token, TOKENS)
    except ValueError:
        return None


def charge_view(row: Row) -> Row:
    """Return the charge as the API shows it."""
    shown = {name: row[name] for name in row if name not in ("seq", "card_token")}
    action = f"/v1/charges/{row['id']}/complete" if row["status"] == "action_required" else None
    return shown | {"action_url": action}


def refund_view(row: Row) -> Row:
    """Return the refund as the API shows it."""
    return {name: row[name] for name in row if name != "seq"}


class Charges:
    """Keeps charges and refunds of one ledger.

    Methods raise Refusal for requests answered with an error.
    """

    def __init__(self, ledger: Ledger, callbacks: Callbacks) -> None:
        self._ledger, self._callbacks = ledger, callbacks
        callbacks.when_due(self._advance)

    # -- charging --

    def charge(self, key: str, asked: ChargeRequest) -> tuple[Answer, int | None]:
        """Charge under an idempotency key.

        Return the answer, and the number of a webhook to deliver before it is sent.
        """
        known = self._ledger.row("SELECT * FROM charges WHERE idempotency_key = ?", key)
        if known:
            same_request(known, key, **asked.model_dump())
            return Answer(charge_view(known)), None
        token, status, decline_code = (
            parse_token(asked.card_token),
            "declined",
            "invalid_token",
        )
        name, number = token or ("", 0.0)
        if self._ledger.row("SELECT 1 FROM voided_keys WHERE charge_key = ?", key):
            name, decline_code = "", "voided"
        elif token:
            self._ledger.fail_first(f"charge:{key}", number if name == "tok_500" else 0)
            status = STATUS_AT_FIRST.get(name, "captured")
            decline_code = "insufficient_funds"
        charge: Row = {
            "id": f"ch_{uuid.uuid4().hex}",
            "idempotency_key": key,
            **asked.model_dump(),
            "status": status,
            "decline_code": decline_code if status == "declined" else None,
            "created": int(time.time()),
            "amount_refunded_minor": 0,
        }
        webhook = None
        with self._ledger.transaction():
            self._ledger.add("charges", charge)
            if name in TIMER:
                self._callbacks.later(number, TIMER[name], charge["id"])
            if name == "tok_async_before":
                webhook = self._callbacks.announce("charge.captured", charge_view(charge))
        wait_s = number if name in ("tok_slow", "tok_async_before") else 0
        return Answer(charge_view(charge), wait_s, lost=name == "tok_lost"), webhook

    def complete(self, charge_id: str) -> Row:
        """Capture a charge that waits for the customer's action; repeats change nothing.

        Raises Refusal (409) in any other status.
        """
        status = self.find(charge_id)["status"]
        if status == "action_required":
            with self._ledger.transaction():
                self._advance("capture", charge_id)
        elif status != "captured":
            message = f"charge {charge_id} is {status}, only one that waits for an action can be"
            raise Refusal(409, "not_completable", message)
        return charge_view(self.find(charge_id))

    def find(self, charge_id: str) -> Row:
        """Return the ledger's row of a charge. Raises Refusal (404)."""
        charge = self._ledger.row("SELECT * FROM charges WHERE id = ?", charge_id)
        if charge is None:
            message = f"no charge has the id {charge_id!r}; without an id, name its charge_key"
            raise Refusal(404, "charge_not_found", message)
        return charge

    # -- refunding --

    def refund(self, key: str, asked: RefundRequest) -> Row:
        """Void a charge that is not captured yet; refund a captured one, up to its amount."""
        known = self._ledger.row("SELECT * FROM refunds WHERE idempotency_key = ?", key)
        if known:
            same_request(known, key, order_id=asked.order_id, requested_minor=asked.amount_minor)
            return refund_view(known)
        charge = self._charge_of(asked)
        token = charge and charge["status"] != "declined" and parse_token(charge["card_token"])
        name, number = token or ("", 0.0)
        if charge and name == "tok_refund_500":
            self._ledger.fail_first(f"refund:{charge['id']}", number)
        refund: Row = {
            "id": f"re_{uuid.uuid4().hex}",
            "idempotency_key": key,
            "order_id": asked.order_id,
            "charge_id": charge and charge["id"],
            "charge_key": charge["idempotency_key"] if charge else asked.charge_key,
            "requested_minor": asked.amount_minor,
            "amount_minor": 0,
            "status": "voided",
            "created": int(time.time()),
        }
        with self._ledger.transaction():
            if charge is None:
                sql = "INSERT OR IGNORE INTO voided_keys VALUES (?)"
                self._ledger.run(sql, asked.charge_key)
            elif charge["status"] in ("pending", "action_required"):
                self._set_status(charge["id"], "voided")
                if name == "tok_late":
                    self._callbacks.later(number, "capture", charge["id"])
            elif charge["status"] == "captured":
                refund |= self._give_back(charge, asked.amount_minor, name)
            self._ledger.add("refunds", refund)
            if refund["status"] == "pending":
                self._callbacks.later(number, "refund", refund["id"])
        return refund_view(refund)

    def _charge_of(self, asked: RefundRequest) -> Row | None:
        """Return the charge that a refund names; None when its key has no charge.

        Raises Refusal for an unknown id, no name at all, or a charge of another order.
        """
        if asked.charge_id is not None:
            charge: Row | None = self.find(asked.charge_id)
        elif asked.charge_key is not None:
            sql = "SELECT * FROM charges WHERE idempotency_key = ?"
            charge = self._ledger.row(sql, asked.charge_key)
        else:
            message = "both charge_id and charge_key are null; name the charge by one of them"
            raise Refusal(400, "charge_not_named", message)
        if charge and charge["order_id"] != asked.order_id:
            message = f"the charge belongs to another order than {asked.order_id!r}"
            raise Refusal(409, "order_mismatch", message)
        return charge

    def _give_back(self, charge: Row, wanted_minor: int, token: str) -> Row:
        """Take a refund out of a captured charge and return its amount and status.

        Raises Refusal (409) when the charge is refunded in full.
        """
        remaining_minor = charge["amount_minor"] - charge["amount_refunded_minor"]
        if remaining_minor == 0:
            message = f"charge {charge['id']} is refunded in full; nothing is left to refund"
            raise Refusal(409, "already_refunded", message)
        amount_minor, status = min(wanted_minor, remaining_minor), "refunded"
        if token == "tok_refund_async":
            status = "pending"
        elif token == "tok_refund_partial" and not self._ledger.row(
            "SELECT 1 FROM refunds WHERE charge_id = ? AND status = 'partial'",
            charge["id"],
        ):
            amount_minor, status = amount_minor // 2, "partial"
        self._ledger.run(
            "UPDATE charges SET amount_refunded_minor = amount_refunded_minor + ? WHERE id = ?",
            amount_minor,
            charge["id"],
        )
        return {"amount_minor": amount_minor, "status": status}

    # -- timers --

    def _advance(self, kind: str, subject: str) -> None:
        """Change the ledger and announce the webhook for a due timer or a customer's action."""
        if kind == "refund":
            self._ledger.run("UPDATE refunds SET status = 'refunded' WHERE id = ?", subject)
            refund = self._ledger.rows("SELECT * FROM refunds WHERE id = ?", subject)[0]
            self._callbacks.announce("refund.succeeded", refund_view(refund))
            return
        charge = self.find(subject)
        late = charge["card_token"].startswith("tok_late:")
        if charge["status"] not in ("pending", "action_required") and not late:
            return  # meanwhile voided, or completed by the customer
        status, decline_code = (
            ("captured", None) if kind == "capture" else ("declined", "insufficient_funds")
        )
        self._set_status(subject, status, decline_code)
        for _ in range(2 if late else 1):  # two events with two event ids
            self._callbacks.announce(f"charge.{status}", charge_view(self.find(subject)))

    def _set_status(self, charge_id: str, status: str, decline_code: str | None = None) -> None:
        sql = "UPDATE charges SET status = ?, decline_code = ? WHERE id = ?"
        self._ledger.run(sql, status, decline_code, charge_id)

    # -- the ledger --

    def charges(self, asked: Page) -> Row:
        """Return a page of the charges and their total number."""
        rows, total = self._ledger.page("charges", asked)
        return {"data": [charge_view(row) for row in rows], "total": total}

    def refunds(self, asked: Page) -> Row:
        """Return a page of the refunds and their total number."""
        rows, total = self._ledger.page("refunds", asked)
        return {"data": [refund_view(row) for row in rows], "total": total}
