"""One saga, told as the events and triggers that the tests share."""

from errand_events.events import (
    ErrandAccepted,
    ErrandCancelRequested,
    ErrandDone,
    ErrandFacts,
    ErrandRefused,
    ErrandReleased,
    ErrandRequested,
    ErrandStopped,
    ErrandTurnedDown,
)

ID = "e1"
REASON = "not needed"


def facts(note: str = "buy bread", minutes: int = 30) -> ErrandFacts:
    """Return what a customer asks for."""
    return ErrandFacts(customer="ada", note=note, minutes=minutes)


REQUESTED = ErrandRequested(errand_id=ID, facts=facts())
TOO_LONG = ErrandRequested(errand_id=ID, facts=facts(minutes=481))
CANCELLED = ErrandCancelRequested(errand_id=ID, reason=REASON)

ACCEPTED = ErrandAccepted(errand_id=ID, facts=facts(), runner="cleo")
TURNED_DOWN = ErrandTurnedDown(errand_id=ID, reason="481 minutes are more than 480")
RELEASED = ErrandReleased(errand_id=ID, reason=REASON)

DONE = ErrandDone(errand_id=ID, receipt="job_1")
REFUSED = ErrandRefused(errand_id=ID, reason=REASON)
STOPPED = ErrandStopped(errand_id=ID, reason=REASON)
