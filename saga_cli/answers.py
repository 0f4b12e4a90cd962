"""Declares what the monitor and the services answer, as far as commands read it."""

from typing import Any, NotRequired, TypedDict

from saga_cli.shapes import Time, mismatch


class CauseJson(TypedDict):
    """Holds what blocks a saga."""

    kind: str
    description: str
    since: Time | None
    until: Time | None


class LoginLinkJson(TypedDict):
    """Holds the answer of `POST /ui/login-links`. expires_at: None where nobody has to log in."""

    path: str
    expires_at: Time | None


class CandidateJson(TypedDict):
    """Holds a row of `GET /candidates`."""

    saga: str


class SagaRowJson(TypedDict):
    """Holds a row of a list of sagas. flow: with its version."""

    saga: str
    flow: str | None
    status: str
    started_at: Time | None
    awaited: str | None


class ListedSagaJson(SagaRowJson):
    """Holds a row of `GET /sagas`."""

    next_deadline: Time | None


class SearchJson(TypedDict):
    """Holds the answer of `GET /search`."""

    sagas: list[ListedSagaJson]
    count: int
    more: bool
    next: str | None


class BlockedSagaJson(TypedDict):
    """Holds a row of `GET /blocked`."""

    saga: str
    status: str
    started_at: Time | None
    next_deadline: Time | None
    blocked_by: CauseJson | None


class StepJson(TypedDict):
    """Holds a step of a saga."""

    name: str
    status: str


class TimelineEventJson(TypedDict):
    """Holds an event of a saga. caused_by: the type of the event that caused it."""

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
    """Holds an intervention of a saga. opening: id of the entry that opened it."""

    code: str
    status: str
    holder: str | None
    opened_at: Time
    reason: str
    opening: str
    entries: list[InterventionEntryJson]


class PinJson(TypedDict):
    """Holds the pin that keeps a saga out of the history."""

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
    """Holds the batch of a saga, and the sagas next to it."""

    batch_id: str | None
    caused_by: str | None
    led_to: list[str]


class PointJson(TypedDict):
    """Holds the moment that a past saga stands for, see `saga_monitor.saga.time_travel`."""

    at: Time
    basis: str
    events: int
    later: int
    unread: int
    complete: bool


class SagaJson(TypedDict):
    """Holds one saga of `GET /sagas/FLOW/ID`. point: given for a past saga."""

    saga: str
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
    point: NotRequired[PointJson]


class ListedInterventionJson(TypedDict):
    """Holds a row of `GET /interventions`."""

    saga: str
    code: str
    status: str
    holder: str | None
    opened_at: Time
    saga_status: str
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
    """Holds the sagas of a batch, and their number by status."""

    sagas: list[SagaRowJson]
    counts: dict[str, int]


class LinkJson(TypedDict):
    """Holds a saga in a tree, below the one that led to it."""

    saga: str
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


class FlowChangeJson(TypedDict):
    """Holds a value that an edited flow file changes."""

    path: str
    was: str | None
    now: str | None


class HeldBalanceJson(TypedDict):
    """Holds what a saga held of a balance when an undo was asked for, and at its end."""

    name: str
    kind: str
    held: int
    held_at_end: int


class DifferenceJson(TypedDict):
    """Holds an action that two flows do not have at the same time."""

    act: str
    subject: str
    change: str
    at: Time | None
    was_at: Time | None
    balances: list[HeldBalanceJson]


class JudgedSagaJson(TypedDict):
    """Holds a saga with its differences."""

    saga: str
    flow: str
    status: str
    started_at: Time | None
    ended_at: Time | None
    differences: list[DifferenceJson]


class PlaceJson(TypedDict):
    """Holds the place of a saga in the order of starts."""

    started_at: Time
    saga: str


class BacktestPageJson(TypedDict):
    """Holds the answer of `POST /backtests`."""

    flow: str
    since: Time
    until: Time
    changes: list[FlowChangeJson]
    judged: int
    unjudged: dict[str, int]
    sagas: list[JudgedSagaJson]
    next: PlaceJson | None


def link_mismatch(links: Any) -> str | None:
    """Return what differs from a tree: one root first, each other saga after its cause."""
    if found := mismatch(list[LinkJson], links):
        return found
    seen = set[str]()
    for link in links:
        if link["saga"] in seen or (link["caused_by"] not in seen if seen else link["caused_by"]):
            return f"saga {link['saga']} does not follow the one that caused it"
        seen.add(link["saga"])
    return None if seen else "it is an empty list"
