"""Defines the part of a simulation that its world is made of: participants and the outside."""

import random
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

from saga_lab.simulation.outside import Later, Outside
from sagakit.contract.model import Contract
from sagakit.messages.codec import Codec
from sagakit.store.ports import Participant, Store

O = TypeVar("O", bound=Outside)  # noqa: E741


class PlayedApplication(ABC, Generic[O]):
    """Plays an application's participants and its outside world.

    `direct`: participants without effects, whose event ids derive from the cause's id; `folded`:
    participants whose state is the fold of their own events. The violations of both are checked.
    """

    direct: Collection[str] = ()
    folded: Collection[str] = ()

    @property
    @abstractmethod
    def contract(self) -> Contract:
        """The application's contract."""

    @cached_property
    def codec(self) -> Codec:
        """The codec of the contract."""
        return Codec(self.contract)

    @abstractmethod
    def participants(self) -> Sequence[tuple[Participant[Any], Store[Any]]]:
        """Return the participants, each with a new store in memory."""

    @abstractmethod
    def outside(self, rng: random.Random, later: Later, trouble: float) -> O:
        """Return a new outside world; `later` delivers its callbacks."""

    def webhook_too_early(self, participant: str, state: Any, report: Any) -> bool:
        """Return whether a webhook would come before the answer to its call, and be refused.

        `state`: the participant's state of the saga; `report`: what the webhook says. By default
        none is refused.
        """
        return False

    def wrong_store(self, participant: str, store: Any) -> str:
        """Return what is wrong with a participant's store at any moment, else an empty text.

        Called after every step of a participant. By default nothing is.
        """
        return ""
