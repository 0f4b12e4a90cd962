"""Checks the order application's ledgers: the `invariants` of its manifest.

| invariant | where |
|---|---|
| 2 money | `checks.money` |
| 3 units of stock | `checks.units` |
| 4 one parcel, one mail of each kind | `checks.one_label_and_mail` |
| 7 nothing undone past the pivot | `checks.undone_past_pivot` |
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from saga_lab.invariants import Evidence, Finding, OwnInvariants
from saga_lab.invariants.interface import Stack
from shop.invariants import checks
from shop.invariants.ledgers import Ledgers, gather_ledgers

__all__ = ["INVARIANTS", "OrderInvariants"]


class OrderInvariants(OwnInvariants):
    """Checks money, units, parcels and mails against the outside world's own ledgers."""

    ends: Mapping[str, str] = {"OrderCompleted": "completed", "OrderCancelled": "cancelled"}

    @property
    def checks(self) -> Sequence[Callable[[Evidence], Finding]]:
        """The checks, see the package."""
        return (checks.money, checks.units, checks.one_label_and_mail)

    def gather(self, stack: Stack) -> Ledgers:
        """Fetch the ledgers."""
        return gather_ledgers(stack)

    def undone_past_pivot(self, evidence: Evidence, saga: str) -> Iterator[str]:
        """Yield what was undone of an order that was picked up."""
        return checks.undone_past_pivot(evidence, saga)


INVARIANTS = OrderInvariants()
