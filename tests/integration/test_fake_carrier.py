"""The fake carrier as its clients see it: a process of its own, over HTTP."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.outside_processes import Receiver, Server
from tests.stack import until


@pytest.fixture(scope="module")
def carrier(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    db = tmp_path_factory.mktemp("carrier") / "db"
    server = Server("shop.outside.carrier", db, receiver.url, SANDBOX_PICKUP_DELAY_S="0.05")
    yield server
    server.close()


def label(carrier: Server, order: str, tags: str = "") -> httpx2.Response:
    body = {
        "reference": order,
        "ship_to": f"1 Main Street, Springfield {tags}".strip(),
        "email": "ann@example.org",
        "lines": [{"sku": "tea", "quantity": 2}],
    }
    return carrier.post("/v1/labels", body, f"label:{order}")


def cancel(carrier: Server, order: str, n: int = 1, **by: str) -> httpx2.Response:
    body = {"reference": order, "label_id": None, "label_key": f"label:{order}", **by}
    return carrier.post("/v1/cancellations", body, f"cancel:{order}:{n}")


def test_a_label_is_picked_up(carrier: Server, receiver: Receiver, order: str) -> None:
    made = label(carrier, order).json()
    assert (made["status"], made["reason"], made["parcels"]) == ("created", None, 1)
    assert made["tracking"].startswith("TRK")
    assert made["lines"] == [{"sku": "tea", "quantity": 2}]
    until(lambda: receiver.types(order) == ["label.picked_up"], "the pickup")
    picked_up = made | {"status": "picked_up", "gone": 1}
    assert receiver.of(order)[0]["data"] == picked_up
    assert label(carrier, order).json() == picked_up
    assert carrier.list("labels", order) == [picked_up]


def test_a_label_key_with_another_content_is_refused(carrier: Server, order: str) -> None:
    label(carrier, order)
    assert label(carrier, order, "[refuse]").status_code == 409
    body = {"reference": order, "ship_to": "x", "email": "a@b.c", "lines": []}
    assert carrier.post("/v1/labels", body, f"{order}:none").status_code == 400


def test_an_address_with_a_refusing_or_unknown_tag_is_refused(carrier: Server, order: str) -> None:
    refused = label(carrier, order, "[refuse]").json()
    assert (refused["status"], refused["tracking"]) == ("refused", None)
    assert refused["reason"]
    unknown = label(carrier, f"{order}-b", "[teleport]").json()
    assert (unknown["status"], "no-pickup" in unknown["reason"]) == ("refused", True)
    assert cancel(carrier, f"{order}-b").json()["status"] == "cancelled"


def test_a_parcel_is_picked_up_on_command(carrier: Server, receiver: Receiver, order: str) -> None:
    label(carrier, order, "[no-pickup]")
    carrier.post("/control/flush", {})
    assert carrier.list("labels", order)[0]["status"] == "created"
    assert carrier.post("/control/pickup", {"reference": order}).status_code == 200
    until(lambda: receiver.types(order) == ["label.picked_up"], "the pickup")
    assert carrier.post("/control/pickup", {"reference": order}).status_code == 404
    carrier.post("/control/resend", {"saga": order})
    until(lambda: len(receiver.of(order)) == 2, "the webhook again")


def test_the_tags_of_an_address_can_be_combined(
    carrier: Server, receiver: Receiver, order: str
) -> None:
    tags = "[500:1] [lost][pickup:3600]"
    assert label(carrier, order, tags).status_code == 500
    assert carrier.list("labels", order) == []
    with pytest.raises(httpx2.RemoteProtocolError, match="without sending a response"):
        label(carrier, order, tags)
    assert label(carrier, order, tags).json()["status"] == "created"
    carrier.post("/control/flush", {})
    until(lambda: receiver.types(order) == ["label.picked_up"], "the pickup")


def test_a_slow_label(carrier: Server, order: str) -> None:
    assert label(carrier, order, "[slow:0.2]").elapsed.total_seconds() >= 0.2


def test_cancel_before_pickup(carrier: Server, receiver: Receiver, order: str) -> None:
    made = label(carrier, order, "[pickup:3600] [cancel-500:1]").json()
    assert cancel(carrier, order, label_id=made["id"]).status_code == 500
    for _ in range(2):
        assert cancel(carrier, order, label_id=made["id"]).json()["status"] == "cancelled"
    carrier.post("/control/flush", {})
    assert carrier.list("labels", order)[0]["status"] == "cancelled"
    assert receiver.of(order) == []


def test_cancel_after_pickup_is_too_late(carrier: Server, order: str) -> None:
    label(carrier, order, "[no-pickup]")
    carrier.post("/control/pickup", {"reference": order})
    assert cancel(carrier, order).json()["status"] == "too_late"
    assert carrier.list("labels", order)[0]["status"] == "picked_up"


def test_a_label_cancelled_before_it_was_made_is_refused(carrier: Server, order: str) -> None:
    assert cancel(carrier, order).json()["status"] == "cancelled"
    late = label(carrier, order).json()
    assert (late["status"], late["reason"]) == ("refused", "cancelled before it was made")


def test_a_cancellation_must_name_a_label_of_its_order(carrier: Server, order: str) -> None:
    label(carrier, order)
    assert cancel(carrier, order, label_id="lb_none").status_code == 404
    other = cancel(carrier, f"{order}-other", label_key=f"label:{order}")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "reference_mismatch")
    assert carrier.post("/v1/cancellations", {"reference": order}, order).status_code == 400


def test_an_outage_of_the_carrier_refuses_posts_until_it_ends(carrier: Server, order: str) -> None:
    carrier.post("/control/outage", {"seconds": 600})
    assert (label(carrier, order).status_code, cancel(carrier, order).status_code) == (503, 503)
    carrier.post("/control/outage", {"seconds": 0})
    assert label(carrier, order).status_code == 200
