"""The flow file: what is refused and where it says so, and the rules that follow from it."""

from typing import Any

import pytest

from sagakit.contract.platform import CompensationRequested, VerdictGiven
from sagakit.decider import Command, Do, Observed, Undo
from sagakit.errors import ConfigurationError, FlowError, UnknownFlow
from sagakit.flow.loader import load
from sagakit.flow.model import Flow, Flows, with_deadlines
from sagakit.flow.routing import Router, rules_of, topic, topics_of
from sagakit.flow.toml_values import seconds
from schemas import FLOWS
from schemas.events import InventoryReserved, OrderCancelRequested, OrderFacts

(ORDER,) = FLOWS

OWNERS = {
    "Placed": "shop",
    "CancelAsked": "saga",
    "Noted": "shop",
    "ADone": "a",
    "AFailed": "a",
    "AUndone": "a",
    "AWaits": "a",
    "BDone": "b",
    "BFailed": "b",
    "BUndone": "b",
    "CDone": "c",
    "CFailed": "c",
    "CUndone": "c",
    "PDone": "p",
    "PUndone": "p",
    "RDone": "r",
    "SDone": "s",
}
HEAD = """
name = "toy"
start = "Placed"
cancel = "CancelAsked"
default_version = 1
"""
STEPS = """
[steps.a]
kind = "compensatable"
done = "ADone"
failed = ["AFailed"]
undone = "AUndone"
deadline = "1m"
waits = { AWaits = "1h" }
[steps.b]
kind = "compensatable"
done = "BDone"
failed = ["BFailed"]
undone = "BUndone"
deadline = "1m"
[steps.c]
kind = "compensatable"
done = "CDone"
failed = ["CFailed"]
undone = "CUndone"
deadline = "1m"
[steps.p]
kind = "pivot"
done = "PDone"
undone = "PUndone"
deadline = "1m"
[steps.r]
kind = "retriable"
done = "RDone"
deadline = "1m"
[steps.s]
kind = "retriable"
done = "SDone"
deadline = "1m"
"""
OBSERVES = """
[observes]
shop = ["Noted", "completed", "undone"]
"""


def toy(version: str, *, head: str = HEAD, steps: str = STEPS, observes: str = OBSERVES) -> Flow:
    return load(f"{head}\n[versions]\n{version}\n{steps}\n{observes}", OWNERS)


STRAIGHT = '1 = ["a", "b", "p", "r"]'


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "changes", "says"),
    [
        ("1 = [", {}, ["not valid TOML", "line 10"]),
        (STRAIGHT, {"head": HEAD.replace('name = "toy"', "")}, ["'name'", "missing"]),
        (STRAIGHT, {"head": HEAD.replace('start = "Placed"', "")}, ["toy", "'start'", "missing"]),
        (STRAIGHT, {"steps": ""}, ["toy", "'steps'", "missing"]),
        (STRAIGHT, {"steps": STEPS.replace('done = "ADone"', "")}, ["'done'", "missing"]),
        (STRAIGHT, {"steps": STEPS.replace('"1m"', '"soon"')}, ["'soon'", "not a duration", "30s"]),
        (STRAIGHT, {"steps": STEPS.replace('"1m"', "60")}, ["toy"]),
        (STRAIGHT, {"steps": STEPS.replace('"pivot"', '"pivvot"')}, ["step p", "'pivvot'"]),
        (STRAIGHT, {"steps": 'steps = "none"'}, ["toy"]),
        ('one = ["a", "p"]', {}, ["toy", "'one'"]),
        ('1 = "a"', {"steps": STEPS}, ["version 1", "list"]),
        (
            STRAIGHT,
            {"steps": STEPS.replace('["AFailed"]', '"AFailed"')},
            ["step a", "failed", "list"],
        ),
        (
            STRAIGHT,
            {"steps": STEPS.replace("ADone", "AGone")},
            ["step a", "AGone has no schema", "add AGone.avsc"],
        ),
        (STRAIGHT, {"head": HEAD.replace("Placed", "Begun")}, ["start", "Begun has no schema"]),
        (STRAIGHT, {"observes": '[observes]\nshop = ["Lost"]'}, ["observes.shop", "Lost"]),
        (STRAIGHT, {"observes": "[compensation]\nattempts = 0"}, ["compensation.attempts", "1"]),
        (STRAIGHT, {"observes": '[compensation]\nage = "old"'}, ["compensation.age", "'old'"]),
        (STRAIGHT, {"observes": "[compensation]\ntries = 3"}, ["compensation", "tries"]),
        (STRAIGHT, {"observes": "[observes]\nshop = []"}, ["observes.shop", "no event"]),
        (STRAIGHT, {"steps": STEPS.replace("AWaits", "BWaits")}, ["step a", "BWaits"]),
        (
            STRAIGHT,
            {"steps": STEPS.replace('undone = "PUndone"\n', "")},
            ["step p", "a pivot step needs `undone`"],
        ),
        (
            STRAIGHT,
            {"steps": STEPS.replace('done = "RDone"', 'done = "RDone"\nundone = "RDone"')},
            ["step r", "retried until done", "remove"],
        ),
        (
            STRAIGHT,
            {"steps": STEPS.replace('done = "ADone"', 'done = "BDone"', 1)},
            ["step a", "BDone is owned by b"],
        ),
        (STRAIGHT, {"head": HEAD.replace("= 1", "= 7")}, ["default_version 7", "not declared"]),
        ("1 = []", {}, ["version 1", "no steps"]),
        ('1 = ["a", [], "p"]', {}, ["version 1", "empty place"]),
        ('1 = ["a", "x", "p"]', {}, ["version 1", "step x", "[steps.x]"]),
        ('1 = ["a", "b", "a", "p"]', {}, ["version 1", "step a", "twice"]),
        ('1 = [["a", "b"], "a"]', {}, ["version 1", "step a", "twice"]),
        ('1 = ["p", "a"]', {}, ["version 1", "p (pivot) comes before a (compensatable)"]),
        ('1 = ["a", "r", "p"]', {}, ["r (retriable) comes before p (pivot)"]),
        ('1 = ["a", ["p", "c"]]', {}, ["version 1", "place p, c has steps of different kinds"]),
        ('1 = ["a", ["c", "p"]]', {}, ["version 1", "place c, p has steps of different kinds"]),
        ('1 = ["a", ["p", "r"]]', {}, ["version 1", "place p, r has steps of different kinds"]),
    ],
)
def test_an_invalid_flow_is_refused_with_the_place_of_the_error(
    version: str, changes: dict[str, str], says: list[str]
) -> None:
    with pytest.raises(FlowError) as raised:
        toy(version, **changes)
    for word in says:
        assert word in str(raised.value)


