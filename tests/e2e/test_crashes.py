"""kill -9 of every process at random moments of 300 orders leaves every invariant true."""

import random

import pytest

from saga_lab.workload.background import RunThread
from tests.application import ORDER
from tests.e2e.orders import assert_all_hold, assert_as_expected, shop, trading
from tests.stack import LiveStack, until

ORDERS = 300
KILLS_EACH = 2
VICTIMS = (*ORDER.databases, *ORDER.outside)


def moments(seed: int) -> list[tuple[int, str]]:
    """When each process is killed: after so many placings and endings, most of them in the rush
    that begins with the first order."""
    chance = random.Random(seed)
    times = [(chance.randrange(10, 2 * ORDERS - 60), name) for name in VICTIMS * KILLS_EACH]
    return sorted(times)


def reached(running: RunThread, moment: int) -> bool:
    return running.over or running.progress.placed + running.progress.ended >= moment


@pytest.mark.parametrize("seed", [1])
def test_killing_every_process_at_random_moments_breaks_no_invariant(
    whole: LiveStack, seed: int
) -> None:
    killed = []
    with trading(whole, shop(seed=seed).orders(ORDERS)) as running:
        for moment, name in moments(seed):
            until(lambda m=moment: reached(running, m), f"moment {moment}")  # type: ignore[misc]
            if not running.over:
                whole.kill(name)
                killed.append(name)
    assert set(killed) == set(VICTIMS)
    assert_as_expected(running.outcomes())
    whole.wait_ready()
    assert_all_hold(whole)
