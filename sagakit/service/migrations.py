"""Migrates the database in a short child process, so that the service does not keep Alembic.

Alembic takes 10 MB, and is needed once in the life of a process. The child is a fork: what it
shares with its parent is not loaded a second time. It ends with its parent, however that ends: the
kernel then closes the parent's end of a pipe, which a thread of the child reads.
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
MIGRATED, REFUSED = 10, 11
"""Exit statuses of the child: done, and after a ConfigurationError. A signal may end it with 0."""


class MigrationFailed(SagaError):
    """The child process ended without having migrated the database; its log says why."""


class MigrationChild:
    """Starts the child process. Create it before any thread is started: it forks.

    `scripts`: the folder of the application's revisions, see `store.migrate`.
    """

    def __init__(self, database_url: str, scripts: Path | None) -> None:
        parent, self._held = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            for number in SIGNALS:  # the parent hears them, and ends this process
                signal.signal(number, signal.SIG_IGN)
            os.close(self._held)
            threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
            os._exit(_migrated(database_url, scripts))
        os.close(parent)
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
        if code != MIGRATED:
            raise MigrationFailed(f"the migration ended with status {code}; its log says why")

    def end(self) -> None:
        """End the child if it still runs."""
        if not self._done:
            self._done = True
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


def _end_with(parent: int) -> None:
    """End this process once the other end of the pipe is closed: its parent has ended."""
    os.read(parent, 1)
    os._exit(1)


def _migrated(database_url: str, scripts: Path | None) -> int:
    """Migrate in the child; return its exit status."""
    from sagakit.recovery.unfinished import refuse_unfinished
    from sagakit.store.migrate import migrate  # in the child, which alone may load Alembic
    from sagakit.store.postgres import engine_for

    try:
        engine = engine_for(database_url)
        retry_transaction(lambda: refuse_unfinished(engine), threading.Event())
        retry_transaction(lambda: migrate(engine, scripts), threading.Event())
    except ConfigurationError as error:
        log.error("the database cannot be migrated", error=str(error))
        return REFUSED
    except BaseException as error:
        log.error("the database cannot be migrated", exc_info=error)
        return 1
    return MIGRATED
