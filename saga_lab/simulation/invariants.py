"""Checks what every saga obeys in a world that has nothing left to do.

Read from the stores, the log and the monitors; the application checks its ledgers itself.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from saga_lab.simulation.interface import Simulation, Story, key_of
from saga_lab.simulation.simulated_monitor import view_of
from saga_lab.simulation.world import World
from saga_monitor.ingest.projection import balances_of, fact_of
from saga_monitor.saga.deadlines import due_emissions
from saga_monitor.saga.facts import Saga
from saga_monitor.saga.facts import fold as gather
from saga_monitor.saga.view import SagaView
from sagakit.decider import fold
from sagakit.messages.envelope import Envelope, derive_id

JUST_AFTER = timedelta(milliseconds=1)


def violations(
    simulation: Simulation[Any, Any], world: World[Any], stories: Sequence[Story]
) -> list[str]:
    """Return the violated invariants, one line each; empty when all hold."""
    return world.found() or [
        *_log(world),
        *_unfinished_work(world),
        *_unfounded_emissions(world),
        *_other_versions(world, stories),
        *simulation.violations(world, stories),
    ]


def _other_versions(world: World[Any], stories: Sequence[Story]) -> Iterator[str]:
    for story in stories:
        flows = {e.trace.flow for e in world.log.envelopes() if e.key == key_of(story)}
        if flows - {None, story.flow}:
            other = sorted(filter(None, flows))
            yield f"{key_of(story)}: began on {story.flow}, and events of it name {other}"


def _unfinished_work(world: World[Any]) -> Iterator[str]:
    for node in world.nodes.values():
        tables = node.database.tables
        if tables.outbox or tables.effects or tables.parked:
            left = (
                len(tables.outbox),
                len(tables.effects),
                [p.error for p in tables.parked.values()],
            )
            yield f"{node.name} has outbox, effects, parked left: {left}"


def _log(world: World[Any]) -> Iterator[str]:
    """Yield events lost or out of order, and states that are not the fold of the log."""
    known: dict[tuple[str, str], dict[int, Envelope]] = defaultdict(dict)
    for envelope in world.log.envelopes():
        if envelope.seq is None:
            continue
        mine = known[envelope.source, envelope.key]
        if envelope.seq > len(mine) + 1 and not world.drawn_rates.disorder:
            at = f"{envelope.source} {envelope.key}"
            yield f"{at}: event {envelope.seq} is before {len(mine) + 1}"
        if mine.setdefault(envelope.seq, envelope).id != envelope.id:
            yield f"{envelope.source} {envelope.key}: two events number {envelope.seq}"
        if envelope.source in world.simulation.direct and not _derived(envelope):
            yield f"{envelope.source} {envelope.key}: the id of event {envelope.seq} is not derived"
    for node in world.nodes.values():
        for key, inbox_row in node.database.tables.inbox_rows.items():
            own = known[node.name, key]
            if sorted(own) != list(range(1, inbox_row.sent + 1)):
                decided = f"{inbox_row.sent} events decided"
                yield f"{node.name} {key}: {decided}, {sorted(own)} in the log"
            if node.name in world.simulation.folded:
                folded = fold(
                    node.participant.evolve,
                    node.participant.store.load(None, {}).get("nobody"),  # type: ignore[arg-type]
                    tuple(own[n].event for n in sorted(own)),
                )
                if folded != node.state(key):
                    yield f"{node.name} {key}: the log folds to {folded}, not {node.state(key)}"


def _derived(envelope: Envelope) -> bool:
    """Return whether the id derives from the cause, so that a replay repeats it."""
    assert envelope.causation is not None
    return any(
        envelope.id == derive_id(envelope.causation, envelope.event.type, n) for n in range(5)
    )


def _rightful_ids(saga: Saga, seen: SagaView, read_through: datetime) -> Iterator[UUID]:
    """Yield the ids that a monitor could rightly emit when it had read up to `read_through`.

    `due_emissions` acts on one awaited step at a time, so each of the parallel ones is also tried
    alone.
    """
    for awaited in (seen.awaited, *((item,) for item in seen.awaited)):
        yield from (e.id for e in due_emissions(saga, replace(seen, awaited=awaited), read_through))


def _unfounded_emissions(world: World[Any]) -> Iterator[str]:
    """Yield where a monitor differs from the log or emitted before a deadline passed in the log."""
    balances = balances_of(world.flows)
    facts: dict[str, list[Any]] = defaultdict(list)
    for envelope in world.log.envelopes():
        facts[envelope.key].append(fact_of(envelope, balances))
    for monitor in world.monitors:
        for key, saga in monitor.sagas.items():
            if saga != gather(Saga(key), *facts[key]):
                yield f"{key}: a monitor folded something else than the log"
        for key, emission, due in monitor.emissions:
            emitted_at = min((f.at for f in facts[key] if f.id == str(emission.id)), default=due)
            # Facts up to the deadline count, and later ones of two kinds: other interventions,
            # which only change who is still to be called, and verdict requests made before the
            # emission, since people are asked in turn, however late.
            known = [
                f
                for f in facts[key]
                if f.at <= due
                or (f.type == "InterventionOpened" and f.id != str(emission.id))
                or (f.type == "VerdictRequested" and f.at < emitted_at)
            ]
            by_then = gather(Saga(key), *known)
            seen = view_of(by_then, world.flows)
            if seen.undoing:
                continue  # a repeated request is harmless
            if emission.id not in set(_rightful_ids(by_then, seen, due + JUST_AFTER)):
                yield f"{key}: {emission.event} was said of what had not passed at {due}"
