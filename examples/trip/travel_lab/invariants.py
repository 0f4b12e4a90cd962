"""Checks the suppliers' own ledgers: the `invariants` of the manifest."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx2

from saga_lab.invariants import Evidence, Finding, OwnInvariants
from saga_lab.invariants.finding import finding_of
from saga_lab.invariants.interface import Stack
from travel_lab.rules import Books, Row, broken_rules

LEDGERS = {"car": "rental", "hotel": "payer", "flight": "airline", "mail": "mail"}
"""Maps what a trip books to the supplier whose ledger says so."""
PAGE = 10_000


class TripInvariants(OwnInvariants):
    """Compares each trip's end with what the four suppliers say of it."""

    @property
    def checks(self) -> Sequence[Callable[[Evidence], Finding]]:
        """The check."""
        return (suppliers_agree,)

    def gather(self, stack: Stack) -> Mapping[str, Sequence[Row]]:
        """Fetch the ledgers."""
        urls = [f"{stack['urls'][supplier]}/v1/bookings" for supplier in LEDGERS.values()]
        with ThreadPoolExecutor() as pool:
            return dict(zip(LEDGERS, pool.map(_ledger, urls), strict=True))


def suppliers_agree(evidence: Evidence) -> Finding:
    """Check invariant 2: a completed trip has and has paid one of each, a cancelled one nothing."""
    books: dict[str, dict[str, list[Row]]] = defaultdict(lambda: {name: [] for name in LEDGERS})
    for name, rows in evidence.own.items():
        for row in rows:
            if row["reference"]:  # none: cancelled before it was made
                books[row["reference"]][name].append(row)
    counts = ", ".join(f"{LEDGERS[name]} {len(rows)}" for name, rows in evidence.own.items())
    return finding_of(
        2,
        "The suppliers hold and keep what the trip's end says",
        f"the suppliers' ledgers: {counts} bookings, against {len(evidence.accepted)} trips",
        [
            *(f"{saga}: booked, but no such trip" for saga in books.keys() - evidence.accepted),
            *(
                f"{saga}: {wrong}"
                for saga in evidence.accepted
                for wrong in _broken(evidence, saga, books[saga])
            ),
        ],
    )


def _broken(evidence: Evidence, saga: str, books: Books) -> list[str]:
    logged = (one for found in evidence.events_by_saga[saga].values() for one in found)
    return list(broken_rules(evidence.end_of(saga), [one.event for one in logged], books))


def _ledger(url: str) -> list[Row]:
    found: list[Row] = []
    with httpx2.Client(timeout=30, trust_env=False) as client:
        while True:
            answer = client.get(url, params={"limit": PAGE, "offset": len(found)})
            page = answer.raise_for_status().json()
            found += page["data"]
            if len(found) >= page["total"] or not page["data"]:
                return found


INVARIANTS = TripInvariants()
