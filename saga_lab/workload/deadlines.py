"""Deadlines of a rehearsal: whether one passes is decided by who answers, never by who is slow.

An order that nobody answers runs on waits of a few seconds, so that it times out soon. An order
that is answered runs on the waits of the flow file, which are days. No machine is so slow that the
one is taken for the other. What a participant does by itself has a day.
"""

from collections.abc import Mapping

from saga_lab.devstack import Stack
from schemas import FLOWS

FAR: Mapping[str, str] = {step: "1d" for flow in FLOWS for step in flow.steps}
"""For orders that are answered."""
WAITS = tuple(
    f"{name}.{wait}" for f in FLOWS for name, step in f.steps.items() for wait in step.waits
)
"""What people, banks and carriers are waited for."""
NEAR: Mapping[str, str] = {**FAR, **dict.fromkeys(WAITS, "3s")}
"""For orders that nobody answers."""


class Deadlines:
    """Those of one stack's monitor."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def near(self) -> None:
        """Before orders that have to time out are placed."""
        self._stack.set_deadlines(NEAR)

    def far(self) -> None:
        """Before orders that must not time out are placed."""
        self._stack.set_deadlines(FAR)
