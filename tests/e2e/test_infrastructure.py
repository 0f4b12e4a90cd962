"""Kafka gone for a while and PostgreSQL restarted, under load: all resumes by itself."""

import time

from tests.e2e.orders import assert_all_hold, assert_as_expected, shop, trading
from tests.stack import LiveStack, until

OUTAGE_S = 40
"""Longer than every patience there is: consumer sessions (10 s), leases of effects (15 s), and the
time a producer holds on to a record (30 s). What happens then happens after an hour as well."""
ORDERS = 150
KINDS = (
    *("plain", "many_lines", "declined", "out_of_stock", "bounced_mail", "slow_charge"),
    *("provider_500", "response_lost", "callback_first", "carrier_refuses", "carrier_500"),
    *("carrier_lost", "refund_partial", "refund_async", "duplicate", "conflict", "async_capture"),
    *("action_required", "review_approved"),
)
"""Those that end by themselves."""


def test_kafka_is_gone_for_a_while_under_load(whole: LiveStack) -> None:
    with trading(whole, shop(*KINDS, seed=2).orders(ORDERS)) as running:
        until(lambda: running.over or running.progress.ended > ORDERS // 10, "some have ended")
        whole.stop("kafka")
        with trading(whole, shop(*KINDS, seed=3).orders(ORDERS // 3)) as meanwhile:
            time.sleep(OUTAGE_S)  # the outage itself
            whole.start("kafka")
    assert_as_expected(running.outcomes())
    assert_as_expected(meanwhile.outcomes())
    assert_all_hold(whole)


def test_postgres_is_restarted_under_load(whole: LiveStack) -> None:
    with trading(whole, shop(*KINDS, seed=4).orders(ORDERS)) as running:
        until(lambda: running.over or running.progress.ended > ORDERS // 10, "some have ended")
        whole.restart("postgres")
        until(lambda: running.over or running.progress.ended > ORDERS // 2, "half have ended")
        whole.kill("postgres")
    assert_as_expected(running.outcomes())
    whole.wait_ready()
    assert_all_hold(whole)
