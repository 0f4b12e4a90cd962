"""Compares the order application's ledgers with its books: `monitor.reconciliation`. Pure.

| kind | what is found | who corrects it |
|---|---|---|
| unbooked_charge | the provider took money that our books do not show | payment |
| missing_refund | our books show a refund that the provider did not make | payment |
| unknown_charge | the provider took money for an order that was never placed | a person |
| amount_difference | a charge's amount or currency differs from our books | a person or payment |
| too_little, too_much | an order keeps another amount than its total, or than none | a person |
| missing_charge | our books show a charge that the provider does not know | a person |
| unbooked_refund | the provider refunded more than our books show | a person |
| money_in_books | payment's books differ from the events on an order's money | a person |
| unknown_label | the carrier has a label for an order that was never placed | a person |
| unexpected_label | the carrier has a label that shipping does not use | a person |
| missing_label | shipping has booked a label or pickup that the carrier does not have | a person |
| unbooked_pickup | the carrier has picked up a parcel that shipping still waits for | a person |
| stock_of_order | an order's units contradict its parcel or its status | a person |
| stock | the units of a SKU do not add up | a person, by counting the stock |

`ChargeFound` tells payment which charge to read at the provider. Money is compared whatever else is
pending; while payment makes a refund, only charges that its books do not have at all.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from saga_monitor.reconciliation.rules import (
    ComparedSaga,
    Correction,
    Difference,
    Rows,
    RowsOfSaga,
    Rules,
    Work,
)
from sagakit.identity import split_key
from schemas.events import ChargeFound

SKU = "sku:"
"""Prefix of the subject of a finding about stock; the rest is a SKU, not a saga key."""
ACTOR = "saga_monitor"
MONEY = "money"
"""Name of the flow's balance that payment's books are compared with."""
BOOKING = ("", "charge", "look")
"""Kinds of payment's work that may book a charge which the provider has already."""


@dataclass(frozen=True, slots=True)
class ChargeRow:
    """A charge in the provider's ledger: money it took."""

    saga: str
    charge_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class RefundRow:
    """A refund in the provider's ledger: money it gave back, or is giving back."""

    saga: str
    refund_id: str
    charge_id: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class BookedCharge:
    """One captured charge in our books."""

    charge_id: str
    currency: str
    captured_minor: int
    refunded_minor: int = 0
    failed_minor: int = 0
    lost_minor: int = 0

    @property
    def returned_minor(self) -> int:
        """The amount that was refunded, without refunds that failed."""
        return self.refunded_minor - self.failed_minor


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """An order's money in our books. total_minor, currency: of the order, None if not known."""

    saga: str
    charges: tuple[BookedCharge, ...]
    total_minor: int | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A valid label in the carrier's ledger. gone: picked up."""

    saga: str
    label_id: str
    gone: bool


@dataclass(frozen=True, slots=True)
class ShipmentRow:
    """An order's parcel in our books. labelled: it waits for the carrier; gone: picked up."""

    saga: str
    label_id: str | None
    labelled: bool
    gone: bool


@dataclass(frozen=True, slots=True)
class ReservationRow:
    """An order's units in our books."""

    saga: str
    reserved: bool
    shipped: bool


@dataclass(frozen=True, slots=True)
class SkuRow:
    """A SKU in our books, in units. orders_hold, orders_shipped: sums over the reservations."""

    sku: str
    on_hand: int
    reserved: int
    shipped: int
    put_in: int
    orders_hold: int
    orders_shipped: int


class OrderRules(Rules):
    """The rules above."""

    ledgers: ClassVar[Mapping[str, type[Any]]] = {
        "charges": ChargeRow,
        "refunds": RefundRow,
        "labels": LabelRow,
    }
    books: ClassVar[Mapping[str, type[Any]]] = {
        "payments": PaymentRow,
        "shipments": ShipmentRow,
        "reservations": ReservationRow,
        "stock": SkuRow,
    }
    known_by = ("charges", "labels")

    def compare_saga(self, rows: RowsOfSaga) -> Iterator[Difference]:
        """Compare an order's money, parcels and units."""
        yield from _compare_money(rows)
        yield from _compare_parcels(rows)
        yield from _compare_units(rows)

    def compare_part(self, rows: RowsOfSaga, work: Collection[Work]) -> Iterator[Difference]:
        """Compare the money that the work in progress cannot change; a refund books no charge.

        A parcel and its units are told from one participant to the next, so they wait.
        """
        if all(one.participant != "payment" for one in work):
            yield from _compare_money(rows)
        elif not {Work("payment", kind) for kind in BOOKING} & set(work):
            yield from _unbooked_charges(rows)

    def compare_rest(self, rows: Rows) -> Iterable[Difference]:
        """Compare the stock of each SKU."""
        return (finding for sku in rows["stock"] for finding in _compare_stock(sku))


