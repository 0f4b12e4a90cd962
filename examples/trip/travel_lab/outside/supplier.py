"""Runs a fake supplier with its own ledger: `python -m travel_lab.outside.supplier`.

`machine` says how the subject of a booking chooses its behaviour. `SANDBOX_PAID_AT_ONCE=true` makes
it capture when it books, as the airline does. `POST /v1/bookings`, `/v1/captures` and
`/v1/cancellations` take the header `Idempotency-Key`; the latter two name the booking by its key.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated, Any
from uuid import uuid4

import orjson
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from pydantic import BaseModel, Field

from saga_lab.fakes import base
from travel_lab.outside import machine
from travel_lab.outside.machine import Account, Asked, Booking, Step

SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
    seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,
    reference TEXT, booked INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS accounts_reference ON accounts (reference, seq);
"""
router = base.v1_router()


class SupplierSettings(base.SandboxSettings):
    """Adds whether the supplier is paid at once."""

    paid_at_once: bool = False


class BookingRequest(BaseModel):
    """The body of `POST /v1/bookings`."""

    reference: base.Id
    subject: str = Field(min_length=1, max_length=400)
    amount_minor: int = Field(0, ge=0)
    currency: str = Field("", max_length=3)
    detail: str = Field("", max_length=1000)
    closes_at: int | None = None


class KeyNamed(BaseModel):
    """The body of a call about a booking."""

    booking_key: base.Id


class Supplier:
    """Keeps the accounts. `carry_out`: starts a step's timers and sends its webhooks."""

    def __init__(
        self,
        ledger: base.Ledger,
        *,
        paid_at_once: bool = False,
        carry_out: Callable[[Step], Any] = lambda step: None,
    ) -> None:
        self._ledger, self._paid_at_once, self._carry_out = ledger, paid_at_once, carry_out

    def book(self, key: str, asked: Asked, now_s: float) -> Step:
        """See `machine.book`."""
        paid = self._paid_at_once
        return self._step(
            key, lambda a: machine.book(a, asked, _new_id(), now_s, paid_at_once=paid)
        )

    def capture(self, key: str) -> Step:
        """See `machine.capture`."""
        return self._step(key, lambda account: machine.capture(account, _new_id()))

    def cancel(self, key: str) -> Step:
        """See `machine.cancel`."""
        return self._step(key, lambda account: machine.cancel(account, _new_id()))

    def timer_due(self, kind: str, key: str) -> None:
        """See `machine.timer_due`; called inside a transaction."""
        step = machine.timer_due(self._account(key), kind)
        self._save(step.account)
        self._carry_out(step)

    def page(self, asked: base.Page, reference: str | None) -> tuple[list[base.Row], int]:
        """Return bookings as the API shows them, and how many there are."""
        rows, total = self._ledger.page("accounts", asked, reference=reference, booked=1)
        accounts = [_read(row["body"]) for row in rows]
        return [account.booking.view() for account in accounts if account.booking], total

    def _step(self, key: str, work: Callable[[Account], Step]) -> Step:
        with self._ledger.transaction():
            step = work(self._account(key))
            self._save(step.account)
            self._carry_out(step)
        return step

    def _account(self, key: str) -> Account:
        row = self._ledger.row("SELECT body FROM accounts WHERE key = ?", key)
        return _read(row["body"]) if row else Account(key)

    def _save(self, account: Account) -> None:
        booking = account.booking
        self._ledger.run(
            "INSERT INTO accounts (key, reference, booked, body) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET"
            " reference = excluded.reference, booked = excluded.booked, body = excluded.body",
            account.key,
            booking.reference if booking else None,
            booking is not None,
            orjson.dumps(asdict(account)),
        )


def _read(body: bytes) -> Account:
    row = orjson.loads(body)
    booking = row.pop("booking")
    return Account(**row, booking=None if booking is None else Booking(**booking))


def _new_id() -> str:
    return f"bk_{uuid4().hex[:16]}"


# --- the API --------------------------------------------------------------------------------------


async def _supplier(request: Request) -> Supplier:
    supplier: Supplier = request.app.state.supplier
    return supplier


Sells = Annotated[Supplier, Depends(_supplier)]


@router.post("/bookings")
async def book(
    request: Request, supplier: Sells, key: base.IdempotencyKey, asked: BookingRequest
) -> Response:
    step = supplier.book(key, Asked(**asked.model_dump()), time.time())
    return await base.reply(request, step)


@router.post("/captures")
async def capture(
    request: Request, supplier: Sells, key: base.IdempotencyKey, asked: KeyNamed
) -> Response:
    return await base.reply(request, supplier.capture(asked.booking_key))


@router.post("/cancellations")
async def cancel(
    request: Request, supplier: Sells, key: base.IdempotencyKey, asked: KeyNamed
) -> Response:
    return await base.reply(request, supplier.cancel(asked.booking_key))


@router.get("/bookings")
async def list_bookings(
    supplier: Sells, asked: Annotated[base.Page, Query()], reference: str | None = None
) -> Response:
    rows, total = supplier.page(asked, reference)
    return base.json_response({"data": rows, "total": total})


def supplier_app(ledger: base.Ledger, *routers: APIRouter) -> FastAPI:
    """Build the app of a supplier; its `state.supplier` is set by the caller."""
    return base.create_app(ledger, router, *routers)


def main() -> None:
    settings = base.read_settings(SupplierSettings)
    ledger = base.Ledger(settings.db, SCHEMA)
    app = supplier_app(ledger)
    app.state.supplier = Supplier(ledger, paid_at_once=settings.paid_at_once)
    base.serve(app, settings, nullcontext())


if __name__ == "__main__":
    main()
