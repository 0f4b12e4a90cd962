"""Keeps calls away from a provider that asked for a pause; afterwards one call tries first."""

import time
from collections.abc import Callable
from datetime import timedelta

TRY_S = 5.0
"""How long others wait while one call tries whether the pause is over."""


class ProviderPaused(Exception):
    """The provider asked not to be called for another `left_s` seconds."""

    def __init__(self, left_s: float) -> None:
        super().__init__(f"it asked not to be called for another {left_s:.0f} s")
        self.left_s = left_s


class ProviderPause:
    """Holds the pause of one provider, in one event loop. `clock`: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._paused = self._trying = False
        self._until_s = 0.0

    def enter(self) -> bool:
        """Begin a call; tell whether it is the one that tries. Raises ProviderPaused."""
        if not self._paused:
            return False
        left_s = self._until_s - self._clock()
        if left_s > 0:
            raise ProviderPaused(left_s)
        if self._trying:
            raise ProviderPaused(TRY_S)
        self._trying = True
        return True

    def leave(self, tried: bool, answered: bool, asked: timedelta | None) -> None:
        """End a call. `asked`: the pause that its answer asks for, None for no pause.

        A call that began before the pause does not end it.
        """
        if tried:
            self._trying = False
            self._paused = not answered
        if asked is not None:
            self._paused = True
            self._until_s = max(self._until_s, self._clock() + asked.total_seconds())
