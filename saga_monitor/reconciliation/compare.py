"""Compare the outside world's ledgers with our books, both ways. Pure: no I/O, no clock.

| kind | what is found | who puts it right |
|---|---|---|
| unheard_charge | the provider took money that our books do not show | payment |
| missing_refund | our books show a refund that the provider did not make | payment |
| unknown_charge | the provider took money for an order that nobody knows | a person |
| amount_difference | a charge's amount or currency differs from our books | a person |
| missing_charge | our books show a charge that the provider does not know | a person |
| unheard_refund | the provider refunded more than our books show | a person |
| money_in_books | payment's books differ from the events on an order's money | a person |
| unknown_label | the carrier has a label for an order that nobody knows | a person |
| unheard_label | the carrier has a label that shipping does not count on | a person |
| missing_label | shipping counts on a label or pickup that the carrier does not have | a person |
| unheard_pickup | the carrier has picked up a parcel that shipping still waits for | a person |
| stock_of_order | an order's units contradict its parcel or its status | a person |
| stock | the units of a SKU do not add up | a person, at the shelf |

An order is judged once it is quiet: no event of it came into the log for the settling time, and no
participant has work under way for it. So new orders may flow during a run. `ChargeFound` tells
payment what to put right; if the difference persists after that, an intervention is opened.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")
SKU = "sku:"
"""Prefix of the subject of a finding about stock; the rest is a SKU, not an order id."""


class Remedy(StrEnum):
    """The party that puts a finding right: the participant whose books they are, or a person (with
    an intervention, if the finding is about an order)."""

    FORCE = "force"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class ChargeRow:
    """A charge in the provider's ledger: money it took."""

    order_id: str
    charge_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund in the provider's ledger: money it gave back, or is giving back."""

    order_id: str
    refund_id: str
    charge_id: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Held:
    """One captured charge in our books."""

    charge_id: str
    currency: str
    captured_minor: int
    refunded_minor: int = 0


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """An order's money in our books."""

    order_id: str
    charges: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A valid label in the carrier's ledger. gone: picked up."""

    order_id: str
    label_id: str
    gone: bool


@dataclass(frozen=True, slots=True)
class ShipmentRow:
    """An order's parcel in our books. labelled: it waits for the carrier; gone: picked up."""

    order_id: str
    label_id: str | None
    labelled: bool
    gone: bool


@dataclass(frozen=True, slots=True)
class ReservationRow:
    """An order's units in our books."""

    order_id: str
    held: bool
    shipped: bool


@dataclass(frozen=True, slots=True)
class Shelf:
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

    order_id: str
    status: str
    quiet: bool
    captured_minor: int = 0
    refunded_minor: int = 0


