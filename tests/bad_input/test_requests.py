"""Bad requests over HTTP to the apps as their processes build them."""

import httpx2
import orjson
import pytest

from sagakit.handling.parking import decode_message
from sagakit.identity import split_key
from sagakit.messages.envelope import Record
from sagakit.web.app import MAX_BODY_BYTES
from tests.bad_input.apps import RunningApps
from tests.bad_input.case import Call, Case
from tests.bad_input.events import CODEC, placed, sent
from tests.bad_input.order_requests import ORDER, order
from tests.bad_input.requests import REQUESTS
from tests.bad_input.webhook_requests import CAPTURED, KNOWN, signed
from tests.stack import PATIENCE_S


@pytest.fixture(scope="module", autouse=True)
def _known(apps: RunningApps) -> None:
    """Payment was asked to charge for one order, and the monitor has read one."""
    one = sent(placed(split_key(KNOWN)[1]), flow="order/2")
    record = Record(one.topic, 0, 0, 1_767_323_045_000, one.key, one.value, one.headers)
    (handled,) = apps.processes["payment"].handler.handle([decode_message(CODEC, record)])
    assert handled.disposition == "handled"
    seen = sent(placed("well-known"), flow="order/2")
    record = Record(seen.topic, 0, 1, 1_767_323_045_000, seen.key, seen.value, seen.headers)
    assert apps.monitor.projection.apply([record]).events == 1


def ask(apps: RunningApps, where: str, call: Call) -> httpx2.Response:
    url = apps.urls[where.partition(",")[0]] + call.path
    body = {"json": call.json} if call.content is None else {"content": call.content}
    headers = [(k.encode(), v.encode("latin-1")) for k, v in call.headers.items()]
    return httpx2.request(
        call.method, url, headers=headers, trust_env=False, timeout=PATIENCE_S, **body
    )


@pytest.mark.parametrize("case", REQUESTS, ids=str)
def test_a_bad_request_gets_its_answer(apps: RunningApps, case: Case) -> None:
    call = case.given if isinstance(case.given, Call) else case.given()
    answer = ask(apps, case.where, call)
    assert str(answer.status_code) == case.gets, answer.text
    for word in case.words:
        assert word in answer.text, answer.text
    assert len(answer.text) < 5000, "the answer does not repeat what was sent"


def test_a_webhook_replayed_counts_once(apps: RunningApps) -> None:
    """Signed again by the provider, as it does until it is answered."""
    body = orjson.dumps(CAPTURED | {"id": "evt_twice"})
    handled = []
    for _ in range(3):
        assert ask(apps, "payment", signed(body)()).status_code == 200
        with apps.processes["payment"].engine.connect() as connection:
            query = "SELECT count(*) FROM outbox WHERE key = %s"
            handled.append(connection.exec_driver_sql(query, (KNOWN,)).scalar_one())
    assert handled[0] == handled[1] == handled[2]


def test_the_same_order_id_and_the_same_key_with_other_content(apps: RunningApps) -> None:
    first = order(order_id="twice")._replace(headers={"Idempotency-Key": "k-twice"})
    other = order(order_id="twice", ship_to="2 Main Street")
    assert ask(apps, "order", first).status_code == 201
    assert ask(apps, "order", first).status_code == 200
    conflict = ask(apps, "order", other)
    assert (conflict.status_code, conflict.json()["code"]) == (409, "conflict")
    assert "place this one under another id" in conflict.json()["detail"]
    reused = ask(apps, "order", other._replace(headers=first.headers))
    assert (reused.status_code, reused.json()["code"]) == (409, "idempotency_key_reuse")
    assert "use a new key" in reused.json()["detail"]


def test_good_orders_are_placed_all_the_same(apps: RunningApps) -> None:
    for n in range(20):
        placed_ = ask(apps, "order", order(order_id=f"good-{n}"))
        assert placed_.status_code == 201
        assert ORDER["order_id"] not in placed_.text


@pytest.mark.parametrize(
    ("name", "path"), [("order", "/orders"), ("payment", "/webhooks/provider")]
)
def test_a_giant_body_that_does_not_say_its_size(apps: RunningApps, name: str, path: str) -> None:
    """Cut off in the middle: it could be endless."""
    pieces = (bytes(64 * 1024) for _ in range(2 * MAX_BODY_BYTES // (64 * 1024)))
    answer = httpx2.post(
        apps.urls[name] + path, content=pieces, trust_env=False, timeout=PATIENCE_S
    )
    assert answer.status_code == 413
    assert "send less at once" in answer.json()["detail"]
