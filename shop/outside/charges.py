"""Keeps the provider's accounts in its durable ledger, and runs its state machine on them."""

import time
import uuid
from collections.abc import Callable
from dataclasses import asdict

from pydantic import BaseModel, Field

from saga_lab.fakes.base import Id, Ledger, Refusal, Row
from saga_lab.fakes.callbacks import Callbacks
from shop.outside import provider_machine as machine
from shop.outside.provider_machine import (
    ChargeAccount,
    ChargeAsked,
    ChargeRecord,
    ChargeStep,
    RefundAsked,
    RefundRecord,
    card_plan,
)
from shop.outside.reference_page import ReferencePage

SCHEMA = """
CREATE TABLE IF NOT EXISTS charges (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, idempotency_key TEXT NOT NULL UNIQUE,
    reference TEXT NOT NULL, amount_minor INTEGER NOT NULL, currency TEXT NOT NULL,
    card_token TEXT NOT NULL, status TEXT NOT NULL, decline_code TEXT, created INTEGER NOT NULL,
    refunded_minor INTEGER NOT NULL DEFAULT 0, captured_minor INTEGER NOT NULL DEFAULT 0,
    lost_minor INTEGER NOT NULL DEFAULT 0,
    CHECK (refunded_minor + lost_minor BETWEEN 0 AND captured_minor),
    CHECK (refunded_minor = 0 OR status = 'captured')
);
CREATE INDEX IF NOT EXISTS charges_reference ON charges (reference, seq);
CREATE TABLE IF NOT EXISTS refunds (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, idempotency_key TEXT NOT NULL UNIQUE,
    reference TEXT NOT NULL, charge_id TEXT, charge_key TEXT NOT NULL,
    requested_minor INTEGER NOT NULL, amount_minor INTEGER NOT NULL, status TEXT NOT NULL,
    created INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS refunds_reference ON refunds (reference, seq);
CREATE INDEX IF NOT EXISTS refunds_charge ON refunds (charge_key, seq);
CREATE TABLE IF NOT EXISTS voided_keys (charge_key TEXT PRIMARY KEY);
"""
Amount = Field(strict=True, ge=1, le=10**12)


class ChargeRequest(BaseModel):
    """Carries the body of `POST /v1/charges`."""

    reference: Id
    amount_minor: int = Amount
    currency: str = Field(pattern="^[A-Za-z]{3}$")
    card_token: Id


class RefundRequest(BaseModel):
    """Names the charge by its id or, when the caller never got the id, by its idempotency key."""

    reference: Id
    charge_id: Id | None = None
    charge_key: Id | None = None
    amount_minor: int = Amount


