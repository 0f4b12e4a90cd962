"""In which order a run places sagas, and when it gives up."""

import json
import threading
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from saga_lab.workload import Entrance
from saga_lab.workload.run import WorkloadRun
from schemas import CONTRACT
from shop.workload import KINDS, WORKLOAD, Shop, ShopOrder

STACK = {
    "bootstrap_servers": "127.0.0.1:1",
    "urls": {name: f"http://{name}" for name in ("monitor", "order", "inventory")},
}


class World:
    """Order API, inventory and monitor in memory. `ends`: whether a placed order ever ends;
    `done`: what was asked, in order."""

    def __init__(self, *, ends: bool, moves: bool = False) -> None:
        self.ends, self.moves = ends, moves
        self.done: list[str] = []
        self.placed: list[str] = []
        self.looks = 0

    def near(self) -> None:
        self.done.append("near")

    def far(self) -> None:
        self.done.append("far")

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST" and request.url.host == "order":
            order_id = json.loads(request.content)["order_id"]
            self.placed.append(order_id)
            self.done.append(order_id.rpartition("-")[2])
            return httpx2.Response(201, json={})
        if request.url.host != "monitor":
            return httpx2.Response(200, json={})
        if request.url.path == "/sagas":
            self.looks += 1
            count = self.looks if self.moves else 0
            rows = [
                {"saga": f"order/{o}", "updated_at": count} for o in self.placed if not self.ends
            ]
            return httpx2.Response(200, json=rows)
        status = "cancelled" if self.ends else "running"
        money = [{"name": "money", "kind": "EUR", "added": 1, "removed": 1, "held": 0}]
        seen = {"status": status, "balances": money, "started_at": None, "ended_at": None}
        return httpx2.Response(200, json=seen)


def orders(*kinds: str) -> list[ShopOrder]:
    """One of each, by HTTP."""
    shop = {kind.name: Shop("t", kinds=[kind]) for kind in KINDS}
    found = (replace(shop[name].order(0), entrance=Entrance.HTTP) for name in kinds)
    return [replace(o, order_id=f"t-{o.kind.name}") for o in found]


def play(
    world: World, monkeypatch: pytest.MonkeyPatch, *kinds: str, standstill_s: float = 30.0
) -> list[str]:
    """The ends of these orders in that world."""
    client = httpx2.AsyncClient
    monkeypatch.setattr(
        "saga_lab.workload.run.httpx2.AsyncClient",
        lambda **options: client(transport=httpx2.MockTransport(world.answer)),
    )
    deadlines: Any = world
    run = WorkloadRun(
        STACK, WORKLOAD, CONTRACT, orders(*kinds), deadlines=deadlines, standstill_s=standstill_s
    )
    return [outcome.end for outcome in run.run()]


def test_orders_that_time_out_come_first_and_the_others_when_these_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(ends=True)
    assert set(play(world, monkeypatch, "plain", "no_pickup", "declined")) == {"cancelled"}
    assert world.done[:3] == ["near", "no_pickup", "far"]
    assert set(world.done[3:]) == {"plain", "declined"}


def test_a_trade_in_which_nothing_moves_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert play(World(ends=False), monkeypatch, "plain", standstill_s=1.5) == ["still running"]


def test_a_trade_goes_on_as_long_as_an_order_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(ends=False, moves=True)
    end = threading.Timer(4.0, lambda: setattr(world, "ends", True))
    end.start()
    assert play(world, monkeypatch, "declined", standstill_s=1.5) == ["cancelled"]
    end.join()