@dataclass(frozen=True, slots=True)
class Books:
    """The input. orders: placed ones by id; busy: orders with work under way at a participant."""

    orders: Mapping[str, OrderRow]
    busy: frozenset[str] = frozenset()
    charges: Sequence[ChargeRow] = ()
    refunds: Sequence[Refund] = ()
    payments: Sequence[PaymentRow] = ()
    labels: Sequence[LabelRow] = ()
    shipments: Sequence[ShipmentRow] = ()
    reservations: Sequence[ReservationRow] = ()
    stock: Sequence[Shelf] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference. subject: an order id, or `sku:<sku>`; charge, refunded_minor: the provider's
    figures, for payment to put right."""

    kind: str
    subject: str
    what: str
    remedy: Remedy = Remedy.PERSON
    charge: ChargeRow | None = None
    refunded_minor: int = 0


@dataclass(frozen=True, slots=True)
class Compared:
    """The result. judged, unsettled: numbers of orders compared, and of orders not settled yet."""

    findings: tuple[Difference, ...]
    judged: int
    unsettled: int


def compare(books: Books) -> Compared:
    """Return all differences, sorted by kind and subject."""
    sides = _Sides(books)
    settled = [
        o
        for o in sides.ids
        if o not in books.busy and (o not in books.orders or books.orders[o].quiet)
    ]
    found = [
        finding
        for order_id in settled
        for finding in (
            *_money(sides, order_id),
            *_parcels(sides, order_id),
            *_units(sides, order_id),
        )
    ]
    found += [finding for shelf in books.stock for finding in _shelf(shelf)]
    found.sort(key=lambda f: (f.kind, f.subject, f.what))
    return Compared(tuple(found), len(settled), len(sides.ids) - len(settled))


@dataclass(slots=True)
class _Sides:
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
        self.charges = _by(b.charges, lambda row: row.order_id)
        self.refunds = _by(b.refunds, lambda row: row.order_id)
        self.payments = _by(b.payments, lambda row: row.order_id)
        self.labels = _by(b.labels, lambda row: row.order_id)
        self.shipments = _by(b.shipments, lambda row: row.order_id)
        self.reservations = _by(b.reservations, lambda row: row.order_id)

    @property
    def ids(self) -> list[str]:
        """The ids of all orders that were placed, charged or given a label, sorted."""
        return sorted({*self.books.orders, *self.charges, *self.labels})


def _by(rows: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


# --- money ----------------------------------------------------------------------------------------


def _money(sides: _Sides, order_id: str) -> Iterator[Difference]:
    order = sides.books.orders.get(order_id)
    ours: dict[str, list[Held]] = defaultdict(list)
    for payment in sides.payments.get(order_id, ()):
        for held in payment.charges:
            ours[held.charge_id].append(held)
    back = Counter[str]()
    for refund in sides.refunds.get(order_id, ()):
        back[refund.charge_id] += refund.amount_minor
    theirs = {charge.charge_id: charge for charge in sides.charges.get(order_id, ())}
    for charge_id, charge in sorted(theirs.items()):
        if order is None and charge_id not in ours:
            if left_minor := charge.amount_minor - back[charge_id]:
                what = f"charge {charge_id} of {_amount(charge)}, {left_minor} of it not given back"
                yield Difference(
                    "unknown_charge", order_id, f"{what}, and no such order was placed"
                )
        else:
            yield from _charge(charge, back[charge_id], ours.get(charge_id, []))
    for charge_id, held_ones in sorted(ours.items()):
        if charge_id not in theirs and any(held.captured_minor for held in held_ones):
            what = f"our books hold charge {charge_id}, of which the provider's ledger has nothing"
            yield Difference("missing_charge", order_id, what)
    if order is not None and sides.payments.get(order_id):
        every = [held for held_ones in ours.values() for held in held_ones]
        booked = (sum(h.captured_minor for h in every), sum(h.refunded_minor for h in every))
        told = (order.captured_minor, order.refunded_minor)
        if booked != told:
            what = f"captured and refunded by payment's books {booked}, by the log {told}"
            yield Difference("money_in_books", order_id, what)


def _charge(charge: ChargeRow, back_minor: int, ours: Sequence[Held]) -> Iterator[Difference]:
    """Compare one charge of the provider with our books of it."""
    captured_minor = sum(held.captured_minor for held in ours)
    refunded_minor = sum(held.refunded_minor for held in ours)
    where = f"charge {charge.charge_id} of {_amount(charge)}"
    gone = f"the provider gave {back_minor} back, our books {refunded_minor}"
    if not ours:
        if back_minor < charge.amount_minor:
            what = f"{where}: our books have never heard of it; {gone}"
            yield _forced("unheard_charge", charge, back_minor, what)
    elif captured_minor != charge.amount_minor or ours[0].currency != charge.currency:
        what = f"{where}: our books say {captured_minor} {ours[0].currency}"
        yield Difference("amount_difference", charge.order_id, what)
    elif back_minor < refunded_minor:
        yield _forced("missing_refund", charge, back_minor, f"{where}: {gone}")
    elif back_minor > refunded_minor:
        yield Difference("unheard_refund", charge.order_id, f"{where}: {gone}")


def _forced(kind: str, charge: ChargeRow, back_minor: int, what: str) -> Difference:
    return Difference(kind, charge.order_id, what, Remedy.FORCE, charge, back_minor)


def _amount(charge: ChargeRow) -> str:
    return f"{charge.amount_minor} {charge.currency}"


# --- parcels and units ----------------------------------------------------------------------------


def _parcels(sides: _Sides, order_id: str) -> Iterator[Difference]:
    ours = next(iter(sides.shipments.get(order_id, ())), None)
    theirs = {label.label_id: label for label in sides.labels.get(order_id, ())}
    counted = ours.label_id if ours and (ours.labelled or ours.gone) else None
    for label_id, label in sorted(theirs.items()):
        state = "picked up" if label.gone else "valid"
        if ours is None and order_id not in sides.books.orders:
            what = f"label {label_id} is {state}, and no such order was placed"
            yield Difference("unknown_label", order_id, what)
        elif label_id != counted:
            what = f"label {label_id} is {state}; shipping counts on {counted or 'none'}"
            yield Difference("unheard_label", order_id, what)
        elif label.gone and ours and not ours.gone:
            what = f"label {label_id} is picked up; shipping still waits for it"
            yield Difference("unheard_pickup", order_id, what)
    if counted is not None and counted not in theirs:
        what = f"shipping counts on label {counted}, and the carrier has no valid one of that id"
        yield Difference("missing_label", order_id, what)
    elif ours and ours.gone and counted in theirs and not theirs[counted].gone:
        what = f"shipping says label {counted} is picked up, the carrier has it waiting"
        yield Difference("missing_label", order_id, what)


def _units(sides: _Sides, order_id: str) -> Iterator[Difference]:
    shipment = next(iter(sides.shipments.get(order_id, ())), None)
    order = sides.books.orders.get(order_id)
    for kept in sides.reservations.get(order_id, ()):
        gone = shipment is not None and shipment.gone
        if kept.shipped != gone:
            said = "shipped" if kept.shipped else "not shipped"
            what = f"its units are {said}, its parcel is {'gone' if gone else 'not gone'}"
            yield Difference("stock_of_order", order_id, what)
        elif kept.held and order is not None and order.status == "cancelled":
            what = "its units are set aside, and it is cancelled"
            yield Difference("stock_of_order", order_id, what)


def _shelf(shelf: Shelf) -> Iterator[Difference]:
    def told(what: str) -> Difference:
        return Difference("stock", f"{SKU}{shelf.sku}", what)

    if min(shelf.on_hand, shelf.reserved, shelf.shipped) < 0:
        yield told(
            f"below zero: {shelf.on_hand} on hand, {shelf.reserved} reserved, "
            f"{shelf.shipped} shipped"
        )
    if shelf.on_hand + shelf.reserved + shelf.shipped != shelf.put_in:
        yield told(
            f"{shelf.on_hand} on hand + {shelf.reserved} reserved + {shelf.shipped} shipped "
            f"is not {shelf.put_in} put in"
        )
    if shelf.reserved != shelf.orders_hold:
        yield told(f"{shelf.reserved} reserved, the orders hold {shelf.orders_hold}")
    if shelf.shipped != shelf.orders_shipped:
        yield told(f"{shelf.shipped} shipped, by the orders {shelf.orders_shipped}")
