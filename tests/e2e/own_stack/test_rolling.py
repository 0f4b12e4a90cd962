"""A rolling deploy: old and new code side by side in one group, versions of the flow in flight."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import httpx2
import pytest

from saga_lab.devstack.options import StackOptions
from saga_lab.workload import End, Entrance
from saga_lab.workload.deadlines import far
from sagakit.kafka.inspector import read_log
from schemas import FLOWS
from services.loyalty.decide import points_of
from shop.workload import ShopOrder
from tests.application import ORDER
from tests.e2e.old_release import CONTRACT, PARTICIPANTS, environment, flow, tree
from tests.e2e.orders import (
    assert_all_hold,
    assert_as_expected,
    saga,
    shop,
    trading,
)
from tests.stack import PATIENCE_S, LiveStack, live_stack, until

OLD, NEW = ("order/1", "order/2"), ("order/3", "order/4")
OPTIONS = StackOptions(port_base=0, env={"SAGA_DEADLINES": json.dumps(far(FLOWS))})
"""What is parked meanwhile is late, and no order is to time out over it."""
KINDS = ("plain", "carrier_refuses", "slow_charge", "greylisted_mail")
CARD = "L-rolling"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tree(tmp_path_factory.mktemp("old"))


@pytest.fixture
def stack(tmp_path: Path, old: Path) -> Iterator[LiveStack]:
    """The participants are of the old release; the monitor, the order API and what is new are of
    today: docs/how-to/roll-out-a-version.md says in which order."""
    with live_stack(tmp_path / "rolling", OPTIONS) as stack:
        for name in PARTICIPANTS:
            stack.run_process(name, environment(old))
        yield stack


def on(labels: tuple[str, ...], count: int, card: str | None = None) -> list[ShopOrder]:
    """Orders from outside, on these versions in turn. A card is a fact old code hands on to nobody,
    so orders have one only when the old code is gone."""
    orders = shop(*KINDS).orders(count)
    return [
        replace(
            order,
            flow=labels[n % len(labels)],
            entrance=Entrance.KAFKA,
            facts=replace(order.facts, loyalty_card=card),
        )
        for n, order in enumerate(orders)
    ]


def parked(stack: LiveStack) -> Counter[str]:
    """Records that stand aside, by service."""
    return Counter(
        name
        for name in ORDER.participants
        for _ in httpx2.get(
            f"{stack.url(name)}/admin/parked",
            headers=stack.headers,
            trust_env=False,
            timeout=PATIENCE_S,
        ).json()
    )


def refused(stack: LiveStack) -> Counter[str]:
    """Why records were ever parked, from the dead-letter records."""
    dead_letters = read_log(
        stack.json["bootstrap_servers"], [f"{name}.dlt" for name in PARTICIPANTS]
    )
    return Counter(dict(dead_letter.headers)["dlt-code"].decode() for dead_letter in dead_letters)


def in_flight(stack: LiveStack) -> dict[str, int]:
    rows = httpx2.get(
        f"{stack.url('monitor')}/flows", headers=stack.headers, trust_env=False, timeout=PATIENCE_S
    ).json()
    return {row["flow"]: row["in_flight"] for row in rows}


def test_the_old_code_is_the_old_code(old: Path) -> None:
    """Its own flow file and its own classes, not those of today."""
    code = "from schemas import FLOWS, EVENT_TYPES as t; import schemas.events as e; "
    code += "print([f.versions.keys() for f in FLOWS], 'loyalty_card' in e.OrderFacts.__slots__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment(old), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[dict_keys([1, 2])] False"
    (today,) = FLOWS
    assert set(flow().versions) == {1, 2} < set(today.versions)


def test_each_order_finishes_on_its_own_version_while_old_and_new_code_run_side_by_side(
    stack: LiveStack,
) -> None:
    before, during, after = on(OLD, 24), on((*OLD, *NEW), 48), on((*OLD, *NEW), 16, CARD)
    with trading(stack, before, CONTRACT) as first:
        until(lambda: first.progress.placed == len(before), "the first are placed")
        with trading(stack, during) as second:
            # too early: only old code is there to meet what it does not know
            until(lambda: sum(parked(stack).values()) > 0, "the old ones park it")
            until(lambda: all(in_flight(stack)[x] for x in OLD), "old versions in flight")
            for name in PARTICIPANTS:
                stack.run_process(f"{name}-2")  # side by side now, in one group
            until(lambda: second.progress.placed == len(during), "the next are placed")
            until(lambda: second.progress.ended > 0, "the new ones handle it")
            for name in PARTICIPANTS:
                stack.run_process(name)  # and the old one is gone
            with trading(stack, after) as third:
                pass
    outcomes = [*first.outcomes(), *second.outcomes(), *third.outcomes()]
    assert_as_expected(outcomes)
    assert {o.saga.flow for o in outcomes} == {*OLD, *NEW}
    for order in chain(before, during, after):
        assert saga(stack, order.order_id)["flow"] == order.flow, order.order_id
    assert {"unknown_flow", "unknown_schema"} & refused(stack).keys(), "nothing strange was met"
    assert not parked(stack), "what the old ones parked is handled"
    assert set(in_flight(stack).values()) == {0}
    assert_all_hold(stack)
    assert points(stack) == sum(
        points_of(o.order_id, o.facts)
        for o in after
        if o.flow == "order/4" and o.end is End.COMPLETED
    )
    for label in NEW:
        assert may_go(stack, label), label


def points(stack: LiveStack) -> int:
    """What loyalty says is on the card."""
    answer = httpx2.get(
        f"{stack.url('loyalty')}/cards/{CARD}",
        headers=stack.headers,
        trust_env=False,
        timeout=PATIENCE_S,
    )
    return int(answer.json()["points"])


def may_go(stack: LiveStack, label: str) -> bool:
    """`saga flows retire` allows it."""
    answer = httpx2.get(
        f"{stack.url('monitor')}/flows/retirement",
        params={"flow": label},
        headers=stack.headers,
        trust_env=False,
        timeout=PATIENCE_S,
    )
    return answer.status_code == 200 and not re.search("in flight", answer.text)