def test_two_pivots_are_one_too_many() -> None:
    steps = STEPS.replace('[steps.b]\nkind = "compensatable"', '[steps.b]\nkind = "pivot"')
    with pytest.raises(FlowError, match="version 1: has more than one pivot"):
        toy('1 = ["a", "b", "p"]', steps=steps)


def test_an_event_marks_one_thing_only() -> None:
    """Done and undone by one event would route a Do and an Undo on it."""
    steps = STEPS.replace('undone = "AUndone"', 'undone = "ADone"')
    with pytest.raises(FlowError, match=r"step a.*ADone"):
        toy(STRAIGHT, steps=steps)


def test_no_flow_at_all_and_two_of_a_name() -> None:
    with pytest.raises(FlowError, match="add a file flows/"):
        Flows()
    with pytest.raises(FlowError, match=r"flow toy, name: .*declared twice"):
        Flows(toy(STRAIGHT), toy(STRAIGHT))


# --- durations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [("250ms", 0.25), ("30s", 30), ("1.5m", 90), ("5m", 300), ("24h", 86_400), ("7d", 604_800)],
)
def test_a_duration_is_read_in_seconds(text: str, expected_s: float) -> None:
    assert seconds(text) == expected_s


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 m", "5M", "1h30m", "5m\n", "\u0665m"])
def test_a_malformed_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write for example 30s"):
        seconds(text)


def test_the_deadlines_of_a_flow_can_be_replaced() -> None:
    quick = with_deadlines(ORDER, {"payment": "20s", "payment.PaymentPending": "1m"})
    assert quick.steps["payment"].deadline_s == 20
    assert quick.steps["payment"].waits["PaymentPending"] == 60
    assert quick.steps["payment"].waits["PaymentReviewRequired"] == 86_400
    assert quick.steps["inventory"] == ORDER.steps["inventory"]
    assert ORDER.steps["payment"].deadline_s == 300, "the flow itself is as it was"


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("paymnt", "1m", "no deadline 'paymnt'"),
        ("payment.PaymentLost", "1m", "no deadline 'payment.PaymentLost'"),
        ("payment", "soon", "deadline payment: 'soon' is not a duration"),
    ],
)
def test_an_invalid_deadline_is_refused(path: str, text: str, says: str) -> None:
    with pytest.raises(FlowError, match=says):
        with_deadlines(ORDER, {path: text})


# --- labels -------------------------------------------------------------------------------------


def test_a_label_names_a_version() -> None:
    assert FLOWS.find("order/2") == (ORDER, 2)


@pytest.mark.parametrize(
    "label",
    ["order/9", "order", "order/2x", "order/\u0662", "other/1", "/1", "order/2/1"],
)
def test_an_unknown_label_says_what_is_known(label: str) -> None:
    with pytest.raises(UnknownFlow, match=r"known: order/1, order/2"):
        FLOWS.find(label)


