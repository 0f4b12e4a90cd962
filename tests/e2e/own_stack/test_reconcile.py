"""Reconciliation on the real stack: differences are planted, found, told, and put right once."""

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import psycopg
import pytest
from click.testing import CliRunner, Result

from saga_cli.lab.demo_run import options_of
from saga_cli.monitor.reconcile import reconcile
from shop.workload import KINDS
from shop.workload.orders import FLOW_LABELS
from tests.application import ORDER
from tests.e2e.orders import ledger, post, saga, shop, trade, trading
from tests.monitor import money_in
from tests.stack import PATIENCE_S, LiveStack, live_stack, until

TEA = "TEA-RECONCILED"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """A stack of its own: what is planted here would be found by the others."""
    with live_stack(tmp_path_factory.mktemp("books"), options_of(ORDER)) as running:
        running.deadlines.far()
        yield running


def place(stack: LiveStack, name: str, *, card: str = "tok_ok", pickup: bool = True) -> str:
    stock = {"sku": TEA, "quantity": 10, "actor": "t", "reason": "t", "id": f"{name}:stock"}
    post(stack, "inventory", "/stock", stock).raise_for_status()
    body = {
        **shop("plain").order(0).facts.to_dict(),
        "order_id": name,
        "flow": FLOW_LABELS[0],
        "card_token": card,
        "currency": "EUR",
        "lines": [{"sku": TEA, "quantity": 1, "unit_price_minor": 500}],
        "ship_to": "1 Main Street" + ("" if pickup else " [no-pickup]"),
    }
    del body["total_minor"]
    post(stack, "order", "/orders", body).raise_for_status()
    return name


def ends(stack: LiveStack, order_id: str, status: str) -> None:
    until(lambda: saga(stack, order_id)["status"] == status, f"{order_id} {status}")


def outside(stack: LiveStack, server: str, path: str, **body: Any) -> None:
    """A call nobody of ours makes."""
    key = {"Idempotency-Key": f"planted:{body['reference']}"}
    url = f"{stack.url(server)}{path}"
    httpx2.post(url, json=body, headers=key, trust_env=False, timeout=PATIENCE_S).raise_for_status()


def at_provider(stack: LiveStack, *statements: str) -> None:
    """Somebody works on the provider's own database, while it stands still."""
    (path,) = stack.home.rglob("provider.sqlite")
    stack.stop("provider")
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    stack.start("provider")


def shelf(stack: LiveStack, more: int) -> None:
    with psycopg.connect(stack.database_url("inventory")) as connection:
        connection.execute("UPDATE stock SET on_hand = on_hand + %s WHERE sku = %s", (more, TEA))


def run(stack: LiveStack, *options: str) -> Result:
    environment = {"SAGA_MONITOR_URL": stack.url("monitor"), "SAGA_TOKEN": stack.token}
    return CliRunner().invoke(reconcile, ["--settle", "0s", *options], env=environment)


def report(stack: LiveStack, *options: str) -> tuple[int, dict[tuple[str, str], str]]:
    """Exit status; (kind, subject) -> what was done."""
    result = run(stack, "--json", *options)
    rows = json.loads(result.stdout)["findings"] if result.exit_code < 2 else ()
    return result.exit_code, {
        (row["kind"], row["subject"].removeprefix("order/")): row["action"] for row in rows
    }


def quiet(stack: LiveStack, *options: str) -> tuple[int, dict[tuple[str, str], str]]:
    """The same, once nothing is under way any more."""
    until(lambda: at_once(stack)["unsettled"] == 0, "every order quiet")
    return report(stack, *options)


def answer(stack: LiveStack, *, fix: bool = False) -> httpx2.Response:
    """A run straight at the monitor, for several at a time."""
    url, body = f"{stack.url('monitor')}/reconciliations", {"fix": fix, "settle_s": 0}
    return httpx2.post(url, json=body, headers=stack.headers, timeout=PATIENCE_S, trust_env=False)


def at_once(stack: LiveStack) -> Any:
    return answer(stack).raise_for_status().json()


def given_back(stack: LiveStack, order_id: str) -> list[tuple[str, int]]:
    """Refunds that moved money, in the provider's own ledger."""
    rows = ledger(stack, "provider", "refunds", order_id)
    return [(row["charge_id"], row["amount_minor"]) for row in rows if row["amount_minor"]]


