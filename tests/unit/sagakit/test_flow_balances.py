"""The flow file says which events move money and which waits ask a person."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

import schemas
from saga_monitor.saga.facts import Saga, fold
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.interpreter import interpret
from sagakit.errors import FlowError
from sagakit.flow.loader import load
from sagakit.flow.model import Flow
from schemas import EVENT_TYPES, FLOWS, OWNERS
from tests.histories import ORDER, facts, saga_of, seen

(ORDER_FLOW,) = FLOWS
TEXT = (Path(schemas.__file__).parent / "flows/order.toml").read_text()
CAPTURED = 'captured = { PaymentCaptured = "charge_id" }'


def with_text(old: str, new: str) -> Flow:
    assert old in TEXT
    return load(TEXT.replace(old, new), OWNERS)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (CAPTURED, 'taken = { PaymentCaptured = "charge_id" }', ["ledger.taken", "captured"]),
        (
            CAPTURED,
            "captured = { PaymentCaptured = 7 }",
            ["PaymentCaptured = 7", "not a field name"],
        ),
        (CAPTURED, 'captured = { PaymentCaptured = "" }', ["not a field name"]),
        (CAPTURED, 'captured = { MoneyMoved = "id" }', ["ledger", "MoneyMoved has no schema"]),
        (CAPTURED, 'captured = { PaymentRefunded = "id" }', ["PaymentRefunded", "both"]),
        (CAPTURED, 'captured = { OrderPlaced = "id" }', ["OrderPlaced", "owned by order"]),
        (CAPTURED, "", ["both captured and refunded"]),
        (CAPTURED, 'captured = "PaymentCaptured"', ["flow order"]),
        ("asks.Pay", "asks.Unpay", ["step payment", "does not wait", "waits = {"]),
        ('kind = "pivot"', 'kind = "pivot"\nasks = "all"', ["shipping: asks", "table"]),
        ('remind = "8h"', "", ["asks.PaymentReviewRequired", "'remind'", "add it"]),
        ('remind = "8h"', 'remind = "soon"', ["remind", "'soon' is not a duration"]),
        ('remind = "8h"', 'remind = "16h"', ["asks.PaymentReviewRequired", "57600 s", "longer"]),
        ('escalate = "16h"', 'escalate = "24h"', ["86400 s", "must increase"]),
        ('senior = "pay', 'boss = "pay', ["'boss' is not known", "escalate, remind, role, senior"]),
        ('role = "payments-reviewer"', 'role = "the boss"', ["role 'the boss' is not a name"]),
    ],
)
def test_an_inconsistent_declaration_of_balances_is_refused(
    old: str, new: str, says: list[str]
) -> None:
    with pytest.raises(FlowError) as error:
        with_text(old, new)
    assert [word for word in says if word not in str(error.value)] == []


def test_every_movement_is_named_by_a_field_and_has_an_amount() -> None:
    for event, name in {**ORDER_FLOW.captured, **ORDER_FLOW.refunded}.items():
        names = {field.name for field in fields(EVENT_TYPES[event])}
        assert {name, "amount_minor"} <= names, event


def test_money_is_what_the_flow_calls_money() -> None:
    story = saga_of("OrderPlaced", "InventoryReserved", "PaymentCaptured")
    assert seen(story).ledger.held_minor == 500
    moneyless = replace(ORDER_FLOW, captured={}, refunded={})
    assert interpret(story, Plan.of(moneyless, 1)).ledger.held_minor == 0


def test_a_person_is_asked_where_the_flow_says_so() -> None:
    asked = saga_of("OrderPlaced", "InventoryReserved", "PaymentReviewRequired")
    (item,) = seen(asked).awaited
    assert item.approval is not None
    assert (item.approval.event, item.approval.current_role) == (
        "PaymentReviewRequired",
        "payments-reviewer",
    )
    (customer,) = seen(saga_of("OrderPlaced", "InventoryReserved", "PaymentActionRequired")).awaited
    assert customer.approval is None
    answer = facts("VerdictGiven", {"step": "payment", "verdict": "approve"})[0]
    later = replace(answer, at=max(f.at for f in asked.facts.values()))
    (answered,) = seen(fold(Saga(ORDER, asked.facts), later)).awaited
    assert answered.approval is None