# --- the rules of the order flow, both versions -------------------------------------------------

START, CANCEL = "OrderPlaced", ("CompensationRequested", "OrderCancelRequested")
RULES: dict[int, dict[str, dict[str, str]]] = {
    1: {
        "inventory": {
            START: "do",
            "PaymentDeclined": "undo",
            "PaymentRefunded": "undo",
            "ShipmentPickedUp": "observe ShipmentPickedUp",
        },
        "payment": {
            "InventoryReserved": "do",
            "ShipmentFailed": "undo",
            "ShipmentCancelled": "undo",
        },
        "shipping": {"PaymentCaptured": "do", CANCEL[0]: "undo", CANCEL[1]: "undo"},
        "notification": {
            "ShipmentPickedUp": "do",
            "ShipmentCreated": "observe ShipmentCreated",
            "PaymentRefunded": "observe PaymentRefunded",
            "PaymentRefundFailed": "observe PaymentRefundFailed",
            "InventoryRejected": "observe undone",
            "InventoryReleased": "observe undone",
        },
        "order": {
            START: "observe OrderPlaced observe refused",
            "ShippedMailSent": "observe completed",
            "InventoryRejected": "observe undone",
            "InventoryReleased": "observe undone",
        },
    },
    2: {
        "payment": {START: "do", "InventoryRejected": "undo", "InventoryReleased": "undo"},
        "inventory": {
            "PaymentCaptured": "do",
            "ShipmentFailed": "undo",
            "ShipmentCancelled": "undo",
            "ShipmentPickedUp": "observe ShipmentPickedUp",
        },
        "shipping": {"InventoryReserved": "do", CANCEL[0]: "undo", CANCEL[1]: "undo"},
        "notification": {
            "ShipmentPickedUp": "do",
            "ShipmentCreated": "observe ShipmentCreated",
            "PaymentRefunded": "observe PaymentRefunded observe undone",
            "PaymentRefundFailed": "observe PaymentRefundFailed",
            "PaymentDeclined": "observe undone",
        },
        "order": {
            START: "observe OrderPlaced observe refused",
            "ShippedMailSent": "observe completed",
            "PaymentDeclined": "observe undone",
            "PaymentRefunded": "observe undone",
        },
    },
}


def routes_of(flow: Flow, version: int, participant: str) -> dict[str, str]:
    rules = rules_of(flow, version, participant)
    return {e: " ".join(f"{r.kind} {r.name}".strip() for r in rs) for e, rs in rules.items()}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("participant", sorted(RULES[1]))
def test_the_rules_of_the_order_flow(version: int, participant: str) -> None:
    expected = dict(RULES[version][participant])
    if participant in ORDER.steps:
        expected |= {"VerdictGiven": "verdict", "SagaPaused": "pause", "SagaResumed": "resume"}
    if participant == "payment":
        expected["ChargeFound"] = "observe ChargeFound"
    assert routes_of(ORDER, version, participant) == expected


def test_topics_follow_from_all_versions() -> None:
    assert topics_of(FLOWS, "payment") == (
        "fraud.events",
        "inventory.events",
        "order.events",
        "saga.events",
        "shipping.events",
    )
    assert topic("saga") == "saga.events"


# --- triggers -----------------------------------------------------------------------------------

FACTS = OrderFacts(
    customer_id="c1", email="a@b.example", currency="EUR", total_minor=1, lines=(),
    card_token="tok_ok", ship_to="x",
)  # fmt: skip


def routed(participant: str, label: str, event: Any) -> tuple[Any, ...]:
    return Router(FLOWS, participant).route(label, event).triggers


def test_an_event_means_something_else_in_each_version() -> None:
    event = InventoryReserved(order_id="o1", order=FACTS)
    assert routed("payment", "order/1", event) == (Do(event),)
    assert routed("payment", "order/2", event) == ()
    assert routed("shipping", "order/2", event) == (Do(event),)


def test_an_undo_carries_the_reason_it_was_asked_for() -> None:
    cancel = OrderCancelRequested(order_id="o1", actor="ada", reason="changed my mind")
    assert routed("shipping", "order/1", cancel) == (Undo(cancel, "changed my mind"),)
    late = CompensationRequested(
        saga_id="o1",
        step="payment",
        attempt=1,
        code="deadline",
        reason="too late",
        actor="m",
    )
    assert routed("shipping", "order/2", late) == (Undo(late, "too late"),)


def test_an_undo_without_a_reason_is_named_after_its_event() -> None:
    flows = Flows(toy(STRAIGHT))
    event = Fact("BUndone")
    assert Router(flows, "a").route("toy/1", event).triggers == (Undo(event, "BUndone"),)


