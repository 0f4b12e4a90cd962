"""Tests courier's decision on every trigger in every state, and its way through the kit."""

from typing import Any

import pytest
from sagakit import (
    Callback,
    Command,
    Decision,
    Do,
    Effect,
    EffectResult,
    Observed,
    Participant,
    Undo,
)
from sagakit.testing import (
    Arrival,
    DecisionMatrix,
    InMemoryService,
    MemoryStore,
    check_crash_points,
    emits,
    row_of,
)

from courier.decide import ASK, Done, Job, Phase, Refused, decide, evolve
from courier.service import participant
from tests.examples import ACCEPTED, CANCELLED, DONE, ID, REASON, REFUSED, STOPPED

from errand_events import CONTRACT, FLOWS

EFFECT = Effect(ASK, ASK, {"errand_id": ID, "facts": ACCEPTED.facts.to_dict()})
STATES: dict[str, tuple[Any, ...]] = {
    Phase.NEW: (),
    Phase.DONE: (DONE,),
    Phase.REFUSED: (REFUSED,),
    Phase.STOPPED: (STOPPED,),
}
NEVER = row_of(STATES)  # a state that is not named answers with nothing
MATRIX = DecisionMatrix(
    participant(),
    Job(),
    STATES,
    triggers={
        "do": Do(ACCEPTED),
        "undo": Undo(CANCELLED, REASON),
        "undo, while the partner is asked": Arrival(Undo(CANCELLED, REASON), (EFFECT.key,)),
        "done": EffectResult(EFFECT, Done("job_1")),
        "refused": EffectResult(EFFECT, Refused(REASON)),
        "callback": Callback(None),
        "command": Command("approve", "bob", "fine"),
        "observed": Observed("completed", ACCEPTED),
    },
    cells={
        "do": row_of(STATES, new=Decision(effects=(EFFECT,))),
        "undo": row_of(STATES, new=emits(STOPPED), refused=emits(STOPPED), stopped=emits(STOPPED)),
        "undo, while the partner is asked": NEVER,
        "done": row_of(STATES, new=emits(DONE)),
        "refused": row_of(STATES, new=emits(REFUSED)),
        "callback": NEVER,
        "command": NEVER,
        "observed": NEVER,
    },
    phases=Phase,
)


def test_the_matrix_is_complete() -> None:
    MATRIX.check_complete()
    MATRIX.check_triggers()
    MATRIX.check_routing(FLOWS)
    MATRIX.check_results([Done, Refused])


@pytest.mark.parametrize(("trigger", "state"), MATRIX.pairs)
def test_each_cell_of_the_matrix(trigger: str, state: str) -> None:
    MATRIX.check(trigger, state)


# --- through the kit: routing, inbox, effects, all in memory --------------------------------------


class CountingPartner:
    """Has every job done, and notes its key."""

    def __init__(self) -> None:
        self.keys: set[str] = set()

    async def ask(self, effect: Effect) -> Done:
        self.keys.add(effect.idempotency_key)
        return Done("job_1")


def in_memory(partner: CountingPartner, **options: Any) -> InMemoryService[Job]:
    """Courier behind the handler and the routing of the kit."""
    store = MemoryStore(Job())
    courier = Participant("courier", decide, evolve, store)
    perform = {ASK: partner.ask}
    return InMemoryService(
        courier, store, CONTRACT, FLOWS, perform, flow="errand/1", saga_id=ID, **options
    )


def test_a_cancel_that_comes_first_leaves_a_fence() -> None:
    partner = CountingPartner()
    courier = in_memory(partner)
    assert courier.receive(CANCELLED, "errand", 1).events == (STOPPED,)
    courier.receive(ACCEPTED, "dispatch", 1)
    assert courier.perform() == []
    assert partner.keys == set()


def test_a_crash_at_any_point_has_the_job_done_under_one_key() -> None:
    partner = CountingPartner()

    def deliver(courier: InMemoryService[Job]) -> None:
        courier.receive(ACCEPTED, "dispatch", 1)
        courier.perform()

    crashed = check_crash_points(lambda faults: in_memory(partner, faults=faults), deliver)
    assert all(crashed.values())
    assert partner.keys == {f"errand/{ID}:{ASK}"}
