"""What a reconciliation finds: ledgers in, findings out. One test a kind, both ways."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from saga_monitor.reconciliation.compare import Books, Comparison, compare
from saga_monitor.reconciliation.rules import ComparedSaga, Difference, Work
from shop.reconciliation import (
    MONEY,
    RULES,
    BookedCharge,
    ChargeRow,
    LabelRow,
    PaymentRow,
    RefundRow,
    ReservationRow,
    ShipmentRow,
    SkuRow,
)

ORDER, WHO = "order/o1", "order/who"
CHARGE = ChargeRow(ORDER, "ch1", 500, "EUR")
REFUND = RefundRow(ORDER, "re1", "ch1", 500)
KEPT = PaymentRow(ORDER, (BookedCharge("ch1", "EUR", 500),))
BACK = PaymentRow(ORDER, (BookedCharge("ch1", "EUR", 500, 500),))
NEVER = PaymentRow(ORDER, ())
LABEL = LabelRow(ORDER, "lb1", gone=True)
GONE = ShipmentRow(ORDER, "lb1", labelled=False, gone=True)
NO_PARCEL = ShipmentRow(ORDER, None, labelled=False, gone=False)
SHIPPED = ReservationRow(ORDER, reserved=False, shipped=True)
RELEASED = ReservationRow(ORDER, reserved=False, shipped=False)
SHELF = SkuRow("TEA", 7, 2, 1, 10, 2, 1)


def saga_row(status: str, added: int, removed: int, *, quiet: bool = True) -> ComparedSaga:
    return ComparedSaga(ORDER, status, quiet, {MONEY: (added, removed)})


COMPLETED = Books(
    {ORDER: saga_row("completed", 500, 0)},
    rows={
        "charges": [CHARGE],
        "payments": [KEPT],
        "labels": [LABEL],
        "shipments": [GONE],
        "reservations": [SHIPPED],
        "stock": [SHELF],
    },
)
CANCELLED = Books(
    {ORDER: saga_row("cancelled", 500, 500)},
    rows={
        "charges": [CHARGE],
        "refunds": [REFUND],
        "payments": [BACK],
        "shipments": [NO_PARCEL],
        "reservations": [RELEASED],
        "stock": [SHELF],
    },
)
NEVER_CHARGED = Books(
    {ORDER: saga_row("cancelled", 0, 0)},
    rows={**CANCELLED.rows, "charges": [], "refunds": [], "payments": [NEVER]},
)


def with_rows(
    books: Books, sagas: Mapping[str, ComparedSaga] | None = None, **rows: Sequence[Any]
) -> Books:
    return replace(
        books, sagas=books.sagas if sagas is None else sagas, rows={**books.rows, **rows}
    )


def found(books: Books, **changed: Any) -> list[tuple[str, str]]:
    """Kinds and subjects."""
    return [(f.kind, f.subject) for f in compare(RULES, with_rows(books, **changed)).findings]


def correction(found: Difference) -> tuple[str, int, int]:
    """What payment is told: the charge, what was captured of it, and what was refunded."""
    assert found.correction is not None
    event = found.correction.event
    return event.charge_id, event.captured_minor, event.refunded_minor


def only(books: Books, **changed: Any) -> Difference:
    """The only finding."""
    (finding,) = compare(RULES, with_rows(books, **changed)).findings
    return finding


@pytest.mark.parametrize("books", [COMPLETED, CANCELLED, NEVER_CHARGED, Books({})])
def test_where_all_agree_nothing_is_found(books: Books) -> None:
    assert found(books) == []


# --- money ----------------------------------------------------------------------------------------


def test_charged_and_neither_fulfilled_nor_refunded_is_forced_back() -> None:
    finding = only(NEVER_CHARGED, charges=[CHARGE])
    assert (finding.kind, finding.subject) == ("unbooked_charge", ORDER)
    assert correction(finding) == (CHARGE.charge_id, CHARGE.amount_minor, 0)


def test_of_a_second_charge_only_that_one_is_forced_back() -> None:
    second = ChargeRow(ORDER, "ch2", 300, "EUR")
    finding = only(COMPLETED, charges=[CHARGE, second])
    assert finding.kind == "unbooked_charge"
    assert correction(finding) == ("ch2", 300, 0)


def test_an_unheard_charge_that_was_given_back_is_nothing() -> None:
    assert found(NEVER_CHARGED, charges=[CHARGE], refunds=[REFUND]) == []


@pytest.mark.parametrize("left", [[], [replace(REFUND, amount_minor=200)]])
def test_a_refund_the_provider_does_not_have_is_forced(left: list[RefundRow]) -> None:
    finding = only(CANCELLED, refunds=left)
    assert finding.kind == "missing_refund"
    assert correction(finding)[2] == sum(refund.amount_minor for refund in left)


def test_a_refund_in_parts_is_added_up() -> None:
    parts = [replace(REFUND, refund_id=f"re{n}", amount_minor=250) for n in (1, 2)]
    assert found(CANCELLED, refunds=parts) == []


def test_a_charge_of_nobodys_order_is_for_a_person() -> None:
    foreign = replace(CHARGE, saga=WHO)
    finding = only(COMPLETED, charges=[CHARGE, foreign])
    assert (finding.kind, finding.subject, finding.correction) == (
        "unknown_charge",
        WHO,
        None,
    )
    given_back = replace(REFUND, saga=WHO)
    assert found(COMPLETED, charges=[CHARGE, foreign], refunds=[given_back]) == []


@pytest.mark.parametrize(
    "theirs", [replace(CHARGE, amount_minor=499), replace(CHARGE, currency="USD")]
)
def test_another_amount_or_currency_is_for_a_person(theirs: ChargeRow) -> None:
    finding = only(COMPLETED, charges=[theirs])
    assert (finding.kind, finding.correction) == ("amount_difference", None)


def test_a_charge_only_our_books_hold_is_for_a_person() -> None:
    assert found(COMPLETED, charges=[]) == [("missing_charge", ORDER)]


def test_money_the_provider_gave_back_by_itself_is_for_a_person() -> None:
    assert found(COMPLETED, refunds=[REFUND]) == [("unbooked_refund", ORDER)]


def test_books_that_the_log_contradicts_are_for_a_person() -> None:
    sagas = {ORDER: saga_row("completed", 500, 100)}
    assert found(COMPLETED, sagas=sagas) == [("money_in_books", ORDER)]


@pytest.mark.parametrize(
    ("charge", "kind"),
    [
        (BookedCharge("ch1", "EUR", 1), "too_little"),
        (BookedCharge("ch1", "JPY", 500), "too_little"),
        (BookedCharge("ch1", "EUR", 900), "too_much"),
        (BookedCharge("ch1", "EUR", 500, refunded_minor=500), "too_little"),
    ],
)
def test_a_completed_order_keeps_its_total(charge: BookedCharge, kind: str) -> None:
    """Given books, log and provider that agree; when they agree on another amount than the order's
    total; then that is found all the same."""
    held = PaymentRow(ORDER, (charge,), total_minor=500, currency="EUR")
    theirs = replace(CHARGE, amount_minor=charge.captured_minor, currency=charge.currency)
    refunds = [REFUND] if charge.refunded_minor else []
    sagas = {ORDER: saga_row("completed", charge.captured_minor, charge.refunded_minor)}
    rows = {"payments": [held], "charges": [theirs], "refunds": refunds}
    assert found(COMPLETED, sagas=sagas, **rows) == [(kind, ORDER)]


def test_a_cancelled_order_keeps_nothing() -> None:
    part = PaymentRow(ORDER, (BookedCharge("ch1", "EUR", 500, 400),), 500, "EUR")
    sagas = {ORDER: saga_row("cancelled", 500, 400)}
    refunds = [replace(REFUND, amount_minor=400)]
    assert found(CANCELLED, sagas=sagas, payments=[part], refunds=refunds) == [("too_much", ORDER)]


def test_what_a_dispute_took_is_no_second_finding() -> None:
    lost = PaymentRow(ORDER, (BookedCharge("ch1", "EUR", 500, lost_minor=500),), 500, "EUR")
    sagas = {ORDER: saga_row("completed", 500, 500)}
    assert found(COMPLETED, sagas=sagas, payments=[lost]) == []


def test_a_refund_that_failed_counts_as_kept_in_log_and_books_alike() -> None:
    failed = PaymentRow(ORDER, (BookedCharge("ch1", "EUR", 500, 500, failed_minor=500),))
    sagas = {ORDER: saga_row("undoing", 1000, 500)}
    assert found(CANCELLED, sagas=sagas, payments=[failed], refunds=[]) == []


def test_more_at_the_provider_than_in_our_books_is_read_there() -> None:
    finding = only(COMPLETED, charges=[replace(CHARGE, amount_minor=501)])
    assert finding.kind == "amount_difference"
    assert correction(finding) == ("ch1", 501, 0)


@pytest.mark.parametrize(
    ("work", "kinds"),
    [
        (Work("notification", "mail"), ["unbooked_charge"]),
        (Work("shipping", "label"), ["unbooked_charge"]),
        (Work("payment", "refund"), ["unbooked_charge"]),
        (Work("payment", "charge"), []),
        (Work("payment", ""), []),
    ],
)
def test_money_is_compared_whatever_else_is_pending(work: Work, kinds: list[str]) -> None:
    """Given a second charge at the provider; when another participant has work that hangs; then it
    is found. While payment may still book the charge itself, it is too early."""
    second = ChargeRow(ORDER, "ch2", 300, "EUR")
    books = replace(COMPLETED, busy={ORDER: frozenset({work})})
    changed = with_rows(books, charges=[CHARGE, second])
    compared = compare(RULES, changed)
    assert [finding.kind for finding in compared.findings] == kinds
    assert (compared.judged, compared.unsettled) == (0, 1)


# --- parcels and units ----------------------------------------------------------------------------


def test_a_label_of_nobodys_order_is_found() -> None:
    foreign = replace(LABEL, saga=WHO, label_id="lb9")
    assert found(COMPLETED, labels=[LABEL, foreign]) == [("unknown_label", WHO)]


def test_a_label_that_shipping_does_not_count_on_is_found() -> None:
    assert found(CANCELLED, labels=[replace(LABEL, gone=False)]) == [("unexpected_label", ORDER)]
    second = replace(LABEL, label_id="lb2", gone=False)
    assert found(COMPLETED, labels=[LABEL, second]) == [("unexpected_label", ORDER)]


def test_a_label_the_carrier_does_not_have_is_found() -> None:
    assert found(COMPLETED, labels=[]) == [("missing_label", ORDER)]
    assert found(COMPLETED, labels=[replace(LABEL, gone=False)]) == [("missing_label", ORDER)]


def test_a_pickup_nobody_reported_is_found() -> None:
    waiting = replace(GONE, labelled=True, gone=False)
    reserved = replace(SHIPPED, reserved=True, shipped=False)
    sagas = {ORDER: saga_row("waiting", 500, 0)}
    changed: dict[str, Any] = {"sagas": sagas, "shipments": [waiting], "reservations": [reserved]}
    assert found(COMPLETED, **changed) == [("unbooked_pickup", ORDER)]
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
    assert found(books, reservations=[kept]) == [("stock_of_order", ORDER)]


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
    moving = {ORDER: saga_row("cancelled", 0, 0, quiet=False)}
    cases: tuple[dict[str, Any], ...] = (
        {"sagas": moving},
        {"busy": {ORDER: frozenset({Work("payment", "charge")})}},
    )
    for changed in cases:
        compared: Comparison = compare(
            RULES, replace(with_rows(NEVER_CHARGED, charges=[CHARGE]), **changed)
        )
        assert (compared.findings, compared.judged, compared.unsettled) == ((), 0, 1)


def test_an_order_that_is_not_placed_yet_but_charged_by_us_is_compared_by_its_charge() -> None:
    assert found(COMPLETED, sagas={}, labels=[LABEL]) == []


def test_findings_come_in_one_order_and_say_the_same_every_time() -> None:
    foreign = [ChargeRow(f"{WHO}{n}", f"ch{n}", 1, "EUR") for n in range(5)]
    books = with_rows(COMPLETED, charges=[CHARGE, *foreign])
    other = with_rows(books, charges=[*foreign[::-1], CHARGE])
    assert compare(RULES, books) == compare(RULES, other)
