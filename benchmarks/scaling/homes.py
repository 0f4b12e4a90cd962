"""Provides server homes whose databases hold many orders, waiting or finished, before a run."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from benchmarks.figures import WrongEnds
from benchmarks.instant import NO_PICKUP
from benchmarks.orders import RESERVE_FIRST, orders
from benchmarks.ours import MONITOR
from benchmarks.scaling.filling import Copied, Copies, fill
from benchmarks.scaling.runs import platform, settle
from benchmarks.site import servers
from saga_lab.workload import End, OrderKind, Shop, ShopOrder

TEMPLATES = 200
WAITING = (OrderKind("waiting", End.COMPLETED, "nobody picks it up", tags=NO_PICKUP),)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Level:
    """The orders in a home before a run: `count`, waiting for their pickup or in the history."""

    count: int = 0
    history: bool = False

    @property
    def name(self) -> str:
        """Return the name for tables and folders."""
        if not self.count:
            return "empty"
        return f"{self.count:,} {'finished' if self.history else 'in flight'}"


EMPTY = Level()


class Homes:
    """Holds one home per level below `folder`. `rows`: the rows copied into each level."""

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder, self._say = folder, say
        self._runs = Counter[Level]()
        self.rows: dict[str, Copied] = {}

    def of(self, level: Level) -> Path:
        """Return the home of a level; fill it at the first request."""
        home = self._folder / level.name.replace(" ", "-").replace(",", "")
        if not home.exists():
            home.mkdir(parents=True)
            if level.count:
                self._fill(home, level)
        return home

    def run(self, level: Level) -> int:
        """Return the number of the next run in this home."""
        self._runs[level] += 1
        return self._runs[level]

    def _fill(self, home: Path, level: Level) -> None:
        self._say(f"filling: {level.name}")
        placed = _templates(level)
        with platform(home).deployed() as running:
            if level.history:
                running.place(placed)
            else:
                running.publish(placed)
            settle(running.site)
            if not level.history:
                _check_waiting(running.site.database(MONITOR))
        ids = [order.order_id for order in placed]
        prefix = "history-" if level.history else "waiting-"
        with servers(home) as site:
            copied = fill(site, Copies(ids, level.count, prefix, level.history))
        self.rows[level.name] = copied
        rows = sum(sum(tables.values()) for tables in copied.values())
        self._say(f"filled: {rows:,} rows, {_bytes(home) / 1e9:.1f} GB")


def _bytes(home: Path) -> int:
    return sum(file.lstat().st_size for file in home.rglob("*") if file.is_file())


def _templates(level: Level) -> list[ShopOrder]:
    if level.history:
        return orders("template", 1, TEMPLATES)
    waiting = Shop("template", 1, WAITING).orders(TEMPLATES)
    return [replace(order, flow=RESERVE_FIRST) for order in waiting]


def _check_waiting(url: str) -> None:
    with psycopg.connect(url) as connection:
        found: dict[str, int] = dict(
            connection.execute("select status, count(*) from saga group by 1").fetchall()
        )
    if found != {"waiting": TEMPLATES}:
        raise WrongEnds(f"{TEMPLATES} orders were to wait for their pickup, there are {found}")
