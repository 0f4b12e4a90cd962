"""Sets deadlines of a rehearsal so that a slow machine cannot change a saga's end.

A saga that nobody answers runs on waits of 3 seconds, so that it times out soon. An answered one
runs on the waits of the flow file, which are one day or more, so it does not time out on any
machine. A participant's own step has a day in both cases.
"""

from collections.abc import Callable

from saga_lab.application import contract_of
from saga_lab.devstack.stack import Stack
from sagakit.flow.model import Flows


def far(flows: Flows) -> dict[str, str]:
    """Return deadlines for sagas that are answered."""
    return {step: "1d" for flow in flows for step in flow.steps}


def waits(flows: Flows) -> tuple[str, ...]:
    """Return the waits for people and for answers from outside, as `step.event`."""
    return tuple(
        f"{name}.{wait}" for f in flows for name, step in f.steps.items() for wait in step.waits
    )


def near(flows: Flows) -> dict[str, str]:
    """Return deadlines for sagas that nobody answers."""
    return {**far(flows), **dict.fromkeys(waits(flows), "3s")}


class Deadlines:
    """Sets the deadlines of one stack's monitor. `say` is called with what takes a while."""

    def __init__(self, stack: Stack, say: Callable[[str], None] = lambda line: None) -> None:
        self._stack, self._say = stack, say
        self._flows = contract_of(stack.application).flows

    def near(self) -> None:
        """Set near deadlines; call before placing sagas that have to time out."""
        self._stack.set_deadlines(near(self._flows))

    def far(self) -> None:
        """Set far deadlines; call before placing sagas that must not time out."""
        self._say("restarting the monitor with the flow file's deadlines for the other sagas")
        self._stack.set_deadlines(far(self._flows))
