"""When to try again: values, not control flow."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import structlog
from sqlalchemy import exc
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_when_event_set,
    wait_exponential_jitter,
)

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential with full jitter in its upper half; seconds. `attempt` counts from 0."""

    first_s: float = 0.5
    cap_s: float = 30.0

    def after(self, attempt: int, rng: random.Random) -> timedelta:
        """How long to wait after failed attempt number `attempt`."""
        whole = min(self.cap_s, self.first_s * 2.0 ** min(attempt, 30))
        return timedelta(seconds=whole * (0.5 + rng.random() / 2))


RETRIED = Backoff()
"""Of effects without an answer."""
PATIENT = Backoff(first_s=1.0, cap_s=900.0)
"""Of effects whose end is still to come: it may take a bank days."""


def is_transient(error: BaseException) -> bool:
    """A database error that goes away by itself: connection lost, dead-lock, serialization,
    shutdown, no room, no free connection. Everything else would fail again."""
    passing = isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError)
    return passing and not _exceeds_limit(error)


def is_refused(error: BaseException) -> bool:
    """The database refuses what a message holds, and would for ever."""
    return isinstance(error, exc.DataError | exc.IntegrityError | ValueError) or (
        _exceeds_limit(error)
    )


def _exceeds_limit(error: BaseException) -> bool:
    """SQLSTATE class 54, such as a text too long for an index: psycopg calls it operational."""
    cause = error.orig if isinstance(error, exc.OperationalError) else None
    return str(getattr(cause, "sqlstate", "")).startswith("54")


def until_stored(
    work: Callable[[], T],
    stop: threading.Event,
    passing: Callable[[BaseException], bool] = is_transient,
) -> T:
    """Run a transaction until it went through; gives up with its error only when stopping, or when
    the error is none that is `passing`."""
    return Retrying(
        retry=retry_if_exception(passing),
        wait=wait_exponential_jitter(multiplier=0.05, max=3.0),
        stop=stop_when_event_set(stop),
        sleep=sleep_using_event(stop),
        before_sleep=_tell,
        reraise=True,
    )(work)


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning(
        "database transaction is tried again", attempt=state.attempt_number, error=str(error)
    )
