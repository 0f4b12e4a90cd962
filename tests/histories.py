"""Stories for the monitor's tests: the facts of one order, told one after the other.

    seen = told("OrderPlaced", 10, "InventoryReserved")

A number lets that many seconds pass; a dict adds to the detail of the event before it.
"""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from saga_monitor.saga.facts import Fact, Saga, emission_id, fold
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.interpreter import interpret
from saga_monitor.saga.view import KindBalance, SagaView
from schemas import FLOWS, OWNERS

ORDER = "o-1"
SAGA = "order/o-1"
START = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)
(FLOW,) = FLOWS
MONEY, UNITS, SHIPPED_UNITS = FLOW.balances


def after(seconds: float) -> datetime:
    """That long after the story began."""
    return START + timedelta(seconds=seconds)


def facts(*described: str | float | dict[str, Any], flow: str = "order/1") -> list[Fact]:
    """The facts of a story. The monitor's own events carry no sequence, as in life."""
    now, counts, found = START, Counter[str](), list[Fact]()
    for one in described:
        if isinstance(one, dict):
            found[-1] = _named(replace(found[-1], detail={**found[-1].detail, **one}))
        elif isinstance(one, int | float):
            now += timedelta(seconds=one)
        else:
            owner = OWNERS[one]
            counts[owner] += 1
            found.append(
                Fact(
                    id=str(uuid5(NAMESPACE_OID, f"{owner}:{counts[owner]}:{one}")),
                    type=one,
                    at=now,
                    source=owner,
                    seq=None if owner == "saga" else counts[owner],
                    causation=found[-1].id if found else None,
                    flow=flow,
                    detail=_detail(one),
                )
            )
            now += timedelta(milliseconds=1)
    return found


def saga_of(*described: str | float | dict[str, Any], flow: str = "order/1") -> Saga:
    """The saga of a story."""
    return fold(Saga(SAGA), *facts(*described, flow=flow))


def seen(saga: Saga) -> SagaView:
    """Its view."""
    types = (fact.type for fact in saga.facts.values())
    return interpret(saga, Plan.of(*FLOWS.find(saga.flow, *types)))


def money_of(view: SagaView) -> KindBalance:
    """Its money, of which there is one kind at most."""
    found = [row for row in view.balances if row.name == "money"]
    assert len(found) < 2
    return found[0] if found else KindBalance("money", "", 0, 0)


def _named(fact: Fact) -> Fact:
    """A request to undo with a step and an attempt has the id the monitor would give it."""
    if fact.type != "CompensationRequested" or "step" not in fact.detail:
        return fact
    step, attempt = fact.detail["step"], fact.detail["attempt"]
    return replace(fact, id=str(emission_id(SAGA, "deadline", step, attempt)))


def _detail(event: str) -> dict[str, Any]:
    match event:
        case "PaymentCaptured":
            return {"charge_id": "ch-1", "amount_minor": 500, "currency": "EUR"}
        case "PaymentMismatched":
            return {"charge_id": "ch-1", "amount_minor": 1, "currency": "EUR"}
        case "PaymentRefunded" | "PaymentRefundFailed":
            return {"refund_id": "re-1", "amount_minor": 500, "currency": "EUR"}
        case "PaymentDisputeLost":
            return {"dispute_id": "dp-1", "amount_minor": 0, "currency": "EUR"}
        case "CompensationRequested":
            return {"code": "deadline", "attempt": 1}
        case _:
            return {}
