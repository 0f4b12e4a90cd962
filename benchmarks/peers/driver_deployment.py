"""Runs the peers that have a driver: a client that places the orders and waits for their ends.

The driver is a program in the peers' environment. Like the shop of every contender, it does not
count. Every testbed has Kafka. These peers do not use it, so it does not count either.
"""

import subprocess
from collections.abc import Mapping, Sequence

import orjson

from benchmarks.figures import Figures, quantiles_ms
from benchmarks.peers.choreography import as_json
from benchmarks.peers.environment import python
from benchmarks.peers.tables import PeerTables
from benchmarks.testbed import ROOT, Meter, Testbed
from shop.workload import ShopOrder

SERVICES = ("inventory", "payment", "shipping", "notification")
DATABASE = "order"
"""The one database with all tables. The steps of one program need no more."""
IDLE = ("kafka",)
RUN_S = 900.0


def create_tables(testbed: Testbed) -> PeerTables:
    """Create the peers' tables in one database and return them."""
    tables = PeerTables(dict.fromkeys(SERVICES, testbed.database(DATABASE)))
    tables.create()
    return tables


class DriverDeployment:
    """The running workers. `driver`: the module in `apps` that gives them work."""

    def __init__(
        self, testbed: Testbed, tables: PeerTables, driver: str, env: Mapping[str, str]
    ) -> None:
        self.testbed, self._tables, self._driver, self._env = testbed, tables, driver, dict(env)

    def place(self, orders: Sequence[ShopOrder], rate: float | None = None) -> Figures:
        """See `Deployment`."""
        self._tables.stock(orders)
        request = orjson.dumps({"orders": [as_json(order) for order in orders], "rate": rate})
        meter = Meter(self.testbed, IDLE)
        done = subprocess.run(
            (python(), "-m", f"benchmarks.peers.apps.{self._driver}"),
            cwd=ROOT,
            env=self._env,
            input=request,
            capture_output=True,
            timeout=RUN_S,
        )
        if done.returncode:
            self.testbed.check_alive()
            raise ChildProcessError(done.stderr.decode(errors="replace")[-3000:])
        cpu, memory = meter.read(len(orders))
        output = orjson.loads(done.stdout)
        p50_ms, p99_ms = quantiles_ms(output["latencies_s"])
        ends = self._tables.ends(orders)
        return Figures(len(orders), output["seconds"], p50_ms, p99_ms, cpu, memory, ends)
