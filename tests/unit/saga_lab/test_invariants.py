"""Each invariant holds for a healthy run and fails for every violation planted into it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from saga_lab.invariants.evidence import Evidence, Sent, StockRow, mark_of
from saga_lab.invariants.finding import SHOWN, Finding, finding_of
from saga_lab.invariants.ledgers import money, one_label_and_mail, units
from saga_lab.invariants.log import nothing_lost
from saga_lab.invariants.rebuild import RebuildComparison, rebuild_finding
from saga_lab.invariants.sagas import nothing_healthy_undone, one_end
from saga_lab.invariants.versions import own_version
from sagakit.contract.platform import InterventionOpened
from sagakit.flow.model import Flows, with_deadlines
from schemas import FLOWS
from schemas.events import (
    OrderCancelled,
    OrderCompleted,
    PaymentPending,
    PointsGranted,
    ShipmentCancelled,
)
from tests.unit.saga_lab.healthy_run import (
    DONE,
    FACTS,
    SKU,
    UNDONE,
    Log,
    captured,
    charge,
    healthy,
    label,
    mail,
    mark,
    placed,
    refund,
    refunded,
    released,
    timeout,
)

CHECKS: Mapping[int, Callable[[Evidence], Finding]] = {
    1: one_end,
    2: money,
    3: units,
    4: one_label_and_mail,
    5: nothing_lost,
    7: nothing_healthy_undone,
}


@pytest.mark.parametrize("number", CHECKS)
def test_a_healthy_run_holds(number: int) -> None:
    found = CHECKS[number](healthy())
    assert found.number == number
    assert found.holds, found.violations
    assert found.checked_against


def without(evidence: Evidence, *types: str) -> Evidence:
    return replace(evidence, log=[e for e in evidence.log if e.type not in types])


def moved(evidence: Evidence, where: int, to: int) -> Evidence:
    """An event of payment at another place of the log."""
    log = list(evidence.log)
    payment = [i for i, e in enumerate(log) if e.source == "payment" and e.order_id == UNDONE]
    log.insert(payment[to], log.pop(payment[where]))
    return replace(evidence, log=log)


OPENED = InterventionOpened(saga_id=DONE, code="overdue", reason="r")
PLANTED: Mapping[str, tuple[int, Evidence, str]] = {
    "no end": (1, without(healthy(), "OrderCompleted"), f"{DONE}: ended 0 times"),
    "two ends": (1, healthy(OrderCancelled(order_id=DONE, reason="r")), f"{DONE}: ended 2 times"),
    "the same end twice": (1, healthy(OrderCompleted(order_id=DONE)), f"{DONE}: ended 2 times"),
    "the monitor sees another": (
        1,
        replace(healthy(), sagas={DONE: "running", UNDONE: "cancelled"}),
        f"{DONE}: completed on the log, running for the monitor",
    ),
    "the monitor does not know it": (
        1,
        replace(healthy(), sagas={DONE: "completed"}),
        f"{UNDONE}: cancelled on the log, unknown for the monitor",
    ),
    "charged twice": (
        2,
        replace(healthy(), charges=[charge(DONE), charge(DONE, id="ch_2"), charge(UNDONE)]),
        f"{DONE}: charged 2 times",
    ),
    "kept what is cancelled": (
        2,
        replace(healthy(), refunds=[]),
        f"{UNDONE}: cancelled, and 2500 minor units are kept",
    ),
    "a refund only promised": (
        2,
        replace(healthy(), refunds=[refund(UNDONE, "pending")]),
        f"{UNDONE}: cancelled, and 2500 minor units are kept",
    ),
    "refunded too much": (
        2,
        replace(healthy(), refunds=[refund(UNDONE), refund(UNDONE)]),
        f"{UNDONE}: 5000 minor units refunded of 2500",
    ),
    "completed unpaid": (
        2,
        replace(healthy(), charges=[charge(DONE, "declined"), charge(UNDONE)]),
        f"{DONE}: completed for 2500, 0 minor units are kept",
    ),
    "charged a wrong amount": (
        2,
        replace(healthy(), charges=[charge(DONE, amount_minor=2499), charge(UNDONE)]),
        f"{DONE}: completed for 2500, 2499 minor units are kept",
    ),
    "charged for nothing": (
        2,
        replace(healthy(), charges=[charge(DONE), charge(UNDONE), charge("ghost")]),
        "ghost: charged, though no such order was placed",
    ),
    "a unit vanished": (
        3,
        replace(healthy(), stock=[StockRow(SKU, 7, 0, 2, 10)]),
        f"{SKU}: the sum is not what was put in",
    ),
    "below zero": (3, replace(healthy(), stock=[StockRow(SKU, -1, 9, 2, 10)]), "below zero"),
    "held for nobody": (
        3,
        replace(healthy(), stock=[StockRow(SKU, 7, 1, 2, 10)]),
        f"{SKU}: 1 reserved, the reservations hold 0",
    ),
    "put in out of nowhere": (
        3,
        replace(healthy(), stock=[StockRow(SKU, 9, 0, 2, 11)]),
        f"{SKU}: 11 put in, the topics say 10",
    ),
    "shipped but not carried": (
        3,
        replace(healthy(), labels=[]),
        f"{SKU}: 2 shipped, 2 on the topics, 0 carried",
    ),
    "carried but never told": (
        3,
        without(healthy(), "InventoryShipped"),
        f"{SKU}: 2 shipped, 0 on the topics, 2 carried",
    ),
    "a SKU nobody knows": (3, replace(healthy(), stock=[]), f"{SKU}: 0 put in"),
    "two labels": (
        4,
        replace(healthy(), labels=[label(DONE), label(DONE, "created", id="lb_2")]),
        f"{DONE}: 2 valid labels",
    ),
    "completed without a parcel": (
        4,
        replace(healthy(), labels=[label(DONE, "created")]),
        f"{DONE}: completed, and no parcel",
    ),
    "cancelled with a parcel": (
        4,
        replace(healthy(), labels=[label(DONE), label(UNDONE)]),
        f"{UNDONE}: cancelled, and label lb_undone is picked_up",
    ),
    "a parcel for nobody": (
        4,
        replace(healthy(), labels=[label(DONE), label("ghost")]),
        "ghost: shipped, though",
    ),
    "a mail twice": (
        4,
        replace(healthy(), mails=[mail(DONE, "shipped"), mail(DONE, "shipped")]),
        f"{DONE}: 2 mails shipped",
    ),
    "a wrong mail": (
        4,
        replace(healthy(), mails=[mail(DONE, "cancelled")]),
        f"{DONE}: completed, and the customer was told it is cancelled",
    ),
    "a gap": (
        5,
        replace(
            healthy(),
            log=[e for e in healthy().log if (e.order_id, e.type) != (UNDONE, "PaymentCaptured")],
        ),
        f"{UNDONE}: event 2 of payment (PaymentRefunded) stands behind 0",
    ),
    "an inversion": (5, moved(healthy(), 1, 0), f"{UNDONE}: event 2 of payment"),
    "one place, two events": (
        5,
        replace(
            healthy(),
            log=[*healthy().log, replace(healthy().log[-1], id=UUID(int=1))],
        ),
        f"{UNDONE}: event 2 of order",
    ),
    "left in an outbox": (
        5,
        replace(healthy(), outbox={"payment": 3}),
        "payment: 3 rows are still in its outbox",
    ),
    "an effect pending": (
        5,
        replace(healthy(), effects={"payment": 1}),
        "payment: 1 effects are still pending",
    ),
    "sent and lost": (
        5,
        replace(healthy(), sent=[Sent("payment", DONE, "payment.events", mark("gone"))]),
        f"{DONE}: payment sent an event to payment.events that is not there",
    ),
    "refunded past the pivot": (7, healthy(refunded(DONE)), f"{DONE}: picked up, and yet 2500"),
    "released past the pivot": (
        7,
        healthy(released(DONE)),
        f"{DONE}: picked up, and yet its stock was released",
    ),
    "cancelled past the pivot": (
        7,
        healthy(ShipmentCancelled(order_id=DONE, reason="r")),
        f"{DONE}: picked up, and yet told cancelled",
    ),
    "a timeout out of nowhere": (7, healthy(timeout(DONE)), "its cause None is on no topic"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_found(name: str) -> None:
    number, evidence, expected = PLANTED[name]
    found = CHECKS[number](evidence)
    assert not found.holds
    assert any(expected in violation for violation in found.violations), found.violations


def test_an_open_intervention_is_an_end() -> None:
    seen = replace(
        without(healthy(OPENED), "OrderCompleted"),
        sagas={DONE: "intervention", UNDONE: "cancelled"},
    )
    assert one_end(seen).holds


def test_an_order_on_an_unknown_flow_is_not_accepted() -> None:
    log = [replace(e, flow="order/99") if e.order_id == DONE else e for e in healthy().log]
    assert set(replace(healthy(), log=log).accepted) == {UNDONE}


def test_a_repeat_is_no_inversion() -> None:
    """At least once: what was published again after a failure stands behind what came later."""
    log = list(healthy().log)
    assert nothing_lost(replace(healthy(), log=[*log, *log[-3:]])).holds
    assert one_end(replace(healthy(), log=[*log, *log[-3:]])).holds


def test_a_late_capture_may_go_back_past_the_pivot() -> None:
    assert nothing_healthy_undone(healthy(captured(DONE, late=True), refunded(DONE))).holds


def waited(answer_after_s: float, asked_after_s: float) -> Evidence:
    """An order that waits for its bank, the answer and the monitor's request at such times."""
    pending = PaymentPending(order_id="slow", order=FACTS, charge_id="ch")
    log = Log().add(placed("slow"), pending)
    wait = log.events[-1]
    for after_s, event in sorted(
        [(answer_after_s, captured("slow")), (asked_after_s, timeout("slow"))],
        key=lambda found: found[0],
    ):
        log.add(event, cause=wait.id)
        log.events[-1] = replace(log.events[-1], at=wait.at + timedelta(seconds=after_s))
    return Evidence(flows=FLOWS, log=log.events)


