"""Defines the sagas that `saga demo` and `saga chaos` run: kinds, each with the end it must have.

Add a kind for whatever can happen to one: the command then shows that it ends as it should.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from saga_lab.workload import End, Entrance, SagaKind, StackClient, Workload, mixed

from errand_events import FLOWS
from errand_events.events import ErrandCancelRequested, ErrandFacts, ErrandRequested


@dataclass(frozen=True, slots=True)
class ErrandKind(SagaKind):
    """Describes a kind. `times`: how often the start event is published."""

    note: str = "buy bread"
    minutes: int = 30
    times: int = 1
    cancelled: bool = False


KINDS = (
    ErrandKind("plain", End.COMPLETED, "nothing special", share=6),
    ErrandKind("too_long", End.CANCELLED, "dispatch turns it down", minutes=481),
    ErrandKind("refused", End.CANCELLED, "the partner refuses: undone", note="[refuse]"),
    ErrandKind("repeated", End.COMPLETED, "requested twice, done once", times=2),
    ErrandKind("lost_answer", End.COMPLETED, "done, but the answer is lost", note="[lost]"),
    # Refused as well, because a cancel may come too late: it races with the partner.
    ErrandKind("cancelled", End.CANCELLED, "cancelled at once", note="[refuse]", cancelled=True),
)


@dataclass(frozen=True, slots=True)
class ErrandPlan:
    """Describes one saga to start. `flow`: the version it runs on."""

    saga_id: str
    kind: ErrandKind
    flow: str
    entrance: Entrance = Entrance.KAFKA

    @property
    def end(self) -> End:
        """Return the expected end."""
        return self.kind.end


class ErrandWorkload(Workload[ErrandPlan]):
    """Starts sagas as an application outside does: by an event on the topic `errand.events`."""

    @property
    def kinds(self) -> Sequence[ErrandKind]:
        """Every kind."""
        return KINDS

    def sagas(self, run: str, seed: int, count: int) -> Sequence[ErrandPlan]:
        """Plan sagas of every kind, on every version of the flow in turn."""
        labels = [flow.label(version) for flow in FLOWS for version in flow.versions]
        turns = mixed(KINDS)
        return [
            ErrandPlan(
                saga_id=f"{run}-{n:05d}-{turns[n % len(turns)].name}",
                kind=turns[n % len(turns)],
                flow=labels[n // len(turns) % len(labels)],
            )
            for n in range(count)
        ]

    def start_events(self, saga: ErrandPlan) -> Sequence[Any]:
        """Return the events to publish."""
        facts = ErrandFacts(customer="ada", note=saga.kind.note, minutes=saga.kind.minutes)
        events: list[Any] = [ErrandRequested(errand_id=saga.saga_id, facts=facts)] * saga.kind.times
        if saga.kind.cancelled:
            events.append(ErrandCancelRequested(errand_id=saga.saga_id, reason="not needed"))
        return events

    async def place(self, stack: StackClient, saga: ErrandPlan) -> str | None:
        """Start a saga over HTTP: write it once a participant has an API for customers."""
        raise NotImplementedError


WORKLOAD = ErrandWorkload()
