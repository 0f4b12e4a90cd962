"""Pins: what the facts say of them, and the events that people's words become."""

from itertools import permutations
from typing import Any

import pytest

from saga_monitor.saga.commands import PIN_COMMANDS, CommandRefused, PinCommand
from saga_monitor.saga.facts import Fact, Saga, fold
from tests.histories import ORDER, after, seen, told

PLACED = ("OrderPlaced",)
ADA = {"actor": "ada", "reason": "the auditors ask for it"}
BOB = {"actor": "bob", "reason": "the auditors have gone"}
PINNED = ("OrderPinned", ADA)
UNPINNED = ("OrderUnpinned", BOB)


def said(deed: str, saga: Saga, who: dict[str, str]) -> Any:
    return PIN_COMMANDS[deed](PinCommand(order_id=ORDER, **who), saga, seen(saga))


def heard(saga: Saga, deed: str, who: dict[str, str], at_s: float) -> Saga:
    """The saga with what somebody says in it."""
    emission = said(deed, saga, who)
    words = {"actor": emission.event.actor, "reason": emission.event.reason}
    cause = str(emission.cause)
    return fold(
        saga,
        Fact(str(emission.id), emission.event.type, after(at_s), causation=cause, detail=words),
    )


def test_a_pin_is_there_until_it_is_taken_off() -> None:
    assert seen(told(*PLACED)).pin is None
    pin = seen(told(*PLACED, 10, *PINNED)).pin
    assert pin is not None
    assert (pin.actor, pin.reason, pin.since) == ("ada", ADA["reason"], after(10.001))
    assert seen(told(*PLACED, *PINNED, 5, *UNPINNED)).pin is None
    again = seen(told(*PLACED, *PINNED, 5, *UNPINNED, 5, *PINNED)).pin
    assert again is not None
    assert again.since == after(10.003)


def test_a_pin_is_the_same_in_whatever_order_it_is_heard() -> None:
    facts = told(*PLACED, *PINNED, *UNPINNED, *PINNED, *UNPINNED).facts.values()
    pins = {seen(fold(Saga(ORDER), *those)).pin for those in permutations(facts)}
    assert pins == {None}


def test_a_pin_does_not_move_the_saga() -> None:
    before, after_ = seen(told(*PLACED)), seen(told(*PLACED, *PINNED))
    assert (before.status, before.awaited) == (after_.status, after_.awaited)
    assert after_.unexpected == ()


def test_the_same_said_twice_is_one_event_and_other_words_are_refused() -> None:
    saga = heard(told(*PLACED), "pin", ADA, 10)
    assert str(said("pin", saga, ADA).id) in saga.facts
    with pytest.raises(CommandRefused, match="is pinned; ada pinned it"):
        said("pin", saga, BOB)
    saga = heard(saga, "unpin", BOB, 20)
    assert str(said("unpin", saga, BOB).id) in saga.facts
    with pytest.raises(CommandRefused, match="is not pinned; bob gave the command unpin"):
        said("unpin", saga, ADA)


def test_every_turn_is_an_event_of_its_own() -> None:
    saga = told(*PLACED)
    for n in range(3):
        saga = heard(saga, "pin", ADA, 10 + 20 * n)
        saga = heard(saga, "unpin", BOB, 20 + 20 * n)
    assert len(saga.facts) == 7
    assert seen(saga).pin is None


def test_what_was_never_pinned_cannot_be_unpinned() -> None:
    with pytest.raises(CommandRefused, match=r"is not pinned$"):
        said("unpin", told(*PLACED), ADA)
