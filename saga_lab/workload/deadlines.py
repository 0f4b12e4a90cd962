"""Sets deadlines of a rehearsal so that a slow machine cannot change an order's end.

An order that nobody answers runs on waits of 3 seconds, so that it times out soon. An answered
order runs on the waits of the flow file, which are one day or more, so it does not time out on any
machine. A participant's own step has a day in both cases.
"""

from collections.abc import Callable, Mapping

from saga_lab.devstack.stack import Stack
from schemas import FLOWS

FAR: Mapping[str, str] = {step: "1d" for flow in FLOWS for step in flow.steps}
"""Deadlines for orders that are answered."""
WAITS = tuple(
    f"{name}.{wait}" for f in FLOWS for name, step in f.steps.items() for wait in step.waits
)
"""Waits for people, banks and carriers, as `step.event`."""
NEAR: Mapping[str, str] = {**FAR, **dict.fromkeys(WAITS, "3s")}
"""Deadlines for orders that nobody answers."""


class Deadlines:
    """Sets the deadlines of one stack's monitor. `say` is called with what takes a while."""

    def __init__(self, stack: Stack, say: Callable[[str], None] = lambda line: None) -> None:
        self._stack, self._say = stack, say

    def near(self) -> None:
        """Set near deadlines; call before placing orders that have to time out."""
        self._stack.set_deadlines(NEAR)

    def far(self) -> None:
        """Set far deadlines; call before placing orders that must not time out."""
        self._say("restarting the monitor with the flow file's deadlines for the other orders")
        self._stack.set_deadlines(FAR)
