"""Personal data on the whole stack: sealed from the order API on, and gone when it is erased."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from sagakit.kafka.inspector import read_log
from sagakit.messages.codec import Codec
from schemas import CONTRACT
from tests.e2e.orders import assert_all_hold, ledger, post, saga
from tests.monitor import money_in
from tests.stack import LiveStack, until
from tests.typed_command import run_saga

TABLES = """
    SELECT table_name FROM information_schema.tables
    WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
"""


@pytest.fixture
def customer() -> str:
    return f"c-{uuid.uuid4().hex[:8]}"


def place(stack: LiveStack, customer: str) -> str:
    """An order of the customer."""
    order_id = f"{customer}-{uuid.uuid4().hex[:6]}"
    sku = f"sku-{order_id}"
    units = {"sku": sku, "quantity": 1, "actor": "test", "reason": "test", "id": f"put-{sku}"}
    assert post(stack, "inventory", "/stock", units).is_success
    body = {
        "order_id": order_id,
        "customer_id": customer,
        "email": f"{customer}@mailbox.example",
        "currency": "EUR",
        "lines": [{"sku": sku, "quantity": 1, "unit_price_minor": 1250}],
        "card_token": "tok_ok",
        "ship_to": f"7 {customer} Street",
    }
    answer = post(stack, "order", "/orders", body)
    assert answer.status_code == 201, answer.text
    return order_id


def ends(stack: LiveStack, order_id: str, status: str) -> None:
    until(lambda: saga(stack, order_id)["status"] == status, f"{order_id} {status}")


def leaks(stack: LiveStack, *needles: str) -> Iterator[str]:
    """Where these texts stand in a topic or a table."""
    for record in read_log(stack.json["bootstrap_servers"], CONTRACT.topics):
        whole = (record.value or b"") + json.dumps([str(h) for h in record.headers]).encode()
        yield from (f"{record.topic}: {n}" for n in needles if n.encode() in whole)
    for name, url in stack.json["databases"].items():
        with psycopg.connect(url) as connection:
            for (table,) in connection.execute(TABLES).fetchall():
                for needle in needles:
                    query = sql.SQL("SELECT count(*) FROM {} t WHERE t::text LIKE ANY(%s)")
                    found = [f"%{needle}%", f"%{needle.encode().hex()}%"]
                    row = connection.execute(query.format(sql.Identifier(table)), [found])
                    if row.fetchone() != (0,):
                        yield f"{name}.{table}: {needle}"


def opened(stack: LiveStack, order_id: str) -> list[Any]:
    """What the order API reads of the sealed texts in the order's first event."""
    codec = Codec(CONTRACT)
    log = read_log(stack.json["bootstrap_servers"], ["order.events"])
    records = [record for record in log if record.key == order_id.encode()]
    facts = codec.decode(records[0]).event.order
    answer = post(stack, "order", "/sealed/open", {"texts": [facts.email, facts.ship_to]})
    return list(answer.json()["texts"])


def test_what_is_erased_is_gone_everywhere_and_all_goes_on(whole: LiveStack, customer: str) -> None:
    needles = (f"{customer}@mailbox.example", f"7 {customer} Street")
    done = place(whole, customer)
    ends(whole, done, "completed")
    (label,) = ledger(whole, "carrier", "labels", done)
    mails = ledger(whole, "mail", "mails", done)
    assert label["ship_to"] == needles[1], "the carrier reads the address"
    assert {mail["to"] for mail in mails} == {needles[0]}, "and the mail server"
    assert list(leaks(whole, *needles)) == [], "but nobody else"
    assert {"order.events", "order.orders"} <= {at.partition(":")[0] for at in leaks(whole, done)}
    assert opened(whole, done) == list(needles)
    erase_while_one_is_in_flight(whole, customer, done, needles)
    assert list(leaks(whole, *needles)) == []
    assert_all_hold(whole)

    new = place(whole, customer)
    ends(whole, new, "completed")
    assert opened(whole, new) == list(needles), "a customer who comes back is a new one"
    assert opened(whole, done) == [None, None]


def erase_while_one_is_in_flight(
    whole: LiveStack, customer: str, done: str, needles: tuple[str, str]
) -> None:
    """It is refused, and forced; the order that needed the address is undone."""
    whole.stop("shipping")
    asked = place(whole, customer)
    until(lambda: _paid(saga(whole, asked)), f"{asked} is paid")
    refused = run_saga(whole.home, "erase", customer, "--reason", "asked for by mail")
    assert refused.returncode == 1
    assert asked in refused.stderr
    assert opened(whole, done) == list(needles)
    forced = run_saga(whole.home, "erase", customer, "--reason", "asked for by mail", "--force")
    assert forced.returncode == 0, forced.stderr
    assert asked in forced.stdout
    assert opened(whole, done) == opened(whole, asked) == [None, None]

    whole.start("shipping")
    ends(whole, asked, "cancelled")
    assert ledger(whole, "carrier", "labels", asked) == []
    assert ledger(whole, "mail", "mails", asked) == []
    assert money_in(saga(whole, asked))["held"] == 0, "what was taken is given back"


def _paid(seen: dict[str, Any]) -> bool:
    return bool(money_in(seen)["added"])
