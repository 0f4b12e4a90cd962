"""What a reconciliation finds: ledgers in, findings out. One test a kind, both ways."""

from dataclasses import replace
from typing import Any

import pytest

from saga_monitor.reconciliation.compare import (
    BookedCharge,
    Books,
    ChargeRow,
    Comparison,
    Difference,
    LabelRow,
    OrderRow,
    PaymentRow,
    Refund,
    Remedy,
    ReservationRow,
    ShipmentRow,
    SkuRow,
    compare,
)

CHARGE = ChargeRow("o1", "ch1", 500, "EUR")
REFUND = Refund("o1", "re1", "ch1", 500)
KEPT = PaymentRow("o1", (BookedCharge("ch1", "EUR", 500),))
BACK = PaymentRow("o1", (BookedCharge("ch1", "EUR", 500, 500),))
NEVER = PaymentRow("o1", ())
LABEL = LabelRow("o1", "lb1", gone=True)
GONE = ShipmentRow("o1", "lb1", labelled=False, gone=True)
NO_PARCEL = ShipmentRow("o1", None, labelled=False, gone=False)
SHIPPED = ReservationRow("o1", reserved=False, shipped=True)
RELEASED = ReservationRow("o1", reserved=False, shipped=False)
SHELF = SkuRow("TEA", 7, 2, 1, 10, 2, 1)

COMPLETED = Books(
    orders={"o1": OrderRow("o1", "completed", True, 500, 0)},
    charges=[CHARGE],
    payments=[KEPT],
    labels=[LABEL],
    shipments=[GONE],
    reservations=[SHIPPED],
    stock=[SHELF],
)
CANCELLED = Books(
    orders={"o1": OrderRow("o1", "cancelled", True, 500, 500)},
    charges=[CHARGE],
    refunds=[REFUND],
    payments=[BACK],
    shipments=[NO_PARCEL],
    reservations=[RELEASED],
    stock=[SHELF],
)
NEVER_CHARGED = replace(
    CANCELLED,
    orders={"o1": OrderRow("o1", "cancelled", True)},
    charges=[],
    refunds=[],
    payments=[NEVER],
)


def found(books: Books, **changed: Any) -> list[tuple[str, str]]:
    """Kinds and subjects."""
    return [(f.kind, f.subject) for f in compare(replace(books, **changed)).findings]


def only(books: Books, **changed: Any) -> Difference:
    """The only finding."""
    (finding,) = compare(replace(books, **changed)).findings
    return finding


@pytest.mark.parametrize("books", [COMPLETED, CANCELLED, NEVER_CHARGED, Books(orders={})])
def test_where_all_agree_nothing_is_found(books: Books) -> None:
    assert found(books) == []


# --- money ----------------------------------------------------------------------------------------


def test_charged_and_neither_fulfilled_nor_refunded_is_forced_back() -> None:
    finding = only(NEVER_CHARGED, charges=[CHARGE])
    assert (finding.kind, finding.subject) == ("unbooked_charge", "o1")
    assert (finding.remedy, finding.charge, finding.refunded_minor) == (
        Remedy.PARTICIPANT,
        CHARGE,
        0,
    )


def test_of_a_second_charge_only_that_one_is_forced_back() -> None:
    second = ChargeRow("o1", "ch2", 300, "EUR")
    finding = only(COMPLETED, charges=[CHARGE, second])
    assert (finding.kind, finding.charge) == ("unbooked_charge", second)


def test_an_unheard_charge_that_was_given_back_is_nothing() -> None:
    assert found(NEVER_CHARGED, charges=[CHARGE], refunds=[REFUND]) == []


@pytest.mark.parametrize("left", [[], [replace(REFUND, amount_minor=200)]])
def test_a_refund_the_provider_does_not_have_is_forced(left: list[Refund]) -> None:
    finding = only(CANCELLED, refunds=left)
    assert (finding.kind, finding.remedy) == ("missing_refund", Remedy.PARTICIPANT)
    assert finding.refunded_minor == sum(refund.amount_minor for refund in left)


def test_a_refund_in_parts_is_added_up() -> None:
    parts = [replace(REFUND, refund_id=f"re{n}", amount_minor=250) for n in (1, 2)]
    assert found(CANCELLED, refunds=parts) == []


def test_a_charge_of_nobodys_order_is_for_a_person() -> None:
    foreign = replace(CHARGE, saga="who")
    finding = only(COMPLETED, charges=[CHARGE, foreign])
    assert (finding.kind, finding.subject, finding.remedy) == (
        "unknown_charge",
        "who",
        Remedy.PERSON,
    )
    given_back = replace(REFUND, saga="who")
    assert found(COMPLETED, charges=[CHARGE, foreign], refunds=[given_back]) == []


