"""Simulates the outside world of an application, with calls and answers that are lost."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from sagakit.decider import Callback, Effect
from sagakit.errors import EffectFailed
from sagakit.messages.envelope import Envelope

Later = Callable[[timedelta, str, str, Callback], None]
"""Schedules the delivery of a callback: (delay, participant, saga key, callback)."""


class Outside(ABC):
    """Plays every service outside.

    `trouble`: chance that a call is lost on its way there, and again that its answer is lost.
    """

    def __init__(self, rng: random.Random, later: Later, trouble: float) -> None:
        self.rng, self.later, self.trouble = rng, later, trouble

    def perform(self, effect: Effect) -> Any:
        """Carry out an effect and return its result. Raises EffectFailed if the answer is lost."""
        if self.rng.random() < self.trouble:
            raise EffectFailed("the call did not arrive")
        answer = self.carry_out(effect)
        if self.rng.random() < self.trouble:
            raise EffectFailed("the answer was lost")
        return answer

    @abstractmethod
    def carry_out(self, effect: Effect) -> Any:
        """Carry out an effect whose call arrived, and return its result."""

    def false_claims(self, envelope: Envelope) -> Iterable[str]:
        """Return what a new event claims that the outside's ledgers do not say at this moment.

        Called once for each event, in the order in which they are appended.
        """
        return ()
