"""`saga demo`, `saga place` and `saga wait`, as a person types them."""

import re
from pathlib import Path

from shop.workload import KINDS
from tests.stack import LiveStack
from tests.typed_command import run_saga

ORDERS = 120


def test_the_demo_places_orders_of_every_kind_and_every_invariant_holds(whole: LiveStack) -> None:
    done = run_saga(whole.home.parent, "demo", "--sagas", str(ORDERS))
    output = done.stdout
    assert done.returncode == 0, output + done.stderr
    rows = dict(re.findall(r"│ (\w+) +│ [^│]+│ +(\d+) │ [\d a-z,]+│ +\S+ s? *│", output))
    assert set(rows) == {kind.name for kind in KINDS}
    assert sum(int(n) for n in rows.values()) == ORDERS
    assert re.findall(r"│ (\d) │.*│ holds │", output) == list("122345678")
    assert "sagas/s" in output
    assert "where to look next" in output
    assert whole.process("order").state == "RUNNING", "a stack that ran before goes on running"


def test_one_order_by_hand(whole: LiveStack) -> None:
    placed = run_saga(whole.home, "place")
    assert placed.returncode == 0, placed.stderr
    order_id = placed.stdout.strip()
    waited = run_saga(whole.home, "wait", order_id)
    assert (waited.returncode, waited.stdout.strip()) == (0, "completed")
    again = run_saga(whole.home, "place", "--order-id", order_id)
    assert (again.returncode, again.stdout.strip()) == (0, order_id)
    other = run_saga(whole.home, "place", "--order-id", order_id, "--price", "1")
    assert other.returncode == 1
    assert "other content" in other.stderr


def test_waiting_for_an_order_that_is_cancelled_or_does_not_end_fails(whole: LiveStack) -> None:
    declined = run_saga(whole.home, "place", "--card", "tok_declined", "--flow", "order/2")
    waited = run_saga(whole.home, "wait", declined.stdout.strip())
    assert waited.returncode == 1
    assert waited.stdout.startswith("cancelled: ")
    asked = run_saga(whole.home, "place", "--card", "tok_action").stdout.strip()
    waited = run_saga(whole.home, "wait", asked, "--timeout", "0.5")
    assert (waited.returncode, waited.stdout.strip()) == (1, "not ended within 0.5 s")
    cancelled = run_saga(whole.home, "cancel", asked, "--reason", "not wanted any more")
    assert cancelled.returncode == 0, cancelled.stderr
    waited = run_saga(whole.home, "wait", asked)
    assert (waited.returncode, waited.stdout.strip()) == (1, "cancelled: not wanted any more")


def test_without_a_stack_the_remedy_is_reported(tmp_path: Path) -> None:
    placed = run_saga(tmp_path, "place")
    assert placed.returncode == 1
    assert "saga up --detach" in placed.stderr
