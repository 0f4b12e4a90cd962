"""Gathers what the order application's own ledgers say: the outside world's and inventory's."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx2

from saga_lab.invariants.evidence import Evidence
from saga_lab.invariants.gather import query
from saga_lab.invariants.interface import Stack
from schemas.events import OrderFacts

PAGE = 10_000
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StockRow:
    """Holds the units of one SKU in inventory's own table."""

    sku: str
    on_hand: int
    reserved: int
    shipped: int
    put_in: int


@dataclass(frozen=True)
class Ledgers:
    """Holds the ledgers.

    charges, refunds, labels, mails: as the outside world shows them; stock: per SKU; held: SKU ->
    units that inventory's reservations hold.
    """

    charges: Sequence[Row] = ()
    refunds: Sequence[Row] = ()
    labels: Sequence[Row] = ()
    mails: Sequence[Row] = ()
    stock: Sequence[StockRow] = ()
    held: Mapping[str, int] = field(default_factory=dict)


def ledgers_in(evidence: Evidence) -> Ledgers:
    """Return the ledgers in the evidence."""
    assert isinstance(evidence.own, Ledgers)
    return evidence.own


def facts_of(evidence: Evidence, saga: str) -> OrderFacts:
    """Return the facts of an accepted order."""
    facts: OrderFacts = evidence.accepted[saga].event.order
    return facts


def gather_ledgers(stack: Stack) -> Ledgers:
    """Fetch all ledgers in parallel."""
    urls = stack["urls"]
    with ThreadPoolExecutor() as pool:
        books = pool.submit(_books, stack["databases"]["inventory"])
        charges, refunds, labels, mails = pool.map(
            _ledger,
            (
                f"{urls['provider']}/v1/charges",
                f"{urls['provider']}/v1/refunds",
                f"{urls['carrier']}/v1/labels",
                f"{urls['mail']}/v1/mails",
            ),
        )
        stock, held = books.result()
        return Ledgers(charges, refunds, labels, mails, stock, held)


def _ledger(url: str) -> list[Row]:
    found: list[Row] = []
    with httpx2.Client(timeout=30, trust_env=False) as client:
        while True:
            answer = client.get(url, params={"limit": PAGE, "offset": len(found)})
            page = answer.raise_for_status().json()
            found += page["data"]
            if len(found) >= page["total"] or not page["data"]:
                return found


def _books(url: str) -> tuple[list[StockRow], Mapping[str, int]]:
    """Return inventory's stock rows, and SKU -> units held by its open reservations."""
    stock = query(url, "SELECT sku, on_hand, reserved, shipped, put_in FROM stock ORDER BY sku")
    kept = query(url, "SELECT lines FROM reservation WHERE phase = 'reserved'")
    held = Counter[str]()
    for sku, quantity in _lines(row[0] for row in kept):
        held[sku] += quantity
    return [StockRow(*row) for row in stock], held


def _lines(kept: Iterable[Any]) -> Iterable[tuple[str, int]]:
    """Yield SKU and units of every line; each reservation keeps its lines as a JSON list."""
    for lines in kept:
        yield from ((line["sku"], line["quantity"]) for line in lines)
