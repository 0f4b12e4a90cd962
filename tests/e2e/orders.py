"""What the tests of the whole share: orders on a stack, and the judgement at the end."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx2

from saga_lab.invariants import check
from saga_lab.workload.background import RunThread
from saga_lab.workload.outcomes import Progress, SagaOutcome
from saga_lab.workload.run import WorkloadRun
from sagakit.contract.model import Contract
from schemas import CONTRACT
from shop.workload import KINDS, WORKLOAD, Shop, ShopOrder
from tests.stack import PATIENCE_S, LiveStack


def shop(*names: str, seed: int = 0) -> Shop:
    """A shop with a name of its own that sells these kinds (none named: all of them)."""
    kinds = [kind for kind in KINDS if not names or kind.name in names]
    assert len(kinds) == len(names or KINDS), f"a kind is misspelt: {names}"
    return Shop(f"t{uuid.uuid4().hex[:6]}", seed, kinds)


def trade(
    stack: LiveStack,
    orders: Sequence[ShopOrder],
    report_progress: Callable[[Progress], None] = lambda progress: None,
) -> list[SagaOutcome]:
    """Place them and wait for their ends."""
    run = WorkloadRun(
        stack.json, WORKLOAD, CONTRACT, orders, report_progress, deadlines=stack.deadlines
    )
    return run.run()


@contextmanager
def trading(
    stack: LiveStack,
    orders: Sequence[ShopOrder],
    contract: Contract = CONTRACT,
    *,
    sets_deadlines: bool = True,
) -> Iterator[RunThread]:
    """Trade beside the body, which must not end before the trade does. `contract`: how orders that
    come over Kafka are written; without `sets_deadlines` the monitor keeps those it has."""
    deadlines = stack.deadlines if sets_deadlines else None
    run = WorkloadRun(stack.json, WORKLOAD, contract, orders, deadlines=deadlines)
    running = RunThread(run)
    running.start()
    try:
        yield running
    finally:
        running.outcomes()


def assert_as_expected(outcomes: Sequence[SagaOutcome]) -> None:
    """Each order ended as its kind says."""
    wrong = [f"{o.saga.saga_id}: {o.end}, not {o.saga.end}" for o in outcomes if not o.as_expected]
    assert not wrong, wrong[:20]


def assert_all_hold(stack: LiveStack) -> None:
    """Every invariant."""
    found = check(stack.json)
    assert len(found) == 9
    broken = [f"{f.number} {f.title}: {violation}" for f in found for violation in f.violations]
    assert not broken, "\n".join(broken)


def ledger(stack: LiveStack, server: str, rows: str, order_id: str) -> list[dict[str, Any]]:
    """What an outside server's own ledger says of an order."""
    url = f"{stack.url(server)}/v1/{rows}"
    answer = httpx2.get(
        url, params={"reference": f"order/{order_id}"}, trust_env=False, timeout=PATIENCE_S
    )
    found: list[dict[str, Any]] = answer.raise_for_status().json()["data"]
    return found


def saga(stack: LiveStack, order_id: str) -> dict[str, Any]:
    """An order as the monitor sees it; its status is `unknown` where it does not."""
    answer = httpx2.get(
        f"{stack.url('monitor')}/sagas/order/{order_id}",
        headers=stack.headers,
        trust_env=False,
        timeout=PATIENCE_S,
    )
    found: dict[str, Any] = answer.json() if answer.is_success else {"status": "unknown"}
    return found


def post(stack: LiveStack, server: str, path: str, body: dict[str, Any]) -> httpx2.Response:
    """POST to any part of the stack."""
    return httpx2.post(
        f"{stack.url(server)}{path}",
        json=body,
        headers=stack.headers,
        trust_env=False,
        timeout=PATIENCE_S,
    )
