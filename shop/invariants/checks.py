"""Checks invariants 2 to 4 by the ledgers, and what is undone past the pivot. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from saga_lab.invariants.evidence import Evidence
from saga_lab.invariants.finding import Finding, finding_of
from shop.invariants.ledgers import Row, StockRow, facts_of, ledgers_in

GIVEN_BACK = ("refunded", "partial")
"""Statuses of a provider's refund that has moved money."""


# --- money ----------------------------------------------------------------------------------------


def money(evidence: Evidence) -> Finding:
    """Check invariant 2: one charge at most, refunds within it, nothing kept when cancelled.

    A completed order keeps exactly its total.
    """
    ledgers = ledgers_in(evidence)
    charges = by_saga(c for c in ledgers.charges if c["status"] == "captured")
    refunds = by_saga(ledgers.refunds)
    taken = sum(len(rows) for rows in charges.values())
    back = sum(_amount(rows, GIVEN_BACK) > 0 for rows in refunds.values())
    return finding_of(
        2,
        "Every cent is accounted for",
        f"the provider's ledger: {len(ledgers.charges)} charges asked for, {taken} captured, "
        f"{back} orders refunded, against {len(evidence.accepted)} orders",
        [
            *_rows_of_unknown_orders(evidence, "charged", charges),
            *(
                violation
                for saga in evidence.accepted
                for violation in _money_of(
                    evidence, saga, charges.get(saga, []), refunds.get(saga, [])
                )
            ),
        ],
    )


def _money_of(
    evidence: Evidence, saga: str, charges: list[Row], refunds: list[Row]
) -> Iterator[str]:
    if len(charges) > 1:
        yield f"{saga}: charged {len(charges)} times: {[c['id'] for c in charges]}"
    taken_minor = sum(c["amount_minor"] for c in charges)
    back_minor = _amount(refunds, GIVEN_BACK)
    if back_minor > taken_minor:
        yield f"{saga}: {back_minor} minor units refunded of {taken_minor}"
    kept_minor = taken_minor - back_minor
    match evidence.end_of(saga):
        case "cancelled" if kept_minor:
            yield f"{saga}: cancelled, and {kept_minor} minor units are kept"
        case "completed":
            total_minor = facts_of(evidence, saga).total_minor
            if kept_minor != total_minor:
                yield f"{saga}: completed for {total_minor}, {kept_minor} minor units are kept"


def _amount(refunds: Iterable[Row], statuses: tuple[str, ...]) -> int:
    return sum(int(r["amount_minor"]) for r in refunds if r["status"] in statuses)


# --- units ----------------------------------------------------------------------------------------


def units(evidence: Evidence) -> Finding:
    """Check invariant 3: per SKU on hand + reserved + shipped = put in.

    Inventory's table, its reservations, the topics and the carrier's ledger must agree.
    """
    ledgers = ledgers_in(evidence)
    put_in, shipped = Counter[str](), Counter[str]()
    for logged in evidence.by_id.values():
        if logged.type == "StockReceived":
            put_in[logged.event.sku] += logged.event.quantity
        elif logged.type == "InventoryShipped":
            for line in logged.event.lines:
                shipped[line.sku] += line.quantity
    carried = Counter[str]()
    for label in ledgers.labels:
        if label["status"] == "picked_up":
            for line in label["lines"]:
                carried[line["sku"]] += line["quantity"]
    books = {stock.sku: stock for stock in ledgers.stock}
    known = sorted({*books, *put_in, *shipped, *carried})
    return finding_of(
        3,
        "Every unit of stock is accounted for",
        f"{len(books)} SKUs: {put_in.total()} units put in, {shipped.total()} shipped on the "
        f"topics, {carried.total()} in the carrier's hands, "
        f"{sum(s.reserved for s in books.values())} reserved",
        (
            f"{sku}: {violation}"
            for sku in known
            for violation in _units_of(
                books.get(sku, StockRow(sku, 0, 0, 0, 0)),
                {"put in": put_in[sku], "shipped": shipped[sku], "carried": carried[sku]},
                ledgers.held.get(sku, 0),
            )
        ),
    )


