"""Runs DBOS Transact: workflows in PostgreSQL, workers that poll a queue."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.peers.driver_deployment import DATABASE, DriverDeployment, create_tables
from benchmarks.peers.environment import python
from benchmarks.testbed import start_testbed

WORKERS = 2


class Dbos:
    """Contender `dbos`."""

    name = "dbos"
    orders = 3000
    rates = (50,)

    @contextmanager
    def deploy(self) -> Iterator[DriverDeployment]:
        """See `Contender`."""
        interpreter = str(python())
        with start_testbed() as testbed:
            tables = create_tables(testbed)
            env = {"BENCH_DATABASE": testbed.database_for(DATABASE)}
            for number in range(1, WORKERS + 1):
                name = f"worker-{number}"
                argv = (interpreter, "-m", "benchmarks.peers.apps.dbos_app", str(number))
                # One after the other: the first creates DBOS's tables.
                testbed.wait({name: testbed.start(name, argv, env)})
            yield DriverDeployment(testbed, tables, "dbos_driver", {**os.environ, **env})
