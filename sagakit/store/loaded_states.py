"""Holds the states of the sagas that a batch has loaded, and those that it has changed."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from sagakit.errors import UnreadableState

S = TypeVar("S")
NONE: Mapping[str, UnreadableState] = MappingProxyType({})


class LoadedStates(Generic[S]):
    """Implements `ports.Working` without `save`.

    `states`: of the sagas that were loaded, and of no other. `initial`: the state of an unknown
    saga. `unreadable`: the sagas of which no state can be read, with the reason.
    """

    def __init__(
        self, initial: S, states: dict[str, S], unreadable: Mapping[str, UnreadableState] = NONE
    ) -> None:
        self._initial, self._states = initial, states
        self._unreadable = unreadable
        self._changed: set[str] = set()

    def get(self, key: str) -> S:
        """See `ports.Working`. Raises UnreadableState."""
        if reason := self._unreadable.get(key):
            raise reason
        return self._states.get(key, self._initial)

    def put(self, key: str, state: S, events: tuple[Any, ...]) -> None:
        """See `ports.Working`. An unchanged state is not written.

        Otherwise a saga that only received events without effect would have a row here, and none in
        a database rebuilt from its own events.
        """
        if state != self.get(key):
            self._states[key] = state
            self._changed.add(key)

    def loaded(self, keys: Iterable[str]) -> dict[str, S]:
        """Return the states of those of these sagas that were loaded."""
        return {key: self._states[key] for key in keys if key in self._states}

    def changed(self) -> dict[str, S]:
        """Return the changed states, in key order."""
        return {key: self._states[key] for key in sorted(self._changed)}
