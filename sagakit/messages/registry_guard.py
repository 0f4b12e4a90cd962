"""Checks that the schema registry still gives what a process registered, while it runs."""

from collections.abc import Iterator, Mapping
from itertools import cycle

import structlog

from sagakit.bounded_call import BoundedCall
from sagakit.errors import RegistryUnavailable
from sagakit.messages.codec import Codec
from sagakit.messages.registry_port import Registration
from sagakit.stop_signal import StopSignal

log = structlog.get_logger(__name__)
HELP = {
    "saga_registry_faults": "1 if the schema registry has lost or renumbered schemas that this "
    "process publishes with, else 0",
}
CHECK_S = 30.0
"""Interval of the checks, in seconds."""
ANSWER_S = 10.0
"""The longest that a stop may wait for the registry's answer."""
RUNBOOK = "docs/runbooks/registry-lost-schemas.md"


class RegistryGuard:
    """Looks one registered schema up at each check, another one next time. Call `run` in a thread.

    A registry that starts from nothing lacks every schema, so the first check tells. Schemas are
    not registered again until a restart: with the backup restored no id changes.
    """

    def __init__(self, codec: Codec, participant: str) -> None:
        self._registry, self._participant = codec.registry, participant
        self._next = cycle(codec.registrations)
        self._ask = BoundedCall("registry check", self._find, ANSWER_S)
        self._faults: dict[str, str] = {}

    def run(self, stop: StopSignal) -> None:
        """Check now and then until `stop`; without a registry there is nothing to check."""
        while not stop.wait(CHECK_S):
            if self._registry is not None:
                self.check()

    def check(self) -> None:
        """Look up the next schema. While the registry does not answer, the last finding stays."""
        try:
            registration, number = self._ask()
        except (RegistryUnavailable, TimeoutError) as error:
            log.info("the schema registry cannot be checked, will try again", error=str(error))
            return
        if number == registration.number:
            self._faults.pop(registration.subject, None)
            return
        fault = _fault(registration, number)
        if not self._faults:
            log.error("the schema registry is not as it must be", fault=fault)
        self._faults[registration.subject] = fault

    def _find(self) -> tuple[Registration, int | None]:
        registration = next(self._next)
        assert self._registry is not None
        return registration, self._registry.current_id(registration.subject, registration.schema)

    def read(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Yield the gauge of faults."""
        yield "saga_registry_faults", {"participant": self._participant}, bool(self._faults)


def _fault(registration: Registration, number: int | None) -> str:
    now = "does not have it" if number is None else f"gives it the id {number}"
    return (
        f"this process publishes {registration.subject} with schema id {registration.number}, and "
        f"the schema registry {now}; restore the registry from its backup, or restart the "
        f"processes, which register their schemas again; see {RUNBOOK}"
    )
