"""Cases for people: what the facts say of them, and the events that people's words become."""

from datetime import timedelta
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest

from saga_monitor.saga.commands import (
    INTERVENTION_COMMANDS,
    CancelCommand,
    CommandRefused,
    InterventionCommand,
    VerdictCommand,
    cancel_saga,
    give_verdict,
)
from saga_monitor.saga.deadlines import Emission
from saga_monitor.saga.facts import Fact, Saga, fold
from saga_monitor.saga.interventions import Intervention, InterventionStatus, interventions_of
from tests.histories import SAGA, after, facts, saga_of, seen

RESERVED = ("OrderPlaced", "InventoryReserved")
DONE = (*RESERVED, "PaymentCaptured", "ShipmentPickedUp", "ShippedMailSent")
ADA = {"actor": "ada", "reason": "looked into it"}
BOB = {"actor": "bob", "reason": "so did I"}


def case(code: str = "undo_stalled", **more: Any) -> dict[str, Any]:
    return {"code": code, **more}


OPENED = ("InterventionOpened", case(reason="no sign of life"))
CLAIMED = ("InterventionClaimed", case(**ADA))
NOTED = ("InterventionNoted", case(**BOB))
RESOLVED = ("InterventionResolved", case(**ADA))


def only(*story: Any) -> Intervention:
    (found,) = seen(saga_of(*RESERVED, *story)).interventions
    return found


def test_a_case_is_opened_claimed_noted_on_and_resolved() -> None:
    opened = only(10, *OPENED)
    assert (opened.code, opened.status) == ("undo_stalled", InterventionStatus.OPEN)
    assert (opened.opened_at, opened.reason) == (after(10.002), "no sign of life")
    assert (opened.holder, opened.last.actor) == (None, "saga_monitor")
    claimed = only(10, *OPENED, *CLAIMED, *NOTED)
    assert (claimed.status, claimed.holder) == (InterventionStatus.CLAIMED, "ada")
    assert [(e.actor, e.reason) for e in claimed.entries[1:]] == [
        ("ada", "looked into it"),
        ("bob", "so did I"),
    ]
    resolved = only(10, *OPENED, *CLAIMED, *NOTED, 5, *RESOLVED)
    assert (resolved.status, resolved.closed_at) == (InterventionStatus.RESOLVED, after(15.005))
    assert not resolved.is_open


def test_a_resolved_case_can_be_opened_again_and_nobody_holds_it_then() -> None:
    again = only(*OPENED, *CLAIMED, *RESOLVED, 5, *OPENED)
    assert (again.status, again.holder, again.closed_at) == (InterventionStatus.OPEN, None, None)
    assert again.opened_at == after(5.005)
    assert len(again.entries) == 4


def test_what_is_reported_of_a_case_that_was_never_opened_is_no_case() -> None:
    assert seen(saga_of(*RESERVED, *CLAIMED, *NOTED, *RESOLVED)).interventions == ()


def test_a_claim_on_a_closed_case_changes_nothing() -> None:
    assert only(*OPENED, *RESOLVED, *CLAIMED).status == InterventionStatus.RESOLVED


def test_every_code_is_a_case_of_its_own() -> None:
    view = seen(saga_of(*RESERVED, *OPENED, "InterventionOpened", case("manual"), *RESOLVED))
    assert [(c.code, c.status) for c in view.interventions] == [
        ("manual", InterventionStatus.OPEN),
        ("undo_stalled", InterventionStatus.RESOLVED),
    ]
    assert view.open_interventions == ("manual",)


def test_within_one_millisecond_the_order_of_reading_does_not_matter() -> None:
    words = facts(*OPENED, *CLAIMED, *RESOLVED)
    at_once = [Fact(f.id, f.type, after(0), detail=f.detail) for f in words]
    found = {str(interventions_of(several)) for several in permutations(at_once)}
    assert len(found) == 1
    assert interventions_of(at_once)[0].status == InterventionStatus.RESOLVED


def test_a_case_about_time_settles_itself_when_the_order_ends_and_no_other_does() -> None:
    view = seen(saga_of(*DONE[:-1], *OPENED, "InterventionOpened", case("manual"), DONE[-1]))
    assert [(c.code, c.status) for c in view.interventions] == [
        ("manual", InterventionStatus.OPEN),
        ("undo_stalled", InterventionStatus.SETTLED),
    ]
    assert view.interventions[1].closed_at == view.ended_at


# --- what people say ------------------------------------------------------------------------------


def do(command: str, saga: Saga, **body: Any) -> Emission:
    return INTERVENTION_COMMANDS[command](InterventionCommand(saga=SAGA, **body), saga, seen(saga))


def read_back(saga: Saga, emission: Emission) -> Saga:
    """The saga once what was said has been read."""
    event = emission.event
    detail = {k: v for k, v in event.to_dict().items() if k != "order_id"}
    at = max(f.at for f in saga.facts.values()) + timedelta(milliseconds=1)
    return fold(saga, Fact(str(emission.id), event.type, at, detail=detail))


