"""Runs the choreographies among the peers over HTTP, with the fakes of the outside world.

Orders come to an order API of their own. The services make the same calls as the platform's. An
order has ended as in `choreography`: when its last event can be read.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks import http_orders
from benchmarks.counting.proxy import HOST
from benchmarks.figures import Figures
from benchmarks.http_contender import AT_ONCE, RATES
from benchmarks.peers.choreography import SERVICES, LatencyReader, start_services
from benchmarks.peers.tables import PeerTables
from benchmarks.testbed import Testbed, start_testbed
from shop.workload import ShopOrder

ORDER_API = "order"


@dataclass(frozen=True)
class HttpChoreography:
    """A contender over HTTP. `program`: the module in `apps` that runs a service."""

    name: str
    program: str
    orders: int = AT_ONCE
    rates: Sequence[int] = RATES

    @contextmanager
    def deploy(self) -> Iterator["HttpChoreographyDeployment"]:
        """See `Contender`."""
        with start_testbed(only=("infra", "world")) as testbed:
            names = (ORDER_API, *SERVICES)
            tables = PeerTables({name: testbed.database(name) for name in names})
            tables.create()
            start_services(testbed, self.program, names, _outside_of(testbed))
            yield HttpChoreographyDeployment(testbed, tables)


class HttpChoreographyDeployment:
    """The running order API and services of a choreography, and the fakes."""

    def __init__(self, testbed: Testbed, tables: PeerTables) -> None:
        self.testbed, self._tables = testbed, tables

    def place(self, orders: Sequence[ShopOrder], rate: float | None = None) -> Figures:
        """See `Deployment` and `http_orders.measure`."""
        self._tables.stock(orders)
        wanted = {order.order_id for order in orders}
        with LatencyReader(self.testbed) as reader:
            return http_orders.measure(
                self.testbed,
                orders,
                rate,
                reference=lambda order: order.order_id,
                wait=lambda: reader.latencies_s(wanted),
                ends=lambda: self._tables.ends(orders),
            )


def _outside_of(testbed: Testbed) -> dict[str, str]:
    """Return where the services reach the fakes of the outside world."""
    return {
        "BENCH_PROVIDER": testbed.url("provider"),
        "BENCH_CARRIER": testbed.url("carrier"),
        "BENCH_CARRIER_SECRET": testbed.secret("carrier"),
        "BENCH_SMTP": f"{HOST}:{testbed.port('smtp')}",
    }
