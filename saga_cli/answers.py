"""Declares what the monitor and the services answer, as far as commands read it."""

from typing import Any, NotRequired, TypedDict

from saga_cli.shapes import Time, mismatch


class CauseJson(TypedDict):
    """Holds what blocks an order."""

    kind: str
    description: str
    since: Time | None
    until: Time | None


class OrderRowJson(TypedDict):
    """Holds a row of a list of orders."""

    order_id: str
    flow: str | None
    version: int | None
    status: str
    started_at: Time | None
    awaited: str | None


class ListedOrderJson(OrderRowJson):
    """Holds a row of `GET /sagas`."""

    next_deadline: Time | None


class BlockedOrderJson(TypedDict):
    """Holds a row of `GET /blocked`."""

    order_id: str
    status: str
    started_at: Time | None
    next_deadline: Time | None
    blocked_by: CauseJson | None


class StepJson(TypedDict):
    """Holds a step of an order."""

    name: str
    status: str


class TimelineEventJson(TypedDict):
    """Holds an event of an order. caused_by: the type of the event that caused it."""

    at: Time
    type: str
    caused_by: str | None
    detail: dict[str, Any]


class ApprovalJson(TypedDict):
    """Holds the roles that are asked for a verdict."""

    role: str
    senior: str
    until: Time | None
    reminded: Time | None
    escalated: Time | None


class AwaitedStepJson(TypedDict):
    """Holds the events that are expected of a step."""

    step: str
    mode: str
    events: list[str]
    since: Time
    due: Time | None
    tries: int
    approval: NotRequired[ApprovalJson | None]


class InterventionEntryJson(TypedDict):
    """Holds an event in the history of an intervention."""

    id: str
    type: str
    at: Time
    actor: str
    reason: str


class InterventionJson(TypedDict):
    """Holds an intervention of an order. opening: id of the entry that opened it."""

    code: str
    status: str
    holder: str | None
    opened_at: Time
    reason: str
    opening: str
    entries: list[InterventionEntryJson]


class PinJson(TypedDict):
    """Holds the pin that keeps an order out of the history."""

    actor: str
    since: Time
    reason: str


class BalanceJson(TypedDict):
    """Holds what moved of one kind of a balance."""

    name: str
    kind: str
    added: int
    removed: int
    held: int


class RelatedJson(TypedDict):
    """Holds the batch of an order, and the orders next to it."""

    batch_id: str | None
    caused_by: str | None
    led_to: list[str]


class OrderJson(TypedDict):
    """Holds one order of `GET /sagas/ORDER`."""

    order_id: str
    flow: str
    status: str
    started_at: Time | None
    ended_at: Time | None
    steps: list[StepJson]
    timeline: list[TimelineEventJson]
    awaited: list[AwaitedStepJson]
    interventions: list[InterventionJson]
    pin: PinJson | None
    history: bool
    blocked_by: CauseJson | None
    links: RelatedJson
    balances: list[BalanceJson]


class ListedInterventionJson(TypedDict):
    """Holds a row of `GET /interventions`. saga: status of the order."""

    order_id: str
    code: str
    status: str
    holder: str | None
    opened_at: Time
    saga: str
    reason: str


class FlowVersionJson(TypedDict):
    """Holds a row of `GET /flows`."""

    flow: str
    in_flight: int
    ended: int
    oldest: str | None
    oldest_at: Time | None
    declared: bool
    default: bool


class RetirementJson(TypedDict):
    """Holds the answer of `GET /flows/retirement`."""

    ended: int


class BatchJson(TypedDict):
    """Holds the orders of a batch, and their number by status."""

    orders: list[OrderRowJson]
    counts: dict[str, int]


class LinkJson(TypedDict):
    """Holds an order in a tree, below the one that led to it."""

    order_id: str
    caused_by: str | None
    status: str | None


class AcceptedCommandJson(TypedDict):
    """Holds the event that a command became."""

    event: str
    id: str


class FindingJson(TypedDict):
    """Holds a difference that a reconciliation found."""

    kind: str
    subject: str
    what: str
    remedy: str
    action: str


class ReconciliationReportJson(TypedDict):
    """Holds the answer of `POST /reconciliations`."""

    fix: bool
    judged: int
    unsettled: int
    read_through: Time
    findings: list[FindingJson]


def link_mismatch(links: Any) -> str | None:
    """Return what differs from a tree: one root first, each other order after its cause."""
    if found := mismatch(list[LinkJson], links):
        return found
    seen = set[str]()
    for link in links:
        if link["order_id"] in seen or (
            link["caused_by"] not in seen if seen else link["caused_by"]
        ):
            return f"order {link['order_id']} does not follow the one that caused it"
        seen.add(link["order_id"])
    return None if seen else "it is an empty list"
