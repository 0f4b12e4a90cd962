"""Defines kinds of sagas, and a saga as a run is to place it. Plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from sagakit.identity import flow_name, saga_key


class End(StrEnum):
    """Lists the ends of a saga. `refused`: the application's API rejects it, and none begins."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REFUSED = "refused"


class Entrance(StrEnum):
    """Lists the ways to begin a saga: the application's HTTP API, or Kafka, as from outside."""

    HTTP = "http"
    KAFKA = "kafka"


@dataclass(frozen=True, slots=True)
class SagaKind:
    """Describes a kind of saga.

    `about`: what happens to it; `share`: how many of it are in a round; `times_out`: nobody
    answers, so a deadline ends it.
    """

    name: str
    end: End
    about: str
    share: int = 1
    times_out: bool = False


K = TypeVar("K", bound=SagaKind)


class PlannedSaga(Protocol):
    """Describes a saga to place. `flow`: name and version, `a/2`; `end`: the expected one."""

    @property
    def saga_id(self) -> str: ...

    @property
    def kind(self) -> SagaKind: ...

    @property
    def entrance(self) -> Entrance: ...

    @property
    def flow(self) -> str: ...

    @property
    def end(self) -> End: ...


def key_of(saga: PlannedSaga) -> str:
    """Return the saga key."""
    return saga_key(flow_name(saga.flow), saga.saga_id)


def mixed(kinds: Sequence[K]) -> tuple[K, ...]:
    """Return one round: each kind `share` times, spread evenly over the round."""
    places = (
        ((n + 0.5) / kind.share, i, kind) for i, kind in enumerate(kinds) for n in range(kind.share)
    )
    return tuple(kind for _, _, kind in sorted(places, key=lambda place: place[:2]))