RULES = OrderRules()


# --- money ----------------------------------------------------------------------------------------


def _compare_money(rows: RowsOfSaga) -> Iterator[Difference]:
    yield from _unbooked_charges(rows)
    ours, back = _booked_charges(rows), _given_back(rows)
    theirs = {charge.charge_id: charge for charge in rows.of("charges")}
    for charge_id, charges in sorted(ours.items()):
        if charge_id in theirs:
            yield from _compare_charge(theirs[charge_id], back[charge_id], charges)
        elif any(charge.captured_minor for charge in charges):
            what = f"our books have charge {charge_id}, the provider's ledger does not"
            yield Difference("missing_charge", rows.saga, what)
    if rows.row is not None:
        for payment in rows.of("payments"):
            yield from _compare_with_log(rows.row, payment)
            yield from _compare_with_total(rows.row, payment)


def _booked_charges(rows: RowsOfSaga) -> Mapping[str, Sequence[BookedCharge]]:
    found: dict[str, list[BookedCharge]] = defaultdict(list)
    for payment in rows.of("payments"):
        for booked in payment.charges:
            found[booked.charge_id].append(booked)
    return found


def _given_back(rows: RowsOfSaga) -> Counter[str]:
    back = Counter[str]()
    for refund in rows.of("refunds"):
        back[refund.charge_id] += refund.amount_minor
    return back


def _unbooked_charges(rows: RowsOfSaga) -> Iterator[Difference]:
    """Compare the charges of the provider that our books do not have at all."""
    ours, back = _booked_charges(rows), _given_back(rows)
    for charge in sorted(rows.of("charges"), key=lambda charge: str(charge.charge_id)):
        back_minor = back[charge.charge_id]
        left_minor = charge.amount_minor - back_minor
        if charge.charge_id in ours or left_minor <= 0:
            continue
        name = f"charge {charge.charge_id} of {_amount(charge)}"
        if rows.row is None:
            what = f"{name}, {left_minor} of it not refunded, but this order was never placed"
            yield Difference("unknown_charge", rows.saga, what)
        else:
            what = f"{name}: not in our books; {back_minor} of it refunded in the provider's ledger"
            yield _correctable("unbooked_charge", charge, back_minor, what)


def _compare_with_log(order: ComparedSaga, payment: PaymentRow) -> Iterator[Difference]:
    added_minor = sum(c.captured_minor + c.failed_minor for c in payment.charges)
    removed_minor = sum(c.refunded_minor + c.lost_minor for c in payment.charges)
    in_books, logged = (added_minor, removed_minor), order.balances.get(MONEY, (0, 0))
    if in_books != logged:
        what = f"captured and refunded: {in_books} in payment's books, {logged} in the log"
        yield Difference("money_in_books", order.saga, what)


def _compare_with_total(order: ComparedSaga, payment: PaymentRow) -> Iterator[Difference]:
    """Compare what an ended order keeps with its total.

    What a dispute took counts as kept, since it has an intervention of its own.
    """
    wanted_minor = {"completed": payment.total_minor, "cancelled": 0}.get(order.status)
    if wanted_minor is None:
        return
    kept = Counter[str]()
    for charge in payment.charges:
        kept[charge.currency] += charge.captured_minor - charge.returned_minor
    wanted = Counter({payment.currency or "": wanted_minor})
    if kept - wanted or wanted - kept:
        what = f"a {order.status} order of {payment.total_minor} {payment.currency} keeps " + (
            " and ".join(f"{n} {currency}" for currency, n in sorted(kept.items()) if n)
            or "nothing"
        )
        kind = "too_little" if wanted - kept else "too_much"
        yield Difference(kind, order.saga, what)


