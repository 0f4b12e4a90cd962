"""Runs the peers that have a driver: a client that places the orders and waits for their ends.

The driver is a program in the peers' environment. It is not counted, like the shop of every
contender. Kafka runs on their site as on all sites, but they do not use it, so it is not counted
either.
"""

import subprocess
from collections.abc import Mapping, Sequence

import orjson

from benchmarks.figures import Figures, quantiles_ms
from benchmarks.peers.books import Books
from benchmarks.peers.choreography import as_json
from benchmarks.peers.environment import python
from benchmarks.site import ROOT, Meter, Site
from saga_lab.workload import ShopOrder

SERVICES = ("inventory", "payment", "shipping", "notification")
DATABASE = "order"
"""The one database with all tables: the steps of one program need no more."""
IDLE = ("kafka",)
RUN_S = 900.0


def books(site: Site) -> Books:
    """Create the tables and return them."""
    made = Books(dict.fromkeys(SERVICES, site.database(DATABASE)))
    made.create()
    return made


class Driven:
    """The running workers. `driver`: the module in `apps` that gives them work."""

    def __init__(self, site: Site, books: Books, driver: str, env: Mapping[str, str]) -> None:
        self._site, self._books, self._driver, self._env = site, books, driver, dict(env)

    def place(self, orders: Sequence[ShopOrder], rate: float | None = None) -> Figures:
        """See `Deployment`."""
        self._books.stock(orders)
        asked = orjson.dumps({"orders": [as_json(order) for order in orders], "rate": rate})
        meter = Meter(self._site, IDLE)
        done = subprocess.run(
            (python(), "-m", f"benchmarks.peers.apps.{self._driver}"),
            cwd=ROOT,
            env=self._env,
            input=asked,
            capture_output=True,
            timeout=RUN_S,
        )
        if done.returncode:
            self._site.check_alive()
            raise ChildProcessError(done.stderr.decode(errors="replace")[-3000:])
        cpu, memory = meter.read(len(orders))
        output = orjson.loads(done.stdout)
        p50_ms, p99_ms = quantiles_ms(output["latencies_s"])
        ends = self._books.ends(orders)
        return Figures(len(orders), output["seconds"], p50_ms, p99_ms, cpu, memory, ends)