def refusal(command: str, saga: Saga, **body: Any) -> tuple[int, str]:
    with pytest.raises(CommandRefused) as refused:
        do(command, saga, **body)
    return refused.value.status, refused.value.detail


def test_a_person_takes_a_case_through_all_its_states() -> None:
    saga = saga_of(*RESERVED)
    for command, who, status in (
        ("open", ADA, "open"),
        ("claim", ADA, "claimed"),
        ("note", BOB, "claimed"),
        ("resolve", BOB, "resolved"),
        ("reopen", ADA, "open"),
        ("resolve", BOB, "resolved"),
    ):
        emission = do(command, saga, **who)
        assert not emission.is_in(saga), command
        assert str(emission.cause) in {fact.id for fact in saga.facts.values()}
        saga = read_back(saga, emission)
        assert [(c.code, c.status) for c in seen(saga).interventions] == [("manual", status)], (
            command
        )
        assert do(command, saga, **who).id == emission.id, "the same words again are the same event"


def test_two_simultaneous_commands_are_one_event() -> None:
    saga = saga_of(*RESERVED, *OPENED)
    for command in ("claim", "resolve"):
        assert do(command, saga, **ADA).id == do(command, saga, **BOB).id
    claimed = saga_of(*RESERVED, *OPENED, *CLAIMED)
    assert do("resolve", saga, **ADA).id == do("resolve", claimed, **BOB).id
    notes = {do("note", saga, **who).id for who in (ADA, BOB)}
    assert len(notes) == 2


def test_a_late_command_is_refused_with_what_has_happened() -> None:
    opened = saga_of(*RESERVED, *OPENED)
    claimed = saga_of(*RESERVED, *OPENED, *CLAIMED)
    resolved = saga_of(*RESERVED, *OPENED, *RESOLVED)
    settled = saga_of(*DONE[:-1], *OPENED, DONE[-1])
    when = "2026-01-02T03:00:00Z"
    for command, saga, body, status, words in (
        ("open", opened, {"code": "undo_stalled"}, 409, "is open: saga_monitor at"),
        ("claim", claimed, {}, 409, f"is claimed by ada at {when}; `taken_from` has to"),
        ("claim", opened, {"taken_from": "ada"}, 409, "is unclaimed since"),
        ("claim", resolved, {"code": "undo_stalled"}, 409, f"ada resolved it at {when}: looked"),
        ("resolve", resolved, {}, 409, f"is resolved: ada at {when}: looked into it"),
        ("resolve", settled, {}, 409, "the end of the saga settled it"),
        ("reopen", settled, {}, 409, "another code for another matter"),
        ("reopen", opened, {}, 409, "is open: saga_monitor at"),
        ("note", saga_of(*RESERVED), {}, 404, "o-1 has no intervention; open one with `saga"),
        ("resolve", opened, {"code": "manual"}, 404, "its interventions: undo_stalled (open)"),
    ):
        answer = refusal(command, saga, **BOB, **body)
        assert answer[0] == status, (command, answer)
        assert words in answer[1]


def test_a_case_is_taken_over_from_who_holds_it() -> None:
    claimed = saga_of(*RESERVED, *OPENED, *CLAIMED)
    taken = read_back(claimed, do("claim", claimed, **BOB, taken_from="ada"))
    assert seen(taken).interventions[0].holder == "bob"
    assert refusal("claim", taken, actor="eve", reason="r", taken_from="ada")[0] == 409


def test_where_several_cases_can_be_meant_the_code_has_to_be_named() -> None:
    two = saga_of(*RESERVED, *OPENED, "InterventionOpened", case("manual"))
    assert refusal("resolve", two, **ADA)[0] == 422
    assert do("resolve", two, **ADA, code="manual").event.code == "manual"
    (one,) = [c for c in seen(two).interventions if c.code == "manual"]
    assert do("resolve", two, **ADA, code="manual").cause == UUID(one.opening)


def test_a_late_verdict_is_refused_with_who_gave_it() -> None:
    asked = (*RESERVED, "PaymentReviewRequired")
    yes = VerdictCommand(saga=SAGA, step="payment", verdict="approve", **ADA)
    no = VerdictCommand(saga=SAGA, step="payment", verdict="reject", **BOB)
    waiting = saga_of(*asked)
    given = give_verdict(yes, waiting, seen(waiting))
    assert give_verdict(no, waiting, seen(waiting)).id == given.id, "one of the two is heard"
    decided = read_back(waiting, given)
    with pytest.raises(CommandRefused, match=r"ada gave the command approve at .*: looked into it"):
        give_verdict(no, decided, seen(decided))


def test_a_late_cancellation_is_refused_with_who_asked_first() -> None:
    running = saga_of(*RESERVED)
    body = CancelCommand(saga=SAGA, **ADA)
    asked = cancel_saga(body, running, seen(running))
    undoing = read_back(running, asked)
    with pytest.raises(
        CommandRefused, match="being undone already; ada gave the command cancel at"
    ):
        cancel_saga(CancelCommand(saga=SAGA, **BOB), undoing, seen(undoing))
    done = saga_of(*DONE)
    with pytest.raises(CommandRefused, match="completed since"):
        cancel_saga(body, done, seen(done))
