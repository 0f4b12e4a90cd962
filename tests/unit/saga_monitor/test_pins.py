"""Pins: what the facts say of them, and the events that people's words become."""

from itertools import permutations
from typing import Any

import pytest

from saga_monitor.saga.commands import PIN_COMMANDS, CommandRefused, PinCommand
from saga_monitor.saga.facts import Fact, Saga, fold
from tests.histories import SAGA, after, saga_of, seen

PLACED = ("OrderPlaced",)
ADA = {"actor": "ada", "reason": "the auditors ask for it"}
BOB = {"actor": "bob", "reason": "the auditors have gone"}
PINNED = ("SagaPinned", ADA)
UNPINNED = ("SagaUnpinned", BOB)


def emission_of(command: str, saga: Saga, who: dict[str, str]) -> Any:
    return PIN_COMMANDS[command](PinCommand(saga=SAGA, **who), saga, seen(saga))


def with_event(saga: Saga, command: str, who: dict[str, str], at_s: float) -> Saga:
    """The saga with what somebody says in it."""
    emission = emission_of(command, saga, who)
    words = {"actor": emission.event.actor, "reason": emission.event.reason}
    cause = str(emission.cause)
    return fold(
        saga,
        Fact(str(emission.id), emission.event.type, after(at_s), causation=cause, detail=words),
    )


def test_a_pin_is_there_until_it_is_taken_off() -> None:
    assert seen(saga_of(*PLACED)).pin is None
    pin = seen(saga_of(*PLACED, 10, *PINNED)).pin
    assert pin is not None
    assert (pin.actor, pin.reason, pin.since) == ("ada", ADA["reason"], after(10.001))
    assert seen(saga_of(*PLACED, *PINNED, 5, *UNPINNED)).pin is None
    again = seen(saga_of(*PLACED, *PINNED, 5, *UNPINNED, 5, *PINNED)).pin
    assert again is not None
    assert again.since == after(10.003)


def test_a_pin_is_the_same_in_whatever_order_it_is_read() -> None:
    facts = saga_of(*PLACED, *PINNED, *UNPINNED, *PINNED, *UNPINNED).facts.values()
    pins = {seen(fold(Saga(SAGA), *those)).pin for those in permutations(facts)}
    assert pins == {None}


def test_a_pin_does_not_move_the_saga() -> None:
    before, after_ = seen(saga_of(*PLACED)), seen(saga_of(*PLACED, *PINNED))
    assert (before.status, before.awaited) == (after_.status, after_.awaited)
    assert after_.unexpected == ()


def test_the_same_command_twice_is_one_event_and_other_words_are_refused() -> None:
    saga = with_event(saga_of(*PLACED), "pin", ADA, 10)
    assert emission_of("pin", saga, ADA).is_in(saga)
    with pytest.raises(CommandRefused, match="is pinned; ada pinned it"):
        emission_of("pin", saga, BOB)
    saga = with_event(saga, "unpin", BOB, 20)
    assert emission_of("unpin", saga, BOB).is_in(saga)
    with pytest.raises(CommandRefused, match="is not pinned; bob gave the command unpin"):
        emission_of("unpin", saga, ADA)


def test_every_turn_is_an_event_of_its_own() -> None:
    saga = saga_of(*PLACED)
    for n in range(3):
        saga = with_event(saga, "pin", ADA, 10 + 20 * n)
        saga = with_event(saga, "unpin", BOB, 20 + 20 * n)
    assert len(saga.facts) == 7
    assert seen(saga).pin is None


def test_what_was_never_pinned_cannot_be_unpinned() -> None:
    with pytest.raises(CommandRefused, match=r"is not pinned$"):
        emission_of("unpin", saga_of(*PLACED), ADA)
