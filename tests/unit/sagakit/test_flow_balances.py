"""The flow file declares what a saga holds, and which waits ask a person."""

from dataclasses import replace
from pathlib import Path

import pytest

import schemas
from saga_monitor.saga.facts import Saga, fold
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.interpreter import interpret
from sagakit.contract.balance_fields import check_balance_fields
from sagakit.errors import FlowError
from sagakit.flow.balance_totals import KindTotal, sum_up
from sagakit.flow.balances import ANY, ONE_MOVEMENT, POSITIVE, RULES, ZERO, Movement
from sagakit.flow.loader import load
from sagakit.flow.model import Flow
from schemas import CONTRACT, FLOWS, OWNERS
from tests.histories import MONEY, ORDER, facts, money_of, saga_of, seen

(ORDER_FLOW,) = FLOWS
TEXT = (Path(schemas.__file__).parent / "flows/order.toml").read_text()
ADDS = 'adds = ["PaymentCaptured", "PaymentMismatched", "PaymentRefundFailed"]'
LIST = 'adds = { InventoryReserved = "order.lines" }'


def with_text(old: str, new: str) -> Flow:
    assert old in TEXT
    return load(TEXT.replace(old, new), OWNERS)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (ADDS, "", ["balances.money", "'adds' is missing", "add it"]),
        (ADDS, "adds = []", ["balances.money", "no event adds to it", "list one"]),
        (ADDS, 'adds = ["MoneyMoved"]', ["balances.money", "MoneyMoved has no schema"]),
        (ADDS, 'adds = ["PaymentRefunded"]', ["PaymentRefunded both adds and removes"]),
        (ADDS, 'adds = ["OrderPlaced"]', ["OrderPlaced", "owned by order", "add the step"]),
        (ADDS, 'adds = "PaymentCaptured"', ["balances.money.adds", "must be a list"]),
        (LIST, "adds = { InventoryReserved = 7 }", ["InventoryReserved = 7", "path of a list"]),
        (LIST, 'adds = { InventoryReserved = "order." }', ["'order.'", "path of a list"]),
        ('amount = "quantity"', "amount = 5", ["balances.units.amount = 5", "not a field name"]),
        ('kind = "sku"', 'of = "sku"', ["balances.units", "'of' is not known"]),
        ('kind = "currency"', 'kind = ""', ["balances.money.kind = ''", "not a field name"]),
        ("id = { Pay", "id = { X = 'y', Pay", ["balances.money.id: X does not move"]),
        ("kept = { ", "kept = { X = 'y', ", ["balances.money.kept: X does not remove"]),
        ("kept = { ", "kept = [] # ", ["balances.money.kept = []", "not a field name"]),
        ('step = "payment"', 'step = "bank"', ["step bank is not declared", "[steps.bank]"]),
        (
            '"one_movement"',
            '"all"',
            ["balances.money.completed is 'all'", "one_movement, positive"],
        ),
        (
            'completed = "one_movement"\ncancelled = "zero"',
            'completed = "one_movement"\ncancelled = "any"',
            ["step payment", "cancelled is 'any'", "or remove step"],
        ),
        ("[balances.money]", "[balances.'a b']", ["balances 'a b' is not a name"]),
        ("[balances.money]", "[balances]\nmoney = 1", ["flow order, balances.", "money"]),
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


def test_the_fields_that_a_balance_names_are_checked_against_the_schemas() -> None:
    check_balance_fields(ORDER_FLOW, CONTRACT.schemas)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('amount = "amount_minor"', 'amount = "amount"', ["PaymentCaptured: amount", "no field"]),
        (
            'amount = "amount_minor"',
            'amount = "currency"',
            ["amount: field currency", "int or long"],
        ),
        ('kind = "currency"', 'kind = "amount_minor"', ["kind: field amount_minor", "type string"]),
        ('kind = "currency"', 'kind = "email"', ["kind: PaymentCaptured has no field email"]),
        ('= "refused"', '= "amount_minor"', ["kept: field amount_minor", "type string"]),
        ('"charge_id"', '"late"', ["id: field late", "'boolean'", "type string"]),
        ('"charge_id"', '"order_id"', ["id: order_id is the saga's id", "each event counts once"]),
        ('amount = "quantity"', 'amount = "sku"', ["balances.units", "amount: field sku"]),
        ("order.lines", "order", ["InventoryReserved: order: order is 'OrderFacts'", "no list"]),
        ("order.lines", "order.goods", ["goods is no field in OrderFacts", "list of records"]),
        ("order.lines", "order.email.lines", ["email is 'string' in OrderFacts"]),
    ],
)
def test_a_balance_over_a_field_that_does_not_fit_is_refused(
    old: str, new: str, says: list[str]
) -> None:
    flow = with_text(old, new)
    with pytest.raises(FlowError) as error:
        check_balance_fields(flow, CONTRACT.schemas)
    assert [word for word in says if word not in str(error.value)] == []


