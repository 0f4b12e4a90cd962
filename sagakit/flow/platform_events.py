"""Names the platform's own events that every flow understands; `sagakit.contract.events` has them.

The saga monitor emits them on its own topic, also for people.
"""

PLATFORM = "saga"
"""The owner of the platform's own events."""
COMPENSATION_REQUESTED = "CompensationRequested"
"""The saga is to be undone."""
VERDICT_GIVEN = "VerdictGiven"
"""A person has decided what a step waits for."""
SAGA_PAUSED, SAGA_RESUMED = "SagaPaused", "SagaResumed"
"""No new step starts between these."""
UNDERSTOOD = dict.fromkeys(
    (COMPENSATION_REQUESTED, VERDICT_GIVEN, SAGA_PAUSED, SAGA_RESUMED), PLATFORM
)
"""Event type -> owner, of the events above."""