def test_a_verdict_reaches_the_step_it_names_only() -> None:
    event = VerdictGiven(saga_id="o1", step="payment", verdict="approve", actor="ada", reason="ok")
    assert routed("payment", "order/1", event) == (Command("approve", "ada", "ok", event),)
    assert routed("shipping", "order/1", event) == ()


# --- side by side -------------------------------------------------------------------------------


class Fact:
    """An event of which only the type matters."""

    def __init__(self, name: str) -> None:
        self.type, self.void_when = name, None


def triggers_of(flow: Flow, participant: str, *events: str) -> list[str]:
    """What a participant is told while these events come in."""
    router, marks, found = Router(Flows(flow), participant), frozenset[str](), []
    for name in events:
        routed = router.route("toy/1", Fact(name), marks)
        marks = routed.marks
        for trigger in routed.triggers:
            match trigger:
                case Observed(observed):
                    found.append(f"{name}: {observed}")
                case _:
                    found.append(f"{name}: {type(trigger).__name__}")
    return found


FORK = '1 = ["a", ["b", "c"], "p", "r"]'
WIDE_START = '1 = [["a", "b"], "p", ["r", "s"]]'


def test_the_next_do_waits_for_all_steps_of_a_place() -> None:
    flow = toy(FORK)
    assert triggers_of(flow, "b", "ADone") == triggers_of(flow, "c", "ADone") == ["ADone: Do"]
    assert triggers_of(flow, "p", "BDone") == triggers_of(flow, "p", "CDone") == []
    assert triggers_of(flow, "p", "BDone", "CDone") == ["CDone: Do"]
    assert triggers_of(flow, "p", "CDone", "CDone", "BDone") == ["BDone: Do"]


def test_a_failure_undoes_its_siblings_first() -> None:
    flow = toy(FORK)
    assert triggers_of(flow, "c", "BFailed") == ["BFailed: Undo"]
    assert triggers_of(flow, "b", "BFailed") == []
    assert triggers_of(flow, "a", "BFailed") == []
    assert triggers_of(flow, "a", "BFailed", "CUndone") == ["CUndone: Undo"]
    assert triggers_of(flow, "a", "BFailed", "CFailed") == ["CFailed: Undo"]
    assert triggers_of(flow, "c", "BUndone") == [], "else they would undo each other for ever"


def test_the_next_undo_goes_to_all_steps_of_a_place() -> None:
    flow = toy(FORK)
    assert (
        triggers_of(flow, "b", "PUndone") == triggers_of(flow, "c", "PUndone") == ["PUndone: Undo"]
    )
    assert triggers_of(flow, "a", "PUndone", "BUndone", "CUndone") == ["CUndone: Undo"]


def test_a_repeated_undo_is_passed_on_a_second_time() -> None:
    assert triggers_of(toy(FORK), "a", "BUndone", "CUndone", "BUndone") == [
        "CUndone: Undo",
        "BUndone: Undo",
    ]


def test_an_order_ends_when_all_parallel_steps_are_done_or_undone() -> None:
    flow = toy(WIDE_START)
    assert triggers_of(flow, "shop", "RDone") == triggers_of(flow, "shop", "AUndone") == []
    assert triggers_of(flow, "shop", "RDone", "SDone") == ["SDone: completed"]
    assert triggers_of(flow, "shop", "AFailed", "BUndone") == ["BUndone: undone"]
    assert triggers_of(flow, "shop", "Noted") == ["Noted: Noted"]


def test_compensation_enters_at_the_pivot_and_nowhere_else() -> None:
    flow = toy(WIDE_START)
    reached = [p for p in flow.participants if triggers_of(flow, p, "CompensationRequested")]
    assert reached == ["p"]
    assert [p for p in flow.participants if triggers_of(flow, p, "CancelAsked")] == ["p"]


def test_without_a_pivot_compensation_enters_at_the_last_that_can_be_undone() -> None:
    flow = toy('1 = ["a", ["b", "c"], "r"]')
    reached = [p for p in flow.participants if triggers_of(flow, p, "CompensationRequested")]
    assert reached == ["b", "c"]
    assert flow.pivot_place(1) == 1


def test_after_the_pivot_nothing_is_undone() -> None:
    flow = toy('1 = ["r", "s"]')
    assert flow.pivot_place(1) == -1
    assert all(
        not triggers_of(flow, p, "CompensationRequested", "CancelAsked") for p in flow.participants
    )


def test_a_participant_that_no_flow_has_is_refused_with_the_known_names() -> None:
    for name in ("order", "payment", "fraud"):
        FLOWS.check_participant(name)
    for name in ("frud", ""):
        with pytest.raises(ConfigurationError, match=r"no flow has.*known: fraud, inventory, "):
            FLOWS.check_participant(name)
