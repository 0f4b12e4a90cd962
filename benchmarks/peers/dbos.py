"""Runs DBOS Transact: workflows in PostgreSQL, workers that poll a queue."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.peers.driven import DATABASE, Driven, books
from benchmarks.peers.environment import python
from benchmarks.site import servers

WORKERS = 2


class Dbos:
    """Contender `dbos`."""

    name = "dbos"
    orders = 3000

    @contextmanager
    def deployed(self) -> Iterator[Driven]:
        """See `Contender`."""
        interpreter = str(python())
        with servers() as site:
            tables = books(site)
            env = {"BENCH_DATABASE": site.database(DATABASE)}
            for number in range(1, WORKERS + 1):
                name = f"worker-{number}"
                argv = (interpreter, "-m", "benchmarks.peers.apps.dbos_app", str(number))
                # One after the other: the first creates DBOS's tables.
                site.wait({name: site.start(name, argv, env)})
            yield Driven(site, tables, "dbos_driver", {**os.environ, **env})
