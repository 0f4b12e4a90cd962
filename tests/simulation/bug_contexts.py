"""Ways to plant a bug: each gives a context in which the code is broken."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from sagakit.decider import Decision, Trigger
from sagakit.store.ports import Participant
from shop.simulation import participants

Plant = Callable[[], AbstractContextManager[Any]]
Decides = Callable[[Callable[..., Decision], Any, Trigger, Any], Decision]
"""A broken `decide`, given the right one: (decide, state, trigger, now)."""


def instead(owner: Any, name: str, broken: Any) -> Plant:
    """`broken` stands where `owner.name` stood."""
    return lambda: patch.object(owner, name, broken)


def around(owner: Any, name: str, broken: Callable[..., Any]) -> Plant:
    """The same; `broken` is given the right one first."""
    right = getattr(owner, name)
    return lambda: patch.object(owner, name, lambda *args: broken(right, *args))


def deciding(names: str, broken: Decides) -> Plant:
    """Participants (names with spaces between them) that decide wrongly."""

    @contextmanager
    def plant() -> Iterator[None]:
        right = participants.stores

        def stores() -> list[Any]:
            return [(_broken(p, names, broken), store) for p, store in right()]

        with patch.object(participants, "stores", stores):
            yield

    return plant


def _broken(p: Participant[Any], names: str, broken: Decides) -> Participant[Any]:
    if p.name not in names.split():
        return p
    return replace(p, decide=lambda state, trigger, now: broken(p.decide, state, trigger, now))
