"""Provides server homes whose databases hold many orders before a run."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from benchmarks.figures import WrongEnds
from benchmarks.instant_service import NO_PICKUP
from benchmarks.orders import RESERVE_FIRST, orders
from benchmarks.platform_contender import MONITOR
from benchmarks.scaling.order_copies import Copied, Copies, fill
from benchmarks.scaling.runs import platform_at, settle
from benchmarks.testbed import start_testbed
from saga_lab.workload import End
from shop.workload import OrderKind, Shop, ShopOrder

TEMPLATES = 200
WAITING = (OrderKind("waiting", End.COMPLETED, "nobody picks it up", tags=NO_PICKUP),)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Prefill:
    """Describes the orders in a home before a run: `count`, in flight or in the history.

    An order in flight waits for its pickup.
    """

    count: int = 0
    history: bool = False

    @property
    def name(self) -> str:
        """Return the name for tables and folders."""
        if not self.count:
            return "empty"
        return f"{self.count:,} {'finished' if self.history else 'in flight'}"


EMPTY = Prefill()


class PrefilledHomes:
    """Holds one home per prefill below `folder`. `rows`: the copied rows of each home."""

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder, self._say = folder, say
        self._runs = Counter[Prefill]()
        self.rows: dict[str, Copied] = {}

    def of(self, prefill: Prefill) -> Path:
        """Return the home of a prefill; fill it at the first request."""
        home = self._folder / prefill.name.replace(" ", "-").replace(",", "")
        if not home.exists():
            home.mkdir(parents=True)
            if prefill.count:
                self._fill(home, prefill)
        return home

    def run(self, prefill: Prefill) -> int:
        """Return the number of the next run in this home."""
        self._runs[prefill] += 1
        return self._runs[prefill]

    def _fill(self, home: Path, prefill: Prefill) -> None:
        self._say(f"filling: {prefill.name}")
        placed = _templates(prefill)
        with platform_at(home).deploy() as running:
            if prefill.history:
                running.place(placed)
            else:
                running.publish(placed)
            settle(running.testbed)
            if not prefill.history:
                _check_waiting(running.testbed.database(MONITOR))
        ids = [order.order_id for order in placed]
        prefix = "history-" if prefill.history else "waiting-"
        with start_testbed(home) as testbed:
            copied = fill(testbed, Copies(ids, prefill.count, prefix, prefill.history))
        self.rows[prefill.name] = copied
        rows = sum(sum(tables.values()) for tables in copied.values())
        self._say(f"filled: {rows:,} rows, {_bytes(home) / 1e9:.1f} GB")


def _bytes(home: Path) -> int:
    return sum(file.lstat().st_size for file in home.rglob("*") if file.is_file())


def _templates(prefill: Prefill) -> list[ShopOrder]:
    if prefill.history:
        return orders("template", 1, TEMPLATES)
    waiting = Shop("template", 1, WAITING).orders(TEMPLATES)
    return [replace(order, flow=RESERVE_FIRST) for order in waiting]


def _check_waiting(url: str) -> None:
    with psycopg.connect(url) as connection:
        found: dict[str, int] = dict(
            connection.execute("select status, count(*) from saga group by 1").fetchall()
        )
    if found != {"waiting": TEMPLATES}:
        raise WrongEnds(f"{TEMPLATES} orders must wait for their pickup, the monitor has {found}")