def test_a_text_about_a_person_tells_no_kind() -> None:
    balance = replace(MONEY, kind="email", adds={}, removes={"PaymentRefunded": ""})
    with pytest.raises(FlowError, match="field email is about a person"):
        check_balance_fields(replace(ORDER_FLOW, balances=(balance,)), CONTRACT.schemas)


def test_a_saga_holds_what_the_flow_declares() -> None:
    story = saga_of("OrderPlaced", "InventoryReserved", "PaymentCaptured")
    assert money_of(seen(story)).held == 500
    without = Plan.of(replace(ORDER_FLOW, balances=()), 1)
    assert interpret(story, without).balances == ()
    assert (without.balances, without.balances_of_step) == ((), {})


def add(amount: int, kind: str = "EUR", id_: str = "1") -> Movement:
    return Movement(True, id_, kind, amount)


def take(amount: int, kind: str = "EUR", id_: str = "1") -> Movement:
    return Movement(False, id_, kind, amount)


NOTHING: tuple[Movement, ...] = ()
FULL = (add(5),)
EMPTY = (add(5), take(5))
PART = (add(5), take(2))
TWO = (add(5), add(7, id_="2"))
KEPT_ONE = (*TWO, take(7, id_="2"))
TWO_KINDS = (add(5), add(7, "USD"))
FREE = (add(0),)


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        (ONE_MOVEMENT, (FULL, KEPT_ONE, FREE)),
        (POSITIVE, (FULL, PART, TWO, KEPT_ONE, TWO_KINDS)),
        (ZERO, (NOTHING, EMPTY, FREE)),
        (ANY, (NOTHING, FULL, EMPTY, PART, TWO, KEPT_ONE, TWO_KINDS, FREE)),
    ],
)
def test_an_end_fits_its_rule_or_not(rule: str, fits: tuple[tuple[Movement, ...], ...]) -> None:
    """Given what may have moved; when a saga ends; then each rule allows what it says."""
    every = (NOTHING, FULL, EMPTY, PART, TWO, KEPT_ONE, TWO_KINDS, FREE)
    found = tuple(moved for moved in every if sum_up(moved).problem(rule, "completed") is None)
    assert found == fits


@pytest.mark.parametrize("rule", RULES)
def test_more_removed_than_added_fits_no_rule(rule: str) -> None:
    short = sum_up((add(5), take(3), take(3, id_="2")))
    assert short.problem(rule, "running") == (
        "added 5 EUR, removed 6 EUR, held -1 EUR: more was removed than added"
    )


def test_a_movement_told_twice_counts_once_with_its_largest_amount() -> None:
    twice = sum_up((add(5), add(7), take(2), take(2, ""), take(1, id_="2")))
    assert twice.kinds == (KindTotal("EUR", added=7, removed=3),)


def test_a_movement_without_a_kind_is_of_the_only_kind_that_was_added() -> None:
    assert sum_up((take(2, ""), add(5))).kinds == (KindTotal("EUR", 5, 2),)
    assert sum_up((take(2, ""), *TWO_KINDS)).kinds[0] == KindTotal("", 0, 2)
    assert sum_up((take(0, ""),)).kinds == ()


def test_a_reason_names_few_of_many_kinds() -> None:
    many = sum_up(add(1, f"K{n}") for n in range(7))
    assert str(many).startswith("added 1 K0 + 1 K1 + 1 K2 + 1 K3 + 1 K4 and 2 kinds more, removed")


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
