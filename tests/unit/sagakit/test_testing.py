"""The helpers of `sagakit.testing` fail where a participant, a matrix or a gateway is wrong."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest

from sagakit.decider import Callback, Command, Decision, Do, Effect, EffectResult, Observed, Trigger
from sagakit.errors import ConfigurationError, EffectFailed, ForeignEvent
from sagakit.faults import Faults
from sagakit.store.memory import MemoryStore
from sagakit.store.ports import Participant
from sagakit.testing import (
    Arrival,
    DecisionMatrix,
    InMemoryService,
    Past,
    check_crash_points,
    check_failure_is_unknown,
    check_idempotent,
    emits,
    given,
    row_of,
)
from tests.toy_saga import CONTRACT, FLOWS, Counted, Started

CALL = Effect("call", "call:o1", {})
STARTED = Started("o1", "call")
COUNTED = Counted("o1", "1")


@dataclass(frozen=True)
class Count:
    """How often it was counted."""

    total: int = 0
    in_flight: frozenset[str] = frozenset()


def decide(state: Count, trigger: Trigger, now: datetime) -> Decision:
    """Call once; count the result."""
    match trigger:
        case Do() if not state.total and CALL.key not in state.in_flight:
            return Decision(effects=(CALL,))
        case EffectResult() if not state.total:
            return emits(COUNTED)
        case _:
            return Decision()


def evolve(state: Count, event: Any) -> Count:
    return replace(state, total=state.total + 1)


COUNTER = Participant("counter", decide, evolve, MemoryStore(Count()))
STATES = {"new": Past(), "calling": Past(in_flight=(CALL.key,)), "counted": Past((COUNTED,))}
TRIGGERS: dict[str, Trigger | Arrival] = {
    "do": Do(STARTED),
    "result": EffectResult(CALL, 1),
    "do, counted before": Arrival(Do(STARTED), initial=Count(7)),
}
CELLS = {
    "do": row_of(STATES, new=Decision(effects=(CALL,))),
    "result": row_of(STATES, new=emits(COUNTED), calling=emits(COUNTED)),
    "do, counted before": row_of(STATES),
}
MATRIX = DecisionMatrix(COUNTER, Count(), STATES, TRIGGERS, CELLS)


def test_a_complete_matrix_passes() -> None:
    MATRIX.check_complete()
    assert len(MATRIX.pairs) == 9
    for pair in MATRIX.pairs:
        MATRIX.check(*pair)


def test_a_blank_cell_is_named() -> None:
    cells = {**CELLS, "result": {"new": emits(COUNTED), "calling": emits(COUNTED)}}
    blank = replace(MATRIX, cells=cells)
    with pytest.raises(AssertionError, match="trigger 'result' in state 'counted'"):
        blank.check_complete()
    with pytest.raises(AssertionError, match="blank cell: trigger 'result' in state 'counted'"):
        blank.check("result", "counted")


def test_a_cell_of_no_state_is_named() -> None:
    with pytest.raises(AssertionError, match="trigger 'do' in state 'lost'"):
        replace(MATRIX, cells={**CELLS, "do": {**CELLS["do"], "lost": emits()}}).check_complete()


def test_a_row_names_states_that_exist() -> None:
    with pytest.raises(KeyError, match="lost"):
        row_of(STATES, lost=emits(COUNTED))


def test_another_decision_fails_the_cell() -> None:
    with pytest.raises(AssertionError, match="expected"):
        replace(MATRIX, cells={**CELLS, "do": row_of(STATES)}).check("do", "new")


@dataclass(frozen=True)
class Phased:
    """A state with a phase."""

    phase: str = "new"
    in_flight: frozenset[str] = frozenset()


@pytest.mark.parametrize("phases", [("new",), ("new", "ended", "lost")])
def test_a_phase_that_no_state_reaches_is_reported(phases: tuple[str, ...]) -> None:
    participant = Participant(
        "counter",
        lambda state, trigger, now: Decision(),
        lambda state, event: replace(state, phase="ended"),
        MemoryStore(Phased()),
    )
    states = {"new": Past(), "ended": Past((COUNTED,))}
    matrix = DecisionMatrix(participant, Phased(), states, {}, {}, phases)
    with pytest.raises(AssertionError, match="reach"):
        matrix.check_complete()
    replace(matrix, phases=("new", "ended")).check_complete()
    with pytest.raises(AssertionError, match="state 'ended' is in phase 'new'"):
        replace(
            matrix,
            states={"ended": Past(), "new": Past((COUNTED,))},
            phases=("new", "ended"),
        ).check_complete()


def test_missing_kinds_of_triggers_and_results_are_named() -> None:
    with pytest.raises(AssertionError, match="Callback, Command, Observed, Undo"):
        MATRIX.check_triggers()
    MATRIX.check_results([int])
    with pytest.raises(AssertionError, match="no column brings: str"):
        MATRIX.check_results([int, str])


def test_a_trigger_that_a_flow_routes_is_missed() -> None:
    routed: dict[str, Trigger] = {
        "do": Do(STARTED),
        "verdict": Command("count", "bob", "so"),
        "ticked": Observed("Ticked", STARTED),
    }
    replace(MATRIX, triggers=routed).check_routing(FLOWS)
    for name, named in (("do", "do"), ("verdict", "verdict"), ("ticked", "Observed..Ticked")):
        left = {other: trigger for other, trigger in routed.items() if other != name}
        with pytest.raises(AssertionError, match=f"no column {named}.*, which toy/"):
            replace(MATRIX, triggers=left).check_routing(FLOWS)


def test_adopted_events_are_compared_too() -> None:
    adopting = replace(COUNTER, decide=lambda *_: Decision(adopted=(COUNTED,)))
    then = given(adopting, Count()).when(Callback(1))
    assert then.then(adopted=[COUNTED]).state.total == 1
    with pytest.raises(AssertionError):
        then.then_nothing()


# --- gateways -------------------------------------------------------------------------------------


def test_a_gateway_that_answers_a_repeat_otherwise_is_found() -> None:
    answers: Iterator[int] = iter([1, 1, 1, 2, 2, 2])

    async def perform(effect: Effect) -> int:
        return next(answers)

    with pytest.raises(AssertionError, match="side by side 2"):
        asyncio.run(check_idempotent(perform, CALL))


def test_a_gateway_that_assumes_a_result_is_found() -> None:
    async def fails(effect: Effect) -> int:
        raise EffectFailed("no answer")

    async def assumes(effect: Effect) -> int:
        return 1

    error = asyncio.run(check_failure_is_unknown(fails, CALL, [EffectFailed]))
    assert str(error) == "no answer"
    with pytest.raises(AssertionError, match="the outcome is unknown"):
        asyncio.run(check_failure_is_unknown(assumes, CALL, [EffectFailed]))
    with pytest.raises(EffectFailed):
        asyncio.run(check_failure_is_unknown(fails, CALL, [OSError]))


# --- in memory, with crashes ----------------------------------------------------------------------


@dataclass
class Provider:
    """Counts its calls; `forgetful` gives each call a result of its own."""

    forgetful: bool = False
    keys: list[str] = field(default_factory=list)

    async def call(self, effect: Effect) -> int:
        self.keys.append(effect.key)
        return len(self.keys) if self.forgetful else 1


def service(
    provider: Provider, faults: Faults, participant: Participant[Count] = COUNTER
) -> InMemoryService[Count]:
    store = MemoryStore(Count())
    own = replace(participant, store=store)
    perform = {"call": provider.call}
    return InMemoryService(own, store, CONTRACT, FLOWS, perform, flow="toy/1", faults=faults)


def deliver(counter: InMemoryService[Count]) -> None:
    counter.receive(STARTED, "front", 1)
    counter.perform()


def test_a_crash_at_any_point_is_mended_by_redelivery() -> None:
    crashed = check_crash_points(lambda faults: service(Provider(), faults), deliver)
    assert crashed == {"after-inbox": 2, "before-commit": 2, "after-commit": 2, "after-call": 1}


def test_a_participant_that_a_crash_changes_is_found() -> None:
    counting = replace(
        COUNTER,
        decide=lambda state, trigger, now: (
            emits(Counted("o1", str(trigger.result)))
            if isinstance(trigger, EffectResult)
            else decide(state, trigger, now)
        ),
    )
    shared = Provider(forgetful=True)
    with pytest.raises(AssertionError, match="differs after crash 1 at "):
        check_crash_points(lambda faults: service(shared, faults, counting), deliver)


@pytest.mark.parametrize(
    ("decision", "error", "detail"),
    [
        (Decision((STARTED,)), ForeignEvent, "an event of front"),
        (Decision(effects=(replace(CALL, payload={"n": {1}}),)), ValueError, "no JSON"),  # type: ignore[dict-item]
    ],
)
def test_a_decision_that_production_refuses_is_refused_here_too(
    decision: Decision, error: type[Exception], detail: str
) -> None:
    participant = replace(COUNTER, decide=lambda state, trigger, now: decision)
    with pytest.raises(error, match=detail):
        given(participant, Count()).when(Do(STARTED))
    service = InMemoryService(
        participant, MemoryStore(Count()), CONTRACT, FLOWS, {}, flow="toy/1", saga_id="o1"
    )
    with pytest.raises(error, match=detail):
        service.receive(STARTED, "front", 1)


def test_a_participant_that_no_flow_has_is_refused_in_memory() -> None:
    wrong = replace(COUNTER, name="conter")
    with pytest.raises(
        ConfigurationError, match=r"'conter' \(known: counter, front, left, right\)"
    ):
        InMemoryService(wrong, MemoryStore(Count()), CONTRACT, FLOWS, {}, flow="toy/1")
