"""Defines backoff as a value, classifies database errors, and retries transactions."""

import math
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

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

from sagakit.errors import RegistryUnavailable

T = TypeVar("T")
K = TypeVar("K", bound=tuple[Any, ...] | int)
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Computes exponential waits in seconds, each drawn at random from the upper half.

    `attempt` counts from 0.
    """

    first_s: float = 0.5
    cap_s: float = 30.0

    def after(self, attempt: int, rng: random.Random) -> timedelta:
        """Return the wait after failed attempt number `attempt`."""
        whole = min(self.cap_s, self.first_s * 2.0 ** min(attempt, 30))
        return timedelta(seconds=whole * (0.5 + rng.random() / 2))


RETRY_BACKOFF = Backoff()
"""The backoff of effects that got no answer."""
PENDING_BACKOFF = Backoff(first_s=1.0, cap_s=900.0)
"""The backoff of effects whose final result is still to come: a bank may take days."""


class Patience(Generic[K]):
    """Says which of several things are tried in a round: at doubling distances, some never again.

    The longest distance is MOST_ROUNDS.
    """

    MOST_ROUNDS = 32

    def __init__(self) -> None:
        self._round = 0
        self._wait: dict[K, int] = {}
        self._due: dict[K, float] = {}

    def resting(self) -> list[K]:
        """Begin a round, and return what is not tried in it."""
        self._round += 1
        return sorted(key for key, due in self._due.items() if due > self._round)

    def later(self, key: K) -> None:
        """Try this again after twice as many rounds as the last time."""
        wait = self._wait[key] = min(2 * self._wait.get(key, 0) or 1, self.MOST_ROUNDS)
        self._due[key] = self._round + wait

    def never(self, key: K) -> None:
        """Do not try this again."""
        self._due[key] = math.inf

    def done(self, key: K) -> None:
        """Forget this."""
        self._wait.pop(key, None)
        self._due.pop(key, None)


def is_transient(error: BaseException) -> bool:
    """Return True for an error of the database or the schema registry that a retry can get past.

    Such errors are: no usable answer of the registry; connection lost, deadlock, serialization
    failure, shutdown, disk full, no free connection. All others would fail again.
    """
    passing = isinstance(
        error,
        exc.OperationalError | exc.InterfaceError | exc.TimeoutError | RegistryUnavailable,
    )
    return passing and not _exceeds_limit(error)


def is_refused(error: BaseException) -> bool:
    """Return True if the database refuses a message's content, however often it is retried."""
    return isinstance(error, exc.DataError | exc.IntegrityError | ValueError) or (
        _exceeds_limit(error)
    )


def _exceeds_limit(error: BaseException) -> bool:
    """Return True for SQLSTATE class 54, such as a text too long for an index.

    psycopg raises it as an OperationalError, although a retry does not help.
    """
    cause = error.orig if isinstance(error, exc.OperationalError) else None
    return str(getattr(cause, "sqlstate", "")).startswith("54")


def retry_transaction(
    work: Callable[[], T],
    stop: threading.Event,
    passing: Callable[[BaseException], bool] = is_transient,
) -> T:
    """Run a transaction until it succeeds, with backoff.

    Raises its last error when `stop` is set, and at once an error that is not `passing`.
    """
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
        "no answer of the database or the schema registry, trying again",
        attempt=state.attempt_number,
        error=str(error),
    )
