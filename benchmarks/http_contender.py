"""Runs the order saga as `saga up` does, with orders over HTTP and the fakes of the outside."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks import http_orders
from benchmarks.figures import Figures
from benchmarks.platform_contender import PlatformDeployment
from benchmarks.testbed import start_testbed
from saga_lab.workload import key_of
from shop.workload import ShopOrder

AT_ONCE, RATES = 300, (1, 10)
"""How many orders over HTTP are placed at once, and at which rates."""


@dataclass(frozen=True)
class OverHttp:
    """Contender `platform`, over HTTP and SMTP."""

    name: str = "platform"
    orders: int = AT_ONCE
    rates: Sequence[int] = RATES

    @contextmanager
    def deploy(self) -> Iterator["HttpDeployment"]:
        """See `Contender`."""
        with start_testbed(only=()) as testbed:
            yield HttpDeployment(testbed)


class HttpDeployment(PlatformDeployment):
    """The running stack, with its fakes."""

    def place(self, orders: Sequence[ShopOrder], rate: float | None = None) -> Figures:
        """See `Deployment` and `http_orders.measure`."""
        self._add_stock(orders)
        return http_orders.measure(
            self.testbed,
            orders,
            rate,
            reference=key_of,
            wait=lambda: self._wait(orders),
            ends=lambda: self._ends(orders),
        )
