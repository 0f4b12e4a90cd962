"""Checks a flow's steps against the marks of their events. Pure."""

from sagakit.contract.marks import Records, marks_of
from sagakit.errors import FlowError
from sagakit.flow.model import PIVOT, Flow


def check_step_marks(flow: Flow, schemas: Records) -> None:
    """Check that the `done` event of a pivot has no `void_when`. Raises FlowError.

    Past a pivot nothing is undone, so its event has to mean that the step is done.
    """
    for name, step in flow.steps.items():
        marks = marks_of(step.done, schemas)
        if step.kind == PIVOT and marks is not None and marks.void_when:
            raise FlowError(
                f"flow {flow.name}, steps.{name}.done: {step.done} has the mark void_when, and a "
                "pivot that is done is never void; give what came too late an event of its own"
            )
