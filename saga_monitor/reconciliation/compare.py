"""Compare the outside world's ledgers with our books, both ways. Pure: no I/O, no clock.

| kind | what is found | who corrects it |
|---|---|---|
| unbooked_charge | the provider took money that our books do not show | payment |
| missing_refund | our books show a refund that the provider did not make | payment |
| unknown_charge | the provider took money for an order that was never placed | a person |
| amount_difference | a charge's amount or currency differs from our books | a person |
| missing_charge | our books show a charge that the provider does not know | a person |
| unbooked_refund | the provider refunded more than our books show | a person |
| money_in_books | payment's books differ from the events on an order's money | a person |
| unknown_label | the carrier has a label for an order that was never placed | a person |
| unexpected_label | the carrier has a label that shipping does not use | a person |
| missing_label | shipping has booked a label or pickup that the carrier does not have | a person |
| unbooked_pickup | the carrier has picked up a parcel that shipping still waits for | a person |
| stock_of_order | an order's units contradict its parcel or its status | a person |
| stock | the units of a SKU do not add up | a person, by counting the stock |

An order is compared once it has settled: no event of it came for the settling time, and no
participant has work in progress for it. So orders may be placed during a run. `ChargeFound` tells
payment what to correct; if the difference persists after that, an intervention is opened.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")
SKU = "sku:"
"""Prefix of the subject of a finding about stock; the rest is a SKU, not a saga key."""


class Remedy(StrEnum):
    """The party that corrects a finding: the participant whose books they are, or a person.

    For a person an intervention is opened, if the finding is about an order.
    """

    PARTICIPANT = "participant"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class ChargeRow:
    """A charge in the provider's ledger: money it took."""

    saga: str
    charge_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Refund:
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


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """An order's money in our books."""

    saga: str
    charges: tuple[BookedCharge, ...]


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


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order by its events. quiet: none of them came within the settling time."""

    saga: str
    status: str
    quiet: bool
    captured_minor: int = 0
    refunded_minor: int = 0


@dataclass(frozen=True, slots=True)
class Books:
    """The input. orders: placed ones by saga key; busy: those with work in progress somewhere."""

    orders: Mapping[str, OrderRow]
    busy: frozenset[str] = frozenset()
    charges: Sequence[ChargeRow] = ()
    refunds: Sequence[Refund] = ()
    payments: Sequence[PaymentRow] = ()
    labels: Sequence[LabelRow] = ()
    shipments: Sequence[ShipmentRow] = ()
    reservations: Sequence[ReservationRow] = ()
    stock: Sequence[SkuRow] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between ledger and books.

    subject: a saga key, or `sku:<sku>`; charge, refunded_minor: the provider's figures, by which
    payment corrects its books.
    """

    kind: str
    subject: str
    what: str
    remedy: Remedy = Remedy.PERSON
    charge: ChargeRow | None = None
    refunded_minor: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result. judged, unsettled: numbers of orders compared, and not settled yet."""

    findings: tuple[Difference, ...]
    judged: int
    unsettled: int


def compare(books: Books) -> Comparison:
    """Return all differences, sorted by kind and subject."""
    rows = _RowsByOrder(books)
    settled = [
        o
        for o in rows.ids
        if o not in books.busy and (o not in books.orders or books.orders[o].quiet)
    ]
    found = [
        finding
        for saga in settled
        for finding in (
            *_compare_money(rows, saga),
            *_compare_parcels(rows, saga),
            *_compare_units(rows, saga),
        )
    ]
    found += [finding for sku in books.stock for finding in _compare_stock(sku)]
    found.sort(key=lambda f: (f.kind, f.subject, f.what))
    return Comparison(tuple(found), len(settled), len(rows.ids) - len(settled))


@dataclass(slots=True)
class _RowsByOrder:
    """Groups the rows of `Books` by order."""

    books: Books
    charges: Mapping[str, list[ChargeRow]] = field(init=False)
    refunds: Mapping[str, list[Refund]] = field(init=False)
    payments: Mapping[str, list[PaymentRow]] = field(init=False)
    labels: Mapping[str, list[LabelRow]] = field(init=False)
    shipments: Mapping[str, list[ShipmentRow]] = field(init=False)
    reservations: Mapping[str, list[ReservationRow]] = field(init=False)

    def __post_init__(self) -> None:
        b = self.books
        self.charges = _by(b.charges, lambda row: row.saga)
        self.refunds = _by(b.refunds, lambda row: row.saga)
        self.payments = _by(b.payments, lambda row: row.saga)
        self.labels = _by(b.labels, lambda row: row.saga)
        self.shipments = _by(b.shipments, lambda row: row.saga)
        self.reservations = _by(b.reservations, lambda row: row.saga)

    @property
    def ids(self) -> list[str]:
        """The saga keys of all orders that were placed, charged or given a label, sorted."""
        return sorted({*self.books.orders, *self.charges, *self.labels})


def _by(rows: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


# --- money ----------------------------------------------------------------------------------------


def _compare_money(rows: _RowsByOrder, saga: str) -> Iterator[Difference]:
    order = rows.books.orders.get(saga)
    ours: dict[str, list[BookedCharge]] = defaultdict(list)
    for payment in rows.payments.get(saga, ()):
        for booked in payment.charges:
            ours[booked.charge_id].append(booked)
    back = Counter[str]()
    for refund in rows.refunds.get(saga, ()):
        back[refund.charge_id] += refund.amount_minor
    theirs = {charge.charge_id: charge for charge in rows.charges.get(saga, ())}
    for charge_id, charge in sorted(theirs.items()):
        if order is None and charge_id not in ours:
            if left_minor := charge.amount_minor - back[charge_id]:
                what = f"charge {charge_id} of {_amount(charge)}, {left_minor} of it not refunded"
                yield Difference("unknown_charge", saga, f"{what}, but this order was never placed")
        else:
            yield from _compare_charge(charge, back[charge_id], ours.get(charge_id, []))
    for charge_id, charges in sorted(ours.items()):
        if charge_id not in theirs and any(charge.captured_minor for charge in charges):
            what = f"our books have charge {charge_id}, the provider's ledger does not"
            yield Difference("missing_charge", saga, what)
    if order is not None and rows.payments.get(saga):
        every = [charge for charges in ours.values() for charge in charges]
        in_books = (sum(h.captured_minor for h in every), sum(h.refunded_minor for h in every))
        logged = (order.captured_minor, order.refunded_minor)
        if in_books != logged:
            what = f"captured and refunded: {in_books} in payment's books, {logged} in the log"
            yield Difference("money_in_books", saga, what)


def _compare_charge(
    charge: ChargeRow, back_minor: int, ours: Sequence[BookedCharge]
) -> Iterator[Difference]:
    """Compare one charge of the provider with our books of it."""
    captured_minor = sum(charge.captured_minor for charge in ours)
    refunded_minor = sum(charge.refunded_minor for charge in ours)
    name = f"charge {charge.charge_id} of {_amount(charge)}"
    refunds = f"{back_minor} refunded in the provider's ledger, {refunded_minor} in our books"
    if not ours:
        if back_minor < charge.amount_minor:
            what = f"{name}: not in our books; {refunds}"
            yield _correctable("unbooked_charge", charge, back_minor, what)
    elif captured_minor != charge.amount_minor or ours[0].currency != charge.currency:
        what = f"{name}: our books have {captured_minor} {ours[0].currency}"
        yield Difference("amount_difference", charge.saga, what)
    elif back_minor < refunded_minor:
        yield _correctable("missing_refund", charge, back_minor, f"{name}: {refunds}")
    elif back_minor > refunded_minor:
        yield Difference("unbooked_refund", charge.saga, f"{name}: {refunds}")


def _correctable(kind: str, charge: ChargeRow, back_minor: int, what: str) -> Difference:
    return Difference(kind, charge.saga, what, Remedy.PARTICIPANT, charge, back_minor)


def _amount(charge: ChargeRow) -> str:
    return f"{charge.amount_minor} {charge.currency}"


# --- parcels and units ----------------------------------------------------------------------------


def _compare_parcels(rows: _RowsByOrder, saga: str) -> Iterator[Difference]:
    ours = next(iter(rows.shipments.get(saga, ())), None)
    theirs = {label.label_id: label for label in rows.labels.get(saga, ())}
    booked = ours.label_id if ours and (ours.labelled or ours.gone) else None
    for label_id, label in sorted(theirs.items()):
        state = "picked up" if label.gone else "valid"
        if ours is None and saga not in rows.books.orders:
            what = f"label {label_id} is {state}, but this order was never placed"
            yield Difference("unknown_label", saga, what)
        elif label_id != booked:
            what = f"label {label_id} is {state}; shipping has booked {booked or 'none'}"
            yield Difference("unexpected_label", saga, what)
        elif label.gone and ours and not ours.gone:
            what = f"label {label_id} was picked up; shipping still waits for the pickup"
            yield Difference("unbooked_pickup", saga, what)
    if booked is not None and booked not in theirs:
        what = f"shipping has booked label {booked}, the carrier has no valid label of that id"
        yield Difference("missing_label", saga, what)
    elif ours and ours.gone and booked in theirs and not theirs[booked].gone:
        what = f"label {booked} was picked up by shipping's books; the carrier has not picked it up"
        yield Difference("missing_label", saga, what)


def _compare_units(rows: _RowsByOrder, saga: str) -> Iterator[Difference]:
    shipment = next(iter(rows.shipments.get(saga, ())), None)
    order = rows.books.orders.get(saga)
    for kept in rows.reservations.get(saga, ()):
        gone = shipment is not None and shipment.gone
        if kept.shipped != gone:
            units = "shipped" if kept.shipped else "not shipped"
            parcel = "picked up" if gone else "not picked up"
            what = f"its units are {units}, its parcel is {parcel}"
            yield Difference("stock_of_order", saga, what)
        elif kept.reserved and order is not None and order.status == "cancelled":
            what = "the order is cancelled, but its units are still reserved"
            yield Difference("stock_of_order", saga, what)


def _compare_stock(row: SkuRow) -> Iterator[Difference]:
    def difference(what: str) -> Difference:
        return Difference("stock", f"{SKU}{row.sku}", what)

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
