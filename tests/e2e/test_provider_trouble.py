"""The payment provider loses answers and is gone for a minute: exactly one charge."""

import psycopg

from shop.workload import ShopOrder
from tests.e2e.orders import (
    assert_all_hold,
    assert_as_expected,
    ledger,
    post,
    shop,
    trading,
)
from tests.stack import LiveStack, until

OUTAGE_S = 60
UNTIL_ENDED_S = 3600
"""An outage of which the test says itself when it has lasted long enough."""
ORDERS = 40


def charges(stack: LiveStack, order: ShopOrder) -> list[str]:
    """Statuses of an order's charges in the provider's own ledger."""
    return [row["status"] for row in ledger(stack, "provider", "charges", order.order_id)]


def refused_calls(stack: LiveStack) -> int:
    """How many effects of payment have failed and wait for their next attempt."""
    with psycopg.connect(stack.database_url("payment")) as connection:
        row = connection.execute("SELECT count(*) FROM effects WHERE last_error IS NOT NULL")
        (count,) = row.fetchone() or (0,)
    return int(count)


def test_a_provider_that_loses_answers_and_is_gone_for_a_minute_charges_once(
    whole: LiveStack,
) -> None:
    """Given charges before the outage, when more orders come in it, then each is charged once."""
    orders = shop("plain", "response_lost", "slow_charge").orders(ORDERS)
    before, within = orders[: ORDERS // 2], orders[ORDERS // 2 :]
    with trading(whole, before) as first:
        until(lambda: any(charges(whole, order) for order in before), "the first charge")
        outage(whole, UNTIL_ENDED_S)
        with trading(whole, within) as second:
            until(lambda: refused_calls(whole), "a call that the outage refused")
            outage(whole, OUTAGE_S)
    assert_as_expected([*first.outcomes(), *second.outcomes()])
    for order in orders:
        assert charges(whole, order) == ["captured"], order.order_id
    assert_all_hold(whole)


def outage(stack: LiveStack, seconds: int) -> None:
    """From now on for so long, the provider answers 503."""
    post(stack, "provider", "/control/outage", {"seconds": seconds}).raise_for_status()
