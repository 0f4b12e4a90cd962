"""The comparison itself: the turns, the placed orders, the medians and the ratios."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.comparison import (
    BELOW_SATURATION,
    BURST,
    SATURATION,
    Plan,
    compare,
    medians,
    steady,
)
from benchmarks.figures import Figures
from benchmarks.orders import due, kinds_of, orders
from benchmarks.parts import medians as of_parts
from benchmarks.peers.apps import steps
from benchmarks.peers.apps.route import step_for
from benchmarks.report import as_json, ratios
from benchmarks.sync_parts import Part
from shop.workload import ShopOrder

FIGURES = Figures(100, 2.0, 10.0, 20.0, {"a": 1.0, "b": 3.0}, {"a": 50.0, "b": 60.0}, {})
ORDER = {
    "order_id": "run-1",
    "lines": [{"sku": "TEA", "quantity": 2}],
    "card_token": "tok_ok",
    "total_minor": 500,
    "currency": "EUR",
}


@dataclass
class Double:
    """A contender that only tells what it was asked."""

    name: str
    calls: list[tuple[str, str, int, float | None]]
    orders: int = 100
    rates: Sequence[int] = (1, 5)
    testbed: Any = None
    figures: Figures = field(default=FIGURES)

    @contextmanager
    def deploy(self) -> Iterator["Double"]:
        yield self

    def place(self, orders: Sequence[ShopOrder], rate: float | None = None) -> Figures:
        run = orders[0].order_id.partition("-")[0]
        self.calls.append((self.name, run, len(orders), rate))
        return replace(self.figures, orders=len(orders), seconds=len(orders) / 50)


def test_each_begins_once_and_all_do_the_same() -> None:
    calls: list[tuple[str, str, int, float | None]] = []
    doubles = [Double(name, calls) for name in ("x", "y")]
    plan = Plan(rounds=2, rates=(10,), seconds=2)

    found = compare(doubles, plan, lambda line: None)

    turn = [
        ("warm", 100, None),
        ("full", 100, None),
        ("burst", 2000, None),
        ("steady10", 20, 10),
        ("below", 80, 40.0),
    ]
    assert calls == [(name, *run) for name in ("x", "y", "y", "x") for run in turn]
    assert list(found) == ["x", "y"]
    modes = [SATURATION, BURST, steady(10), BELOW_SATURATION]
    assert all(list(runs) == modes for runs in found.values())


def test_each_runs_at_its_own_rates_unless_others_are_asked_for() -> None:
    """Given no rates in the plan; then those of the contender are run, with two orders at least."""
    calls: list[tuple[str, str, int, float | None]] = []
    plan = Plan(rounds=1, scale=0.1, seconds=1, below_saturation=False)

    (modes,) = compare([Double("x", calls)], plan, lambda line: None).values()

    assert list(modes) == [SATURATION, BURST, steady(1), steady(5)]
    assert [(count, rate) for _, _, count, rate in calls[2:]] == [(200, None), (2, 1), (5, 5)]


def test_the_median_is_of_each_figure() -> None:
    runs = [
        replace(FIGURES, seconds=seconds, p50_ms=p50_ms, cpu_ms_an_order={"a": cpu_ms})
        for seconds, p50_ms, cpu_ms in ((1.0, 30.0, 5.0), (2.0, 10.0, 6.0), (9.0, 20.0, 1.0))
    ]
    (found,) = medians({"x": {SATURATION: runs}})["x"].values()
    assert (found.seconds, found.p50_ms, found.cpu_ms_an_order) == (2.0, 20.0, {"a": 5.0})
    assert found.orders_a_second == 50


def test_ratios_compare_the_platform_with_another() -> None:
    slower = replace(FIGURES, seconds=8.0, cpu_ms_an_order={"a": 12.0})
    figures = {"platform": FIGURES, "other": slower}
    assert ratios(figures, "other") == ("4.0x", "3.0x")
    assert ratios(figures, "platform") == ("", "")
    assert ratios({"other": slower}, "other") == ("", "")


def test_json_has_every_run_and_the_machine() -> None:
    parsed: Any = as_json({"x": {SATURATION: [FIGURES, FIGURES]}}, {"cores": 4})
    assert parsed["machine"] == {"cores": 4}
    assert parsed["medians"]["x"][SATURATION]["orders_a_second"] == 50
    assert len(parsed["runs"]["x"][SATURATION]) == 2


def test_orders_are_the_mix_and_reserve_first() -> None:
    placed = orders("run", 1, 200)
    assert kinds_of(placed) == {"plain": 180, "declined": 10, "out_of_stock": 10}
    assert {order.flow for order in placed} == {"order/1"}


def test_a_pace_places_each_once_and_none_early() -> None:
    times = iter(n / 10 for n in range(1000))  # each look at the clock takes 100 ms
    parts = list(due(7, 20, lambda: next(times)))
    assert [n for part in parts for n in range(part.start, part.stop)] == list(range(7))
    assert parts[0] == slice(0, 3)  # 100 ms at 20/s: two, and the first at once


class Cursor:
    """Answers statements by their first word; remembers them."""

    def __init__(self, answers: dict[str, list[tuple[Any, ...]]]) -> None:
        self._answers, self.seen = answers, list[str]()
        self.description: object = None

    def execute(self, statement: str, values: Sequence[Any]) -> None:
        self.seen.append(statement.split(" where ")[0].split(" (")[0])
        self.description = statement if statement.startswith("select") else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._answers.get(self.seen[-1], [])


def test_a_step_is_done_once_and_its_answer_kept() -> None:
    stock = {"select sku, on_hand from stock": [("TEA", 2)]}
    cursor = Cursor(stock)
    assert steps.run(cursor, steps.once("k", steps.reserve(ORDER))) == steps.RESERVED
    assert cursor.seen[-2:] == ["insert into reservation", "insert into done"]

    again = Cursor({"select answer from done": [(steps.RESERVED,)]})
    assert steps.run(again, steps.once("k", steps.reserve(ORDER))) == steps.RESERVED
    assert again.seen == ["select answer from done"]


def test_too_little_stock_takes_nothing() -> None:
    cursor = Cursor({"select sku, on_hand from stock": [("TEA", 1)]})
    assert steps.run(cursor, steps.reserve(ORDER)) == steps.REJECTED
    assert not [statement for statement in cursor.seen if statement.startswith("update stock")]


def test_a_declined_card_leaves_no_ledger_row() -> None:
    cursor = Cursor({})
    assert (
        steps.run(cursor, steps.charge({**ORDER, "card_token": "tok_declined"}))
        == "PaymentDeclined"
    )
    assert not cursor.seen


def test_a_service_leaves_alone_what_is_not_its_own() -> None:
    assert step_for("inventory", {"type": steps.CAPTURED, "order": ORDER}) is None
    assert step_for("shipping", {"type": steps.CAPTURED, "order": ORDER}) is not None


def test_parts_come_to_medians_by_name() -> None:
    a = [Part("a", rate, 10 * rate, 0.5) for rate in (1, 4, 2)]
    assert of_parts([a[0], Part("b", 5), *a[1:], Part("b", 7)]) == [a[2], Part("b", 6, 0)]
