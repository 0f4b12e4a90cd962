"""What blocks an order, on the real stack: named while it is so, and gone when it is repaired."""

from collections.abc import Callable
from typing import Any

import httpx2
from click.testing import CliRunner

from saga_cli.monitor.sagas import ls, show
from sagakit.kafka.publisher import Publisher
from sagakit.messages.envelope import OutboxRow
from shop.workload import ShopOrder
from tests.application import ORDER
from tests.e2e.orders import (
    assert_all_hold,
    assert_as_expected,
    post,
    saga,
    shop,
    trading,
)
from tests.stack import PATIENCE_S, LiveStack, until


def on_flow(flow: str, kind: str) -> ShopOrder:
    """An order of this kind on this version of the flow."""
    return next(o for o in shop(kind).orders(8) if o.flow == flow)


def blocker(
    stack: LiveStack, order: ShopOrder, when: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Wait until the cause is as described; the cause."""
    causes: list[dict[str, Any]] = []

    def named() -> bool:
        cause = saga(stack, order.order_id).get("blocked_by")
        if cause and when(cause):
            causes.append(cause)
        return bool(causes)

    until(named, f"the cause of {order.order_id}")
    return causes[0]


def listed(stack: LiveStack, order: ShopOrder) -> dict[str, Any]:
    """The order among all that are in flight."""
    url = f"{stack.url('monitor')}/blocked"
    rows = (
        httpx2.get(
            url,
            params={"limit": 10_000},
            headers=stack.headers,
            trust_env=False,
            timeout=PATIENCE_S,
        )
        .raise_for_status()
        .json()
    )
    [row] = [r for r in rows if r["id"] == order.order_id]
    found: dict[str, Any] = row
    return found


def outage(stack: LiveStack, seconds: float) -> None:
    """Of the provider, from now on."""
    post(stack, "provider", "/control/outage", {"seconds": seconds}).raise_for_status()


def test_a_failing_provider_is_named_as_what_blocks_the_order(whole: LiveStack) -> None:
    order = on_flow("order/1", "plain")
    outage(whole, 3600)
    with trading(whole, [order]) as running:
        cause = blocker(
            whole, order, lambda c: c["kind"] == "gateway" and "failed" in c["description"]
        )
        assert cause["who"] == "payment"
        assert "503" in cause["description"]
        assert cause["since"] < cause["until"]
        assert listed(whole, order)["blocked_by"]["kind"] == "gateway"
        env = {
            "SAGA_MONITOR_URL": whole.url("monitor"),
            "SAGA_TOKEN": whole.token,
            "COLUMNS": "300",
        }
        result = CliRunner().invoke(show, [order.order_id], env=env).output
        assert "blocked by gateway: payment failed" in result
        outage(whole, 0)
    assert_as_expected(running.outcomes())
    assert saga(whole, order.order_id)["blocked_by"] is None


def test_a_stopped_participant_is_named_as_what_blocks_the_order(whole: LiveStack) -> None:
    order = on_flow("order/1", "plain")
    whole.stop("payment")
    with trading(whole, [order]) as running:
        cause = blocker(
            whole, order, lambda c: c["kind"] == "silent" and "not read" in c["description"]
        )
        assert cause["who"] == "payment"
        assert "payment does not answer: http" in cause["description"]
        assert "it has not read inventory.events/" in cause["description"]
        assert listed(whole, order)["blocked_by"]["kind"] == "silent"
        whole.start("payment")
    assert_as_expected(running.outcomes())


def test_a_person_who_is_asked_is_named_as_what_blocks_the_order(whole: LiveStack) -> None:
    order = on_flow("order/2", "review_ignored")
    with trading(whole, [order], sets_deadlines=False) as running:
        cause = blocker(whole, order, lambda c: c["kind"] == "person")
        assert cause["description"].startswith("PaymentReviewRequired ask")
        [waits] = saga(whole, order.order_id)["awaited"]
        assert cause["until"] == waits["approval"]["until"]
        no = {"saga": f"order/{order.order_id}", "step": "payment", "verdict": "reject"}
        who = {"actor": "ada", "reason": "nobody knows them"}
        post(whole, "monitor", "/verdicts", {**no, **who}).raise_for_status()
    assert_as_expected(running.outcomes())


def test_a_parked_record_is_named_as_what_blocks_the_order(whole: LiveStack) -> None:
    order = on_flow("order/1", "plain")
    publisher = Publisher(whole.json["bootstrap_servers"], "outside")
    publisher.publish([OutboxRow("order.events", order.order_id, (), b"\xde\xad\xbe\xef", 1)])
    with trading(whole, [order]) as running:
        cause = blocker(
            whole, order, lambda c: c["kind"] == "parked" and "behind" in c["description"]
        )
        assert cause["who"] == "inventory"
        assert "undecodable" in cause["description"]
        env = {
            "SAGA_MONITOR_URL": whole.url("monitor"),
            "SAGA_TOKEN": whole.token,
            "COLUMNS": "300",
        }
        for name in ORDER.participants:
            discard(whole, name, order)
        result = CliRunner().invoke(ls, ["--stuck"], env=env)
        assert result.exit_code == 0, result.output
    assert_as_expected(running.outcomes())


def discard(stack: LiveStack, service: str, order: ShopOrder) -> None:
    """The garbage is gone for good, and what queued behind it goes on."""
    url = f"{stack.url(service)}/admin/parked"
    rows = httpx2.get(
        url,
        params={"saga": f"order/{order.order_id}"},
        headers=stack.headers,
        trust_env=False,
        timeout=PATIENCE_S,
    ).json()
    for row in (r for r in rows if r["code"] == "undecodable"):
        who = {"actor": "ada", "reason": "garbage"}
        httpx2.delete(
            f"{url}/{row['id']}",
            params=who,
            headers=stack.headers,
            trust_env=False,
            timeout=PATIENCE_S,
        ).raise_for_status()


def test_every_invariant_holds_after_all_blockers(whole: LiveStack) -> None:
    assert_all_hold(whole)