@pytest.mark.parametrize(
    "theirs", [replace(CHARGE, amount_minor=499), replace(CHARGE, currency="USD")]
)
def test_another_amount_or_currency_is_for_a_person(theirs: ChargeRow) -> None:
    finding = only(COMPLETED, charges=[theirs])
    assert (finding.kind, finding.remedy) == ("amount_difference", Remedy.PERSON)


def test_a_charge_only_our_books_hold_is_for_a_person() -> None:
    assert found(COMPLETED, charges=[]) == [("missing_charge", "o1")]


def test_money_the_provider_gave_back_by_itself_is_for_a_person() -> None:
    assert found(COMPLETED, refunds=[REFUND]) == [("unbooked_refund", "o1")]


def test_books_that_the_log_contradicts_are_for_a_person() -> None:
    orders = {"o1": OrderRow("o1", "completed", True, 500, 100)}
    assert found(COMPLETED, orders=orders) == [("money_in_books", "o1")]


# --- parcels and units ----------------------------------------------------------------------------


def test_a_label_of_nobodys_order_is_found() -> None:
    foreign = replace(LABEL, saga="who", label_id="lb9")
    assert found(COMPLETED, labels=[LABEL, foreign]) == [("unknown_label", "who")]


def test_a_label_that_shipping_does_not_count_on_is_found() -> None:
    assert found(CANCELLED, labels=[replace(LABEL, gone=False)]) == [("unexpected_label", "o1")]
    second = replace(LABEL, label_id="lb2", gone=False)
    assert found(COMPLETED, labels=[LABEL, second]) == [("unexpected_label", "o1")]


def test_a_label_the_carrier_does_not_have_is_found() -> None:
    assert found(COMPLETED, labels=[]) == [("missing_label", "o1")]
    assert found(COMPLETED, labels=[replace(LABEL, gone=False)]) == [("missing_label", "o1")]


def test_a_pickup_nobody_reported_is_found() -> None:
    waiting = replace(GONE, labelled=True, gone=False)
    reserved = replace(SHIPPED, reserved=True, shipped=False)
    orders = {"o1": OrderRow("o1", "waiting", True, 500, 0)}
    changed: dict[str, Any] = {"orders": orders, "shipments": [waiting], "reservations": [reserved]}
    assert found(COMPLETED, **changed) == [("unbooked_pickup", "o1")]
    assert found(COMPLETED, **changed, labels=[replace(LABEL, gone=False)]) == []


@pytest.mark.parametrize(
    ("books", "kept"),
    [
        (COMPLETED, replace(SHIPPED, reserved=True, shipped=False)),
        (COMPLETED, RELEASED),
        (CANCELLED, SHIPPED),
        (CANCELLED, replace(RELEASED, reserved=True)),
    ],
)
def test_units_that_contradict_their_order_are_found(books: Books, kept: ReservationRow) -> None:
    assert found(books, reservations=[kept]) == [("stock_of_order", "o1")]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"on_hand": 6}, "is not the 10 that were put in"),
        ({"put_in": 11}, "is not the 11 that were put in"),
        ({"orders_hold": 3}, "2 reserved, but 3 in the orders' reservations"),
        ({"orders_shipped": 0}, "1 shipped, but 0 in the orders' reservations"),
        ({"on_hand": -1, "put_in": 2}, "below zero"),
    ],
)
def test_units_of_a_sku_that_do_not_add_up_are_found(changed: dict[str, Any], words: str) -> None:
    finding = only(COMPLETED, stock=[replace(SHELF, **changed)])
    assert (finding.kind, finding.subject) == ("stock", "sku:TEA")
    assert words in finding.what


# --- whom it is too early for ---------------------------------------------------------------------


def test_what_moves_is_not_judged() -> None:
    moving = {"o1": OrderRow("o1", "cancelled", False)}
    for changed in ({"orders": moving}, {"busy": frozenset({"o1"})}):
        compared: Comparison = compare(replace(NEVER_CHARGED, charges=[CHARGE], **changed))
        assert (compared.findings, compared.judged, compared.unsettled) == ((), 0, 1)


def test_an_order_that_is_not_placed_yet_but_charged_by_us_is_compared_by_its_charge() -> None:
    assert found(COMPLETED, orders={}, labels=[LABEL]) == []


def test_findings_come_in_one_order_and_say_the_same_every_time() -> None:
    foreign = [ChargeRow(f"who{n}", f"ch{n}", 1, "EUR") for n in range(5)]
    books = replace(COMPLETED, charges=[CHARGE, *foreign])
    assert compare(books) == compare(replace(books, charges=[*foreign[::-1], CHARGE]))