ALLOWED_S = next(iter(FLOWS)).steps["payment"].waits["PaymentPending"]


def test_a_deadline_that_truly_passed_is_no_violation() -> None:
    assert nothing_healthy_undone(waited(ALLOWED_S + 0.5, ALLOWED_S + 1)).holds


def test_an_answer_before_the_deadline_makes_the_request_a_violation() -> None:
    found = nothing_healthy_undone(waited(ALLOWED_S - 0.5, ALLOWED_S + 1))
    assert "PaymentCaptured stood in the log" in found.violations[0]


@pytest.mark.parametrize(("asked_after_s", "holds"), [(4.0, True), (2.0, False), (40.0, False)])
def test_a_request_is_judged_by_the_deadlines_in_force_then(
    asked_after_s: float, holds: bool
) -> None:
    """Near ones for half a minute, and the flow file's own before and after."""
    found = waited(ALLOWED_S, asked_after_s)
    began = found.log[0].at
    near = Flows(*(with_deadlines(flow, {"payment.PaymentPending": "3s"}) for flow in FLOWS))
    regimes = [(began, near), (began + timedelta(seconds=30), FLOWS)]
    assert nothing_healthy_undone(replace(found, deadlines=regimes)).holds == holds


def test_a_request_before_the_deadline_is_a_violation() -> None:
    found = nothing_healthy_undone(waited(ALLOWED_S + 9, ALLOWED_S - 1))
    assert "was judged at" in found.violations[0]


