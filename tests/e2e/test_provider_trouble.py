"""The payment provider loses answers and is gone for a minute: exactly one charge."""

from saga_lab.workload import ShopOrder
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
ORDERS = 40


def charges(stack: LiveStack, order: ShopOrder) -> list[str]:
    """Statuses of an order's charges in the provider's own ledger."""
    return [row["status"] for row in ledger(stack, "provider", "charges", order.order_id)]


def test_a_provider_that_loses_answers_and_is_gone_for_a_minute_charges_once(
    whole: LiveStack,
) -> None:
    orders = shop("plain", "response_lost", "slow_charge").orders(ORDERS)
    with trading(whole, orders) as running:
        until(lambda: any(charges(whole, order) for order in orders), "the first charge")
        post(whole, "provider", "/control/outage", {"seconds": OUTAGE_S}).raise_for_status()
    outcomes = running.outcomes()
    assert_as_expected(outcomes)
    assert max(o.duration_s or 0 for o in outcomes) > OUTAGE_S / 2, "nobody met the outage"
    for order in orders:
        assert charges(whole, order) == ["captured"], order.order_id
    assert_all_hold(whole)