def _compare_charge(
    charge: ChargeRow, back_minor: int, ours: Sequence[BookedCharge]
) -> Iterator[Difference]:
    """Compare one charge of the provider with our books of it."""
    captured_minor = sum(charge.captured_minor for charge in ours)
    returned_minor = sum(charge.returned_minor for charge in ours)
    name = f"charge {charge.charge_id} of {_amount(charge)}"
    refunds = f"{back_minor} refunded in the provider's ledger, {returned_minor} in our books"
    same_currency = ours[0].currency == charge.currency
    if captured_minor != charge.amount_minor or not same_currency:
        what = f"{name}: our books have {captured_minor} {ours[0].currency}"
        if same_currency and captured_minor < charge.amount_minor:
            yield _correctable("amount_difference", charge, back_minor, what)
        else:
            yield Difference("amount_difference", charge.saga, what)
    elif back_minor < returned_minor:
        yield _correctable("missing_refund", charge, back_minor, f"{name}: {refunds}")
    elif back_minor > returned_minor:
        yield Difference("unbooked_refund", charge.saga, f"{name}: {refunds}")


def _correctable(kind: str, charge: ChargeRow, back_minor: int, what: str) -> Difference:
    event = ChargeFound(
        order_id=split_key(charge.saga)[1],
        charge_id=charge.charge_id,
        captured_minor=charge.amount_minor,
        refunded_minor=back_minor,
        currency=charge.currency,
        actor=ACTOR,
        reason=f"{kind}: {what}",
    )
    state = f"{charge.charge_id}:{charge.amount_minor}:{back_minor}"
    return Difference(kind, charge.saga, what, correction=Correction(event, state))


def _amount(charge: ChargeRow) -> str:
    return f"{charge.amount_minor} {charge.currency}"


# --- parcels and units ----------------------------------------------------------------------------


def _compare_parcels(rows: RowsOfSaga) -> Iterator[Difference]:
    ours = next(iter(rows.of("shipments")), None)
    theirs = {label.label_id: label for label in rows.of("labels")}
    booked = ours.label_id if ours and (ours.labelled or ours.gone) else None
    for label_id, label in sorted(theirs.items()):
        state = "picked up" if label.gone else "valid"
        if ours is None and rows.row is None:
            what = f"label {label_id} is {state}, but this order was never placed"
            yield Difference("unknown_label", rows.saga, what)
        elif label_id != booked:
            what = f"label {label_id} is {state}; shipping has booked {booked or 'none'}"
            yield Difference("unexpected_label", rows.saga, what)
        elif label.gone and ours and not ours.gone:
            what = f"label {label_id} was picked up; shipping still waits for the pickup"
            yield Difference("unbooked_pickup", rows.saga, what)
    if booked is not None and booked not in theirs:
        what = f"shipping has booked label {booked}, the carrier has no valid label of that id"
        yield Difference("missing_label", rows.saga, what)
    elif ours and ours.gone and booked in theirs and not theirs[booked].gone:
        what = f"label {booked} was picked up by shipping's books; the carrier has not picked it up"
        yield Difference("missing_label", rows.saga, what)


def _compare_units(rows: RowsOfSaga) -> Iterator[Difference]:
    shipment = next(iter(rows.of("shipments")), None)
    order = rows.row
    for kept in rows.of("reservations"):
        gone = shipment is not None and shipment.gone
        if kept.shipped != gone:
            units = "shipped" if kept.shipped else "not shipped"
            parcel = "picked up" if gone else "not picked up"
            what = f"its units are {units}, its parcel is {parcel}"
            yield Difference("stock_of_order", rows.saga, what)
        elif kept.reserved and order is not None and order.status == "cancelled":
            what = "the order is cancelled, but its units are still reserved"
            yield Difference("stock_of_order", rows.saga, what)


def _compare_stock(row: SkuRow) -> Iterator[Difference]:
    def difference(what: str) -> Difference:
        return Difference("stock", f"{SKU}{row.sku}", what, about_saga=False)

    if min(row.on_hand, row.reserved, row.shipped) < 0:
        yield difference(
            f"below zero: {row.on_hand} on hand, {row.reserved} reserved, {row.shipped} shipped"
        )
    if row.on_hand + row.reserved + row.shipped != row.put_in:
        yield difference(
            f"{row.on_hand} on hand + {row.reserved} reserved + {row.shipped} shipped "
            f"is not the {row.put_in} that were put in"
        )
    if row.reserved != row.orders_hold:
        yield difference(
            f"{row.reserved} reserved, but {row.orders_hold} in the orders' reservations"
        )
    if row.shipped != row.orders_shipped:
        yield difference(
            f"{row.shipped} shipped, but {row.orders_shipped} in the orders' reservations"
        )