def test_orders_of_every_kind_differ_in_nothing_also_while_they_flow(stack: LiveStack) -> None:
    runs: list[Any] = []
    kinds = [kind.name for kind in KINDS if not kind.times_out]
    with trading(stack, shop(*kinds, seed=5).orders(60)) as running:
        while not running.over:
            runs.append(at_once(stack))
    trade(stack, shop(*(kind.name for kind in KINDS if kind.times_out), seed=5).orders(5))
    assert [run["findings"] for run in runs if run["findings"]] == []
    assert any(run["unsettled"] for run in runs), "no run met an order that moves"
    status, found = quiet(stack)
    assert (status, found) == (0, {})
    assert at_once(stack)["judged"] >= 50


def test_what_differs_is_found_reported_and_put_right_once(stack: LiveStack) -> None:
    kept, twice = place(stack, "kept"), place(stack, "twice")
    declined = place(stack, "declined", card="tok_declined")
    lost = place(stack, "lost", pickup=False)
    for order_id in (kept, twice):
        ends(stack, order_id, "completed")
    ends(stack, declined, "cancelled")
    until(lambda: bool(ledger(stack, "carrier", "labels", lost)), "a label")
    words = {"actor": "t", "reason": "changed their mind"}
    post(stack, "order", f"/orders/{lost}/cancel", words).raise_for_status()
    ends(stack, lost, "cancelled")
    assert quiet(stack) == (0, {})
    assert "nothing differs" in run(stack).stdout

    for order_id in (declined, twice, "who"):
        card = {"currency": "EUR", "card_token": "tok_ok", "amount_minor": 700}
        outside(stack, "provider", "/v1/charges", reference=f"order/{order_id}", **card)
    parcel = {"ship_to": "2 Main Street [no-pickup]", "email": "a@b.example"}
    lines = [{"sku": TEA, "quantity": 1}]
    outside(stack, "carrier", "/v1/labels", reference="order/nobody", lines=lines, **parcel)
    at_provider(
        stack,
        f"DELETE FROM refunds WHERE reference = 'order/{lost}'",
        f"UPDATE charges SET refunded_minor = 0 WHERE reference = 'order/{lost}'",
        f"UPDATE charges SET captured_minor = 499 WHERE reference = 'order/{kept}'",
    )
    shelf(stack, 3)
    forced = {("unbooked_charge", declined), ("unbooked_charge", twice), ("missing_refund", lost)}
    cases = {("amount_difference", kept), ("unknown_charge", "who"), ("unknown_label", "nobody")}
    planted = {*forced, *cases, ("stock", f"sku:{TEA}")}

    status, found = quiet(stack)
    assert (status, set(found)) == (1, planted)
    assert set(found.values()) == {"none"}
    assert "--fix fixes what it can" in run(stack).stdout
    assert open_cases(stack) == set()
    assert not any(given_back(stack, order_id) for order_id in (declined, twice, lost, "who"))

    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(lambda _: answer(stack, fix=True), range(3)))
    assert {a.status_code for a in answers} <= {200, 409}, "another run lasts"
    assert any(a.json()["findings"] for a in answers if a.status_code == 200)
    for order_id in (declined, twice, lost):
        until(lambda o=order_id: bool(given_back(stack, o)), f"{order_id} given back")  # type: ignore[misc]
    until(lambda: open_cases(stack) == cases, "the cases")
    status, left = quiet(stack, "--fix")
    assert (status, set(left)) == (1, planted - forced)
    assert {left[case] for case in cases} == {"intervention"}
    assert quiet(stack, "--fix")[1] == left

    for order_id, amount_minor in ((declined, 700), (twice, 700), (lost, 500)):
        ((charge_id, back_minor),) = given_back(stack, order_id)
        assert back_minor == amount_minor
        charge_ids = [row["id"] for row in ledger(stack, "provider", "charges", order_id)]
        assert charge_id == charge_ids[0 if order_id == lost else -1]
    assert given_back(stack, "who") == []
    assert open_cases(stack) == cases
    assert saga(stack, twice)["status"] == "completed"
    assert money_in(saga(stack, twice))["held"] == 500
    assert saga(stack, declined)["status"] == "cancelled"


def open_cases(stack: LiveStack) -> set[tuple[str, str]]:
    rows = httpx2.get(
        f"{stack.url('monitor')}/interventions",
        headers=stack.headers,
        trust_env=False,
        timeout=PATIENCE_S,
    ).json()
    return {(row["code"], row["id"]) for row in rows}


def test_what_cannot_be_read_cannot_be_compared(stack: LiveStack) -> None:
    stack.stop("provider")
    try:
        result = run(stack)
        assert result.exit_code == 3
        assert "ledgers/charges answers 502" in result.stderr
    finally:
        stack.start("provider")
    stack.stop("payment")
    try:
        assert run(stack).exit_code == 3
    finally:
        stack.start("payment")
