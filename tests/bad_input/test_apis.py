"""What every API says of itself, held against it: no request at all is an error of ours."""

from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from saga_lab.fakes.trouble import CALLBACK_WAYS, SERVER_WAYS
from tests.bad_input.apps import RunningApps
from tests.stack import PATIENCE_S

APIS = (
    *("order", "inventory", "payment", "shipping", "loyalty", "monitor"),
    *("provider", "carrier", "mail"),
)
BY_DESIGN = {"GET /health/ready", "POST /reconciliations"}
"""503 is its way to say that no Kafka runs in this test."""
NO_PROVIDER = ("GET /admin/ledgers/{name}", 502)
"""For a ledger that there is, it says that no outside world runs in this test."""
TROUBLE = {f"/control/{way}" for way in (*SERVER_WAYS, *CALLBACK_WAYS)}
EXAMPLES = 30


@pytest.mark.parametrize("name", APIS)
def test_no_request_is_an_error_of_ours(apps: RunningApps, name: str) -> None:
    schema = schemathesis.openapi.from_dict(apps.apps[name].openapi())
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]
        if operation.label not in BY_DESIGN:
            tried += 1
            _try(operation, apps.urls[name])
    assert tried > 1


def _try(operation: Any, url: str) -> None:
    @settings(
        derandomize=True,
        database=None,
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        if operation.path.endswith("/wait"):
            case.query["timeout_s"] = 0  # it is meant to wait
        answer = case.call(base_url=url)
        answered = f"{operation.label}: {answer.text[:300]}"
        assert answer.status_code < 500 or (operation.label, answer.status_code) == NO_PROVIDER, (
            answered
        )
        if operation.path in TROUBLE:  # in it, 503 or a late answer would be right
            assert (
                httpx2.post(
                    f"{url}{operation.path}", json={"seconds": 0}, timeout=PATIENCE_S
                ).status_code
                == 200
            )

    check()