class Charges:
    """Serves charges and refunds of one ledger."""

    def __init__(self, ledger: Ledger, callbacks: Callbacks) -> None:
        self._ledger, self._callbacks = ledger, callbacks
        callbacks.when_due(self._timer_due)

    def charge(self, key: str, asked: ChargeRequest) -> tuple[ChargeStep, int | None]:
        """Charge under an idempotency key.

        Return the step, and the number of a webhook to deliver before it is answered.
        """
        content = ChargeAsked(**asked.model_dump())
        plan = card_plan(asked.card_token)
        charge_id, now_s = f"ch_{uuid.uuid4().hex}", int(time.time())
        return self._run(
            self._account(key), lambda it: machine.charge(it, content, plan, charge_id, now_s)
        )

    def complete(self, charge_id: str) -> ChargeStep:
        """Capture a charge that waits for the customer's action."""
        charge = self.find(charge_id)
        plan = card_plan(charge.card_token)
        account = self._account(charge.idempotency_key)
        return self._run(account, lambda it: machine.complete(it, plan))[0]

    def refund(self, key: str, asked: RefundRequest) -> ChargeStep:
        """Refund, or void, under an idempotency key. Raises Refusal if no charge is named."""
        known = self._ledger.row("SELECT charge_key FROM refunds WHERE idempotency_key = ?", key)
        account = self._account(known["charge_key"] if known else self._key_of(asked))
        content = RefundAsked(key, asked.reference, asked.amount_minor)
        plan = card_plan(account.charge.card_token if account.charge else "")
        refund_id, now_s = f"re_{uuid.uuid4().hex}", int(time.time())
        return self._run(account, lambda it: machine.refund(it, content, plan, refund_id, now_s))[0]

    def find(self, charge_id: str) -> ChargeRecord:
        """Return a charge by its id. Raises Refusal (404)."""
        row = self._ledger.row("SELECT * FROM charges WHERE id = ?", charge_id)
        if row is None:
            refusal = machine.not_found(charge_id)
            raise Refusal(refusal.status, refusal.code, refusal.message)
        return _charge(row)

    def charges(self, asked: ReferencePage) -> Row:
        """Return a page of the charges and their total number."""
        rows, total = asked.of(self._ledger, "charges")
        return {"data": [_charge(row).view() for row in rows], "total": total}

    def refunds(self, asked: ReferencePage) -> Row:
        """Return a page of the refunds and their total number."""
        rows, total = asked.of(self._ledger, "refunds")
        return {"data": [_refund(row).view() for row in rows], "total": total}

    # -- accounts --

    def _key_of(self, asked: RefundRequest) -> str:
        if asked.charge_id is not None:
            return self.find(asked.charge_id).idempotency_key
        if asked.charge_key is not None:
            return asked.charge_key
        message = "both charge_id and charge_key are null; name the charge by one of them"
        raise Refusal(400, "charge_not_named", message)

    def _account(self, key: str) -> ChargeAccount:
        row = self._ledger.row("SELECT * FROM charges WHERE idempotency_key = ?", key)
        refunds = self._ledger.rows("SELECT * FROM refunds WHERE charge_key = ? ORDER BY seq", key)
        voided = self._ledger.row("SELECT 1 FROM voided_keys WHERE charge_key = ?", key)
        return ChargeAccount(
            key,
            _charge(row) if row else None,
            tuple(_refund(row) for row in refunds),
            voided is not None,
            self._ledger.failed_calls(f"charge:{key}"),
            self._ledger.failed_calls(f"refund:{key}"),
        )

    def _run(
        self, before: ChargeAccount, work: Callable[[ChargeAccount], ChargeStep]
    ) -> tuple[ChargeStep, int | None]:
        with self._ledger.transaction():
            step = work(before)
            self._store(before, step.account)
            return step, self._callbacks.carry_out(step)

    def _store(self, before: ChargeAccount, after: ChargeAccount) -> None:
        charge = after.charge
        if charge and before.charge is None:
            self._ledger.add("charges", asdict(charge))
        elif charge and charge != before.charge:
            self._ledger.run(
                "UPDATE charges SET status = ?, decline_code = ?, refunded_minor = ?, "
                "captured_minor = ?, lost_minor = ? WHERE id = ?",
                charge.status,
                charge.decline_code,
                charge.refunded_minor,
                charge.captured_minor,
                charge.lost_minor,
                charge.id,
            )
        known = {refund.id: refund for refund in before.refunds}
        for refund in after.refunds:
            if refund.id not in known:
                self._ledger.add("refunds", asdict(refund))
            elif refund != known[refund.id]:
                sql = "UPDATE refunds SET status = ? WHERE id = ?"
                self._ledger.run(sql, refund.status, refund.id)
        if after.voided:
            self._ledger.run("INSERT OR IGNORE INTO voided_keys VALUES (?)", after.key)
        if after.failed_charges != before.failed_charges:
            self._ledger.set_failed_calls(f"charge:{after.key}", after.failed_charges)
        if after.failed_refunds != before.failed_refunds:
            self._ledger.set_failed_calls(f"refund:{after.key}", after.failed_refunds)

    def _timer_due(self, kind: str, subject: str) -> None:
        """Run the machine on a due timer; the caller holds the transaction."""
        table, key = (
            ("refunds", "charge_key")
            if kind in (machine.REFUND, machine.FAILURE)
            else (
                "charges",
                "idempotency_key",
            )
        )
        row = self._ledger.rows(f"SELECT {key} AS key FROM {table} WHERE id = ?", subject)[0]
        before = self._account(row["key"])
        plan = card_plan(before.charge.card_token if before.charge else "")
        step = machine.timer_due(before, kind, subject, plan)
        self._store(before, step.account)
        self._callbacks.carry_out(step)


def _charge(row: Row) -> ChargeRecord:
    return ChargeRecord(**{name: row[name] for name in row if name != "seq"})


def _refund(row: Row) -> RefundRecord:
    return RefundRecord(**{name: row[name] for name in row if name != "seq"})
