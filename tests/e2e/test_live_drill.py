"""A live drill on the real stack: everything is rebuilt beside it, and nothing of it is changed."""

import json
from typing import Any

import psycopg

from shop.workload.orders import FLOW_LABELS
from tests.e2e.test_late_capture import end, place
from tests.e2e.test_operator_commands import wait
from tests.stack import LiveStack
from tests.typed_command import run_saga

DATABASES = "SELECT datname FROM pg_database ORDER BY 1"
SHADOWS = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'shadow%'"


def one(stack: LiveStack, service: str, query: str) -> list[Any]:
    """The rows of a query."""
    with psycopg.connect(stack.database_url(service)) as connection:
        return connection.execute(query.encode()).fetchall()


def test_monitor_and_payment_are_rebuilt_beside_the_running_stack(whole: LiveStack) -> None:
    order_id = place(whole, "tok_ok", FLOW_LABELS[0])
    wait(whole, "ShipmentCreated", order_id)
    before = one(whole, "payment", DATABASES)
    asked = run_saga(whole.home, "drill", "monitor", "--live")
    assert asked.returncode == 1  # nobody confirms
    assert "Never: nothing is stopped or deleted" in asked.stdout
    for target in ("monitor", "payment"):
        done = run_saga(whole.home, "drill", target, "--live", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"live of {target}: 100 of 100 points" in done.stdout
    assert one(whole, "payment", DATABASES) == before
    assert one(whole, "monitor", SHADOWS) == [(0,)]
    reports = [json.loads(file.read_text()) for file in (whole.home / "reports").glob("*.json")]
    assert {report["scenario"] for report in reports} == {"live"}
    assert all(report["sagas"] > 0 for report in reports)
    assert "live" in run_saga(whole.home, "drill", "ls").stdout
    end(whole, order_id)


def test_a_row_that_the_topics_do_not_have_costs_points(whole: LiveStack) -> None:
    order_id = place(whole, "tok_ok", FLOW_LABELS[0])
    wait(whole, "OrderPlaced", order_id)
    key = f"order/{order_id}"
    made_up = (
        "INSERT INTO intervention (saga, code, status, reason, opened_at, entries)"
        " VALUES (%s, 'made_up', 'resolved', 'of a test', now(), 1)"
    )
    with psycopg.connect(whole.database_url("monitor"), autocommit=True) as connection:
        connection.execute(made_up.encode(), [key])
        try:
            done = run_saga(whole.home, "drill", "monitor", "--live", "--yes")
        finally:
            connection.execute(b"DELETE FROM intervention WHERE code = 'made_up'")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "live of monitor: 70 of 100 points" in done.stdout
    assert f"{key}: intervention made_up (row): live resolved, rebuilt missing" in done.stdout
    end(whole, order_id)
