"""Each invariant holds for a healthy run and fails for every violation planted into it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from saga_lab.invariants.balances import conserved
from saga_lab.invariants.evidence import Evidence, Sent, mark_of
from saga_lab.invariants.finding import SHOWN, Finding, finding_of
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
from tests.unit.shop.healthy_orders import (
    DONE,
    FACTS,
    UNDONE,
    Log,
    captured,
    healthy,
    mark,
    placed,
    refunded,
    released,
    saga,
    timeout,
    without,
)

CHECKS: Mapping[int, Callable[[Evidence], Finding]] = {
    1: one_end,
    2: conserved,
    5: nothing_lost,
    7: nothing_healthy_undone,
}


@pytest.mark.parametrize("number", CHECKS)
def test_a_healthy_run_holds(number: int) -> None:
    found = CHECKS[number](healthy())
    assert found.number == number
    assert found.holds, found.violations
    assert found.checked_against


def moved(evidence: Evidence, where: int, to: int) -> Evidence:
    """An event of payment at another place of the log."""
    log = list(evidence.log)
    payment = [i for i, e in enumerate(log) if e.source == "payment" and e.saga == saga(UNDONE)]
    log.insert(payment[to], log.pop(payment[where]))
    return replace(evidence, log=log)


OPENED = InterventionOpened(saga_id=DONE, code="overdue", reason="r")
PLANTED: Mapping[str, tuple[int, Evidence, str]] = {
    "no end": (1, without(healthy(), "OrderCompleted"), f"{DONE}: ended 0 times"),
    "two ends": (1, healthy(OrderCancelled(order_id=DONE, reason="r")), f"{DONE}: ended 2 times"),
    "the same end twice": (1, healthy(OrderCompleted(order_id=DONE)), f"{DONE}: ended 2 times"),
    "the monitor sees another": (
        1,
        replace(healthy(), sagas={saga(DONE): "running", saga(UNDONE): "cancelled"}),
        f"{DONE}: completed on the log, running for the monitor",
    ),
    "the monitor does not know it": (
        1,
        replace(healthy(), sagas={saga(DONE): "completed"}),
        f"{UNDONE}: cancelled on the log, unknown for the monitor",
    ),
    "taken twice": (
        2,
        healthy(replace(captured(DONE), charge_id="another")),
        f"{DONE}: money: added 5000 EUR, removed nothing, held 5000 EUR: a completed saga must",
    ),
    "not given back": (
        2,
        without(healthy(), "PaymentRefunded"),
        f"{UNDONE}: money: added 2500 EUR, removed nothing, held 2500 EUR: a cancelled saga must",
    ),
    "given back twice": (
        2,
        healthy(refunded(UNDONE)),
        "more was removed than added",
    ),
    "never shipped": (
        2,
        without(healthy(), "InventoryShipped"),
        f"{DONE}: units: added 2 TEA-100, removed nothing, held 2 TEA-100: a completed saga must",
    ),
    "a gap": (
        5,
        replace(
            healthy(),
            log=[e for e in healthy().log if (e.saga, e.type) != (saga(UNDONE), "PaymentCaptured")],
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
        replace(healthy(), sent=[Sent("payment", saga(DONE), "payment.events", mark("gone"))]),
        f"{DONE}: payment sent an event to payment.events that is not there",
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
        sagas={saga(DONE): "intervention", saga(UNDONE): "cancelled"},
    )
    assert one_end(seen).holds


def test_an_order_on_an_unknown_flow_is_not_accepted() -> None:
    log = [replace(e, flow="order/99") if e.saga == saga(DONE) else e for e in healthy().log]
    assert set(replace(healthy(), log=log).accepted) == {saga(UNDONE)}


def test_a_repeat_is_no_inversion() -> None:
    """At least once: what was published again after a failure stands behind what came later."""
    log = list(healthy().log)
    assert nothing_lost(replace(healthy(), log=[*log, *log[-3:]])).holds
    assert one_end(replace(healthy(), log=[*log, *log[-3:]])).holds


@pytest.mark.parametrize(
    "event", [refunded(DONE), released(DONE), ShipmentCancelled(order_id=DONE, reason="r")]
)
def test_what_is_undone_past_the_pivot_is_found(event: Any) -> None:
    """Without an application's own rule every undo counts."""
    found = nothing_healthy_undone(healthy(event))
    assert found.violations == (f"{saga(DONE)}: past its pivot, and yet undone: {event.type}",)


def test_without_an_event_of_the_end_the_steps_tell_it() -> None:
    seen = replace(healthy(), ends={})
    assert (seen.end_of(saga(DONE)), seen.end_of(saga(UNDONE))) == ("completed", "cancelled")
    assert without(seen, "ShippedMailSent").end_of(saga(DONE)) == "neither"


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
        replace(e, flow=label) if e.saga == saga(DONE) and e.type in (types or {e.type}) else e
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
