"""History on the whole stack: orders move away while others run, come back, and all holds."""

from dataclasses import replace
from pathlib import Path

import psycopg

from saga_cli.lab.demo_run import options_of
from tests.application import ORDER
from tests.e2e.orders import assert_all_hold, assert_as_expected, saga, shop, trade
from tests.monitor import money_in
from tests.stack import live_stack, until

AT_ONCE = {"SAGA_HISTORY_AFTER_S": "1"}
KINDS = ("plain", "declined", "out_of_stock", "late_capture")


def test_what_moves_to_the_history_is_the_same_order_to_everybody(tmp_path: Path) -> None:
    options = replace(options_of(ORDER), env={**options_of(ORDER).env, **AT_ONCE})
    with live_stack(tmp_path / "history", options) as stack:
        outcomes = trade(stack, shop(*KINDS).orders(30))
        assert_as_expected(outcomes)
        late = [o.saga.saga_id for o in outcomes if o.saga.kind.name == "late_capture"]
        assert late

        def is_given_back(order: str) -> bool:
            """Captured long after it was cancelled, and refunded."""
            money = money_in(saga(stack, order))
            return bool(money["removed"]) and not money["held"]

        def left() -> int:
            with psycopg.connect(stack.database_url("monitor")) as connection:
                row = connection.execute("SELECT count(*) FROM saga").fetchone()
                assert row is not None
                return int(row[0])

        until(lambda: all(is_given_back(order) for order in late), "late money given back")
        until(lambda: left() == 0, "all of them are history")
        assert {saga(stack, o.saga.saga_id)["history"] for o in outcomes} == {True}
        assert_all_hold(stack)