def _units_of(stock: StockRow, logged: Mapping[str, int], held: int) -> Iterator[str]:
    if min(stock.on_hand, stock.reserved, stock.shipped) < 0:
        yield f"below zero: {stock}"
    if stock.on_hand + stock.reserved + stock.shipped != stock.put_in:
        yield f"the sum is not what was put in: {stock}"
    if stock.reserved != held:
        yield f"{stock.reserved} reserved, the reservations hold {held}"
    if stock.put_in != logged["put in"]:
        yield f"{stock.put_in} put in, the topics say {logged['put in']}"
    if not stock.shipped == logged["shipped"] == logged["carried"]:
        yield (
            f"{stock.shipped} shipped, {logged['shipped']} on the topics, "
            f"{logged['carried']} carried"
        )


# --- parcels and mails ----------------------------------------------------------------------------


def one_label_and_mail(evidence: Evidence) -> Finding:
    """Check invariant 4: at most one valid label and one mail of each kind an order.

    None may contradict the order's end, and a completed order was picked up.
    """
    ledgers = ledgers_in(evidence)
    labels = by_saga(a for a in ledgers.labels if a["status"] in ("created", "picked_up"))
    mails = by_saga(ledgers.mails)
    return finding_of(
        4,
        "One parcel and one mail of each kind an order",
        f"the carrier's {len(ledgers.labels)} labels, {sum(map(len, labels.values()))} of them "
        f"valid; the mail server's {len(ledgers.mails)} mails",
        [
            *_rows_of_unknown_orders(evidence, "shipped", labels),
            *_rows_of_unknown_orders(evidence, "written to", mails),
            *(
                violation
                for saga in evidence.accepted
                for violation in _parcels_of(evidence.end_of(saga), labels.get(saga, []))
                for violation in [f"{saga}: {violation}"]
            ),
            *(violation for saga in mails for violation in _mails_of(evidence, saga, mails)),
        ],
    )


def _parcels_of(end: str, labels: list[Row]) -> Iterator[str]:
    gone = [label for label in labels if label["status"] == "picked_up"]
    if len(labels) > 1:
        yield f"{len(labels)} valid labels: {[label['id'] for label in labels]}"
    if end == "completed" and not gone:
        yield "completed, and no parcel was picked up"
    if end == "cancelled" and labels:
        yield f"cancelled, and label {labels[0]['id']} is {labels[0]['status']}"


def _mails_of(evidence: Evidence, saga: str, mails: Mapping[str, list[Row]]) -> Iterator[str]:
    kinds = Counter(str(mail["kind"]) for mail in mails[saga])
    yield from (f"{saga}: {n} mails {kind}" for kind, n in kinds.items() if n > 1)
    end = evidence.end_of(saga)
    for wrong, kind in (("completed", "cancelled"), ("cancelled", "shipped")):
        if end == wrong and kinds[kind]:
            yield f"{saga}: {end}, and the customer was told it is {kind}"


# --- past the pivot -------------------------------------------------------------------------------


def undone_past_pivot(evidence: Evidence, saga: str) -> Iterator[str]:
    """Yield what was undone of an order that was picked up.

    Refunds of late captures are allowed: that money goes back whatever the order's end.
    """
    refunds = evidence.events(saga, "PaymentRefunded", "PaymentRefundProgressed")
    late = [e for e in evidence.events(saga, "PaymentCaptured") if e.event.late]
    kept_minor = sum(e.event.amount_minor for e in refunds)
    kept_minor -= sum(e.event.amount_minor for e in late)
    if kept_minor > 0:
        yield f"picked up, and yet {kept_minor} minor units were given back"
    for released in evidence.events(saga, "InventoryReleased"):
        if released.event.lines:
            yield "picked up, and yet its stock was released"
    for cancelled in evidence.events(saga, "ShipmentCancelled"):
        yield f"picked up, and yet told cancelled ({cancelled.event.reason})"


# --- shared ---------------------------------------------------------------------------------------


def by_saga(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Group rows of a ledger by their reference, which is the saga key."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[str(row["reference"])].append(row)
    return dict(found)


def _rows_of_unknown_orders(
    evidence: Evidence, what: str, rows: Mapping[str, list[Row]]
) -> Iterator[str]:
    return (
        f"{o}: {what}, though no such order was placed" for o in rows.keys() - evidence.accepted
    )
