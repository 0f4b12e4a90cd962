"""Migrates the database in a short child process, so that the service does not keep Alembic.

Alembic takes 10 MB, and is needed once in the life of a process. The child is a fork: what it
shares with its parent is not loaded a second time.
"""

import os
import signal
import threading
from pathlib import Path

import structlog

from sagakit.errors import ConfigurationError, SagaError
from sagakit.retry import retry_transaction
from sagakit.service.lifecycle import SIGNALS
from sagakit.stop_signal import StopSignal

log = structlog.get_logger(__name__)
POLL_S = 0.02
REFUSED = 2
"""Exit status of the child after a ConfigurationError."""


class MigrationFailed(SagaError):
    """The child process ended without having migrated the database; its log says why."""


class _Orphaned(threading.Event):
    """Is set once the parent has ended: then nobody waits for the migration."""

    def __init__(self) -> None:
        super().__init__()
        self._parent = os.getppid()

    def is_set(self) -> bool:
        """Return True if the parent has ended."""
        return os.getppid() != self._parent


class MigrationChild:
    """Starts the child process. Create it before any thread is started: it forks.

    `scripts`: the folder of the application's revisions, see `store.migrate`.
    """

    def __init__(self, database_url: str, scripts: Path | None) -> None:
        self._pid = os.fork()
        if self._pid == 0:
            os._exit(_migrated(database_url, scripts))
        self._done = False

    def wait(self, stop: StopSignal) -> None:
        """Wait until the database is migrated. Raises MigrationFailed and ConfigurationError.

        Once `stop` is set the child is ended: PostgreSQL rolls back what it had begun.
        """
        while True:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                break
            if stop.wait(POLL_S):
                self.end()
                return
        self._done = True
        if (code := os.waitstatus_to_exitcode(status)) == REFUSED:
            raise ConfigurationError("the database cannot be migrated; the log says why")
        if code:
            raise MigrationFailed(f"the migration ended with status {code}; its log says why")

    def end(self) -> None:
        """End the child if it still runs."""
        if not self._done:
            self._done = True
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


def _migrated(database_url: str, scripts: Path | None) -> int:
    """Migrate in the child; return its exit status."""
    from sagakit.store.migrate import migrate  # in the child, which alone may load Alembic
    from sagakit.store.postgres import engine_for

    for number in SIGNALS:  # the parent hears them, and ends this process
        signal.signal(number, signal.SIG_IGN)
    try:
        engine = engine_for(database_url)
        retry_transaction(lambda: migrate(engine, scripts), _Orphaned())
    except ConfigurationError as error:
        log.error("the database cannot be migrated", error=str(error))
        return REFUSED
    except BaseException as error:
        log.error("the database cannot be migrated", exc_info=error)
        return 1
    return 0
