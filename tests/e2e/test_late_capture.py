"""A capture nobody waits for any more goes back to the customer, exactly once."""

from typing import Any

from shop.workload.orders import FLOW_LABELS
from tests.e2e.orders import assert_all_hold, ledger, post, saga, shop
from tests.monitor import money_in
from tests.stack import LiveStack, until


def place(stack: LiveStack, card: str, flow: str) -> str:
    """An order that the carrier never picks up."""
    order = shop("plain").order(0)
    body: dict[str, Any] = {
        **order.facts.to_dict(),
        "order_id": f"{order.order_id}-{card.partition(':')[0]}-{flow[-1]}",
        "flow": flow,
        "card_token": card,
        "ship_to": "1 Main Street [no-pickup]",
    }
    del body["total_minor"]
    for line in body["lines"]:
        stock = {"sku": line["sku"], "quantity": 10, "actor": "t", "reason": "t"}
        delivery = {**stock, "id": f"{body['order_id']}:{line['sku']}"}
        post(stack, "inventory", "/stock", delivery).raise_for_status()
    post(stack, "order", "/orders", body).raise_for_status()
    return str(body["order_id"])


def cancel(stack: LiveStack, order_id: str) -> None:
    asked = {"actor": "t", "reason": "changed their mind"}
    post(stack, "order", f"/orders/{order_id}/cancel", asked).raise_for_status()


def end(stack: LiveStack, order_id: str) -> None:
    """Cancel an order that nobody picks up, so that it leaves nothing open on the shared stack."""
    cancel(stack, order_id)
    until(lambda: saga(stack, order_id)["status"] == "cancelled", f"{order_id} is cancelled")
    assert_all_hold(stack)


def given_back(stack: LiveStack, order_id: str) -> bool:
    """Cancelled, after money had come in and gone back."""
    seen = saga(stack, order_id)
    if seen["status"] != "cancelled":
        return False
    money = money_in(seen)
    return bool(money["removed"] == money["added"] > 0)


def assert_refunded_once(stack: LiveStack, order_id: str) -> None:
    (charge,) = ledger(stack, "provider", "charges", order_id)
    refunds = ledger(stack, "provider", "refunds", order_id)
    moved = [r for r in refunds if r["amount_minor"]]
    assert charge["status"] == "captured"
    assert [(r["status"], r["amount_minor"]) for r in moved] == [
        ("refunded", charge["amount_minor"])
    ]


def test_captures_after_the_undo_and_before_the_answer_go_back_once(whole: LiveStack) -> None:
    """Captured after the order had timed out and was undone, reported twice; captured and reported
    before the charge call was answered, while the order was being cancelled; answered late."""
    whole.deadlines.near()
    late = [place(whole, "tok_late:1", flow) for flow in FLOW_LABELS]
    for order_id in late:
        until(lambda o=order_id: given_back(whole, o), f"{order_id} refunded")  # type: ignore[misc]
    whole.deadlines.far()  # nobody but the person below ends the others
    early = [
        place(whole, card, flow)
        for card in ("tok_async_before:3", "tok_slow:3")
        for flow in FLOW_LABELS
    ]
    for order_id in early:
        until(
            lambda o=order_id: bool(ledger(whole, "provider", "charges", o)),  # type: ignore[misc]
            f"{order_id} charged",
        )
        cancel(whole, order_id)
    for order_id in (*early, *late):
        until(
            lambda o=order_id: given_back(whole, o),  # type: ignore[misc]
            f"{order_id} refunded",
        )
        assert_refunded_once(whole, order_id)
    for order_id in late:
        timed_out = [e["type"] for e in saga(whole, order_id)["timeline"]]
        assert timed_out.index("CompensationRequested") < timed_out.index("PaymentCaptured")
    for order_id in (*early, *late):
        resent = post(whole, "provider", "/control/resend", {"saga": f"order/{order_id}"})
        if order_id in late or "async_before" in order_id:
            resent.raise_for_status()
    assert_all_hold(whole)
    for order_id in (*early, *late):
        assert_refunded_once(whole, order_id)


def test_an_undo_that_meets_a_charge_without_an_answer_claims_nothing(whole: LiveStack) -> None:
    """The provider fails three times, then takes the money; the order was cancelled meanwhile."""
    orders = [place(whole, "tok_500:3", flow) for flow in FLOW_LABELS]
    for order_id in orders:
        until(lambda o=order_id: saga(whole, o)["status"] != "unknown", "the order is known")  # type: ignore[misc]
        cancel(whole, order_id)
    for order_id in orders:
        until(
            lambda o=order_id: saga(whole, o)["status"] == "cancelled",  # type: ignore[misc]
            f"{order_id} cancelled",
        )
        charges = ledger(whole, "provider", "charges", order_id)
        if any(charge["status"] == "captured" for charge in charges):
            assert_refunded_once(whole, order_id)
    assert_all_hold(whole)
