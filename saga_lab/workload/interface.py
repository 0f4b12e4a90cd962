"""Defines what an application offers for runs of its sagas: the `workload` of its manifest."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from saga_lab.application import FILE_NAME, Application, ManifestError, resolve
from saga_lab.workload.client import StackClient
from saga_lab.workload.model import PlannedSaga, SagaKind

S = TypeVar("S", bound=PlannedSaga)


class Workload(ABC, Generic[S]):
    """Draws an application's sagas, places them, and plays the people around them.

    Everything goes through public interfaces, by way of the `StackClient`. What is called may be
    called again, so each request has to be idempotent.
    """

    @property
    @abstractmethod
    def kinds(self) -> Sequence[SagaKind]:
        """Every kind, in the order in which a table lists them."""

    @abstractmethod
    def sagas(self, run: str, seed: int, count: int) -> Sequence[S]:
        """Draw the sagas of a run: `run` makes their ids unique, `seed` chooses their content."""

    async def prepare(self, stack: StackClient, sagas: Sequence[S]) -> None:
        """Provide what these sagas need, once before the first is placed; by default nothing."""

    @abstractmethod
    async def place(self, stack: StackClient, saga: S) -> str | None:
        """Place a saga whose entrance is HTTP.

        Return None if it was accepted, else its outcome: `refused`, or a text that says what went
        wrong.
        """

    @abstractmethod
    def start_events(self, saga: S) -> Sequence[Any]:
        """Return the events to publish for a saga whose entrance is Kafka."""

    async def act(self, stack: StackClient, saga: S) -> bool:
        """Do what a person does with a placed saga, if its moment has come.

        Called until it returns True or the saga has ended. By default nobody does anything.
        """
        return True

    async def is_settled(self, stack: StackClient, saga: S, seen: Mapping[str, Any]) -> bool:
        """Return True unless something is still to come after the end, which `seen` shows.

        `seen`: the monitor's view. By default nothing is. Asked again until it is True, so answer
        at once.
        """
        return True


def workload_of(application: Application) -> Workload[Any]:
    """Return the workload that the manifest names. Raises ManifestError."""
    where = f"{application.folder / FILE_NAME}: lab.workload"
    if application.workload is None:
        raise ManifestError(
            f'{where} is missing, so there is nothing to place; write workload = "module:WORKLOAD"'
        )
    workload = resolve(application, "lab.workload", application.workload)
    if not isinstance(workload, Workload):
        raise ManifestError(
            f"{where}: {application.workload} is no Workload; make it an instance of a subclass of "
            "saga_lab.workload.Workload"
        )
    return workload
