"""Runs Temporal: its server on PostgreSQL, and Python workers that run the steps as activities."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.peers.driver_deployment import DATABASE, DriverDeployment, create_tables
from benchmarks.peers.environment import python
from benchmarks.peers.temporal_server import install, make_databases, write_config
from benchmarks.testbed import ROOT, start_testbed

WORKERS = 2
MAKE_S = 120.0


@dataclass(frozen=True)
class Temporal:
    """Contenders `temporal` and `temporal-local`. `local`: the steps are local activities."""

    name: str
    local: bool
    orders: int
    rates: Sequence[int] = (50,)

    @contextmanager
    def deploy(self) -> Iterator[DriverDeployment]:
        """See `Contender`."""
        interpreter, home = str(python()), install()
        with start_testbed() as testbed:
            tables = create_tables(testbed)
            url = testbed.database_for(DATABASE)
            make_databases(home, url)
            config, address = write_config(testbed.home, url)
            env = {
                "BENCH_DATABASE": url,
                "BENCH_TEMPORAL": address,
                "BENCH_LOCAL": str(int(self.local)),
            }
            server = str(home / "server")
            testbed.start("server", (server, "--config-file", str(config), "start"), {})
            driver = "benchmarks.peers.apps.temporal_driver"
            subprocess.run(
                (interpreter, "-m", driver, "namespace"),
                cwd=ROOT,
                env={**os.environ, **env},
                check=True,
                timeout=MAKE_S,
            )
            argv = (interpreter, "-m", "benchmarks.peers.apps.temporal_app")
            names = [f"worker-{number}" for number in range(1, WORKERS + 1)]
            testbed.wait({name: testbed.start(name, argv, env) for name in names})
            yield DriverDeployment(testbed, tables, "temporal_driver", {**os.environ, **env})
