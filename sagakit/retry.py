"""Defines backoff as a value, and retries transactions while their failure is a passing one."""

import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Generic, TypeVar

import structlog
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_when_event_set,
    wait_exponential_jitter,
)

from sagakit.failures import WAITED_FOR, Failure, failure_of

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


VISIBLE_S = 10.0
"""After this many seconds a wait is a reason not to be ready."""


class OngoingRetries:
    """Knows which work of this process is being tried again, since when, and after which error."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[object, tuple[float, str]] = {}

    def note(self, work: object, error: BaseException | None) -> None:
        """Note that `work` has failed and is tried again."""
        with self._lock:
            since_s, _ = self._waiting.get(work, (self._clock(), ""))
            self._waiting[work] = since_s, f"{type(error).__name__}: {error}"[:300]

    def over(self, work: object) -> None:
        """Note that `work` is not tried again: it has succeeded, or was given up."""
        if self._waiting:
            with self._lock:
                self._waiting.pop(work, None)

    def longest(self) -> tuple[float, str]:
        """Return for how many seconds the oldest work waits, and its last error; 0 if none does."""
        with self._lock:
            since_s, error = min(self._waiting.values(), default=(self._clock(), ""))
            return self._clock() - since_s, error

    def problem(self) -> str | None:
        """Return why this process is not ready: work that waits for longer than VISIBLE_S."""
        waited_s, error = self.longest()
        if waited_s < VISIBLE_S:
            return None
        return f"a transaction is being tried again for {waited_s:.0f} s: {error}"


WAITS = OngoingRetries()
"""The waits of this process for its database and its schema registry."""


def is_transient(error: BaseException) -> bool:
    """Return True for an error of the database or the schema registry that a retry can get past."""
    return failure_of(error) in WAITED_FOR


def is_refused(error: BaseException) -> bool:
    """Return True if the database refuses a message's content, however often it is retried."""
    return failure_of(error) is Failure.RECORD


def is_too_much(error: BaseException) -> bool:
    """Return True if the same work would take too long again, and less of it may not."""
    return failure_of(error) is Failure.SLOW


def passing_for(rows: int) -> Callable[[BaseException], bool]:
    """Return what tells the errors after which a transaction of so many rows is tried again.

    What took too long is tried again for a single row only: of several, fewer are tried.
    """
    if rows == 1:
        return is_transient
    return lambda error: is_transient(error) and not is_too_much(error)


def retry_transaction(
    work: Callable[[], T],
    stop: threading.Event,
    passing: Callable[[BaseException], bool] = is_transient,
) -> T:
    """Run a transaction until it succeeds, with backoff.

    Raises its last error when `stop` is set, and at once an error that is not `passing`.
    """
    retrying = Retrying(
        retry=retry_if_exception(passing),
        wait=wait_exponential_jitter(multiplier=0.05, max=3.0),
        stop=stop_when_event_set(stop),
        sleep=sleep_using_event(stop),
        before_sleep=_tell,
        reraise=True,
    )
    try:
        return retrying(work)
    finally:
        WAITS.over(retrying)


def retry_with_less(work: Callable[[int], T], most: int, stop: threading.Event) -> T:
    """Run a transaction on up to `most` rows until it succeeds, with backoff.

    The number is halved each time the database ends it for its length, down to one. Raises what
    `retry_transaction` raises.
    """
    while True:
        try:
            return retry_transaction(partial(work, most), stop, passing_for(most))
        except Exception as error:
            if most == 1 or not is_too_much(error):
                raise
            most //= 2


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    WAITS.note(state.retry_object, error)
    log.warning(
        "no answer of the database or the schema registry, trying again",
        attempt=state.attempt_number,
        error=str(error),
    )
