"""A monitor that has read a log, and the commands that are given beside it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from saga_monitor.replay.compare import fingerprint
from sagakit.kafka.inspector import LogEnds
from sagakit.store.postgres import engine_for
from schemas import CONTRACT
from tests.monitor import EventPublisher, MonitorProcess
from tests.stack import PATIENCE_S, TestInfra, until

SAGA = Path(sys.executable).with_name("saga")


@dataclass(frozen=True)
class Live:
    """A monitor that has read a log, its database, and the group that it reads in."""

    infra: TestInfra
    process: MonitorProcess
    database_url: str
    group: str
    publisher: EventPublisher

    def env(self) -> dict[str, str]:
        """The environment by which `saga` finds the monitor's log and database."""
        return {
            **os.environ,
            "SAGA_BOOTSTRAP_SERVERS": self.infra.bootstrap_servers,
            "SAGA_DATABASE_URL": self.database_url,
            "SAGA_CONTRACT": "schemas",
        }

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start `saga` with these words."""
        pipe = subprocess.PIPE
        return subprocess.Popen([SAGA, *words], env=self.env(), stdout=pipe, stderr=pipe, text=True)

    def saga(self, *words: str, status: int = 0) -> str:
        """What `saga` prints, and on stderr where it fails as expected."""
        process = self.start(*words)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == status, f"{out}\n{err}"
        return out + err if status else out

    def fingerprint(self, name: str) -> str:
        """The digest of a projection's rows."""
        engine = engine_for(self.database_url)
        try:
            with engine.connect() as connection:
                return fingerprint(connection, name)
        finally:
            engine.dispose()

    def execute(self, sql: str, *values: Any) -> None:
        """Change the database by hand."""
        with psycopg.connect(self.database_url) as connection:
            connection.execute(sql, values)

    def offsets(self, schema: str = "public") -> dict[tuple[str, int], int]:
        """How far a projection has read."""
        query = f'SELECT topic, partition, "offset" FROM {schema}.stream_offset'
        with psycopg.connect(self.database_url) as connection:
            return {(topic, p): at for topic, p, at in connection.execute(query).fetchall()}

    def until_read(self) -> None:
        """Wait until the monitor has read the log to its end."""
        topics = CONTRACT.topics
        ends = LogEnds(self.infra.bootstrap_servers).readable_ends(topics)
        wanted = {place: end for place, end in ends.items() if end}
        until(lambda: wanted.items() <= self.offsets().items(), "the log is read to its end")

    def diff(self, one: str, other: str, *more: str, status: int) -> Any:
        """The differences between two projections."""
        found = json.loads(self.saga("diff", one, other, "--format", "json", *more, status=status))
        assert found["equal"] == (status == 0)
        return found