def test_a_rebuilt_database_that_differs_is_found() -> None:
    assert rebuild_finding([RebuildComparison("payment", 3, [])]).holds
    found = rebuild_finding(
        [RebuildComparison("payment", 3, ["payment ('a',): live 1, rebuilt 2"])]
    )
    assert found.violations == ("payment: payment ('a',): live 1, rebuilt 2",)


def relabelled(label: str, *types: str) -> Evidence:
    """The order that went well, with these events (none named: all) on another version."""
    seen = healthy()
    log = [
        replace(e, flow=label) if e.order_id == DONE and e.type in (types or {e.type}) else e
        for e in seen.log
    ]
    return replace(seen, log=log)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (relabelled("order/2", "ShipmentPickedUp"), "on order/1 and order/2"),
        (relabelled("order/3"), "completed on order/3 without FraudCleared"),
        (healthy(PointsGranted(order_id=DONE, points=1)), "PointsGranted on order/1, which has no"),
    ],
)
def test_an_order_that_left_its_version_is_found(evidence: Evidence, expected: str) -> None:
    found = own_version(evidence)
    assert any(expected in violation for violation in found.violations), found.violations
    assert own_version(healthy()).holds
    assert "2 on order/1" in own_version(healthy()).checked_against


def test_many_violations_are_counted_and_the_first_are_reported() -> None:
    found = finding_of(1, "t", "c", (str(n) for n in range(100)))
    assert found.found == 100
    assert found.violations == tuple(str(n) for n in range(SHOWN))


def test_marks_tell_records_apart() -> None:
    marks = {
        mark_of("t", b"k", [("h", b"v")], b"x"),
        mark_of("t", b"k", [("hv", b"")], b"x"),
        mark_of("t", b"kh", [("", b"v")], b"x"),
        mark_of("u", b"k", [("h", b"v")], b"x"),
        mark_of("t", b"k", [("h", b"v")], b"y"),
    }
    assert len(marks) == 5
