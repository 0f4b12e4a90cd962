"""Probes processes for readiness, and waits until all are ready.

A probe returns None when the process is ready, and otherwise the reason why not, as text.
"""

import http.client
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from saga_lab.devstack.errors import StackError
from saga_lab.devstack.progress import ProcessProgress

Probe = Callable[[], str | None]

STANDSTILL_S = 60.0
"""Seconds without progress after which a process is given up. A client that cannot reach its server
is silent for up to 30 s."""
_PROBE_TIMEOUT_S = 2.0
_POLL_S = 0.1
_LOOK_S = 0.5
"""How often the supervisor is asked: its answer takes 10 ms of CPU time, more than most probes."""
_EXITS_TO_GIVE_UP = 3
_EXIT_STATES = frozenset({"BACKOFF", "EXITED"})
_LOG_TAIL_LINES = 20


@dataclass(frozen=True)
class ProcessInfo:
    """One process as the supervisor reports it. `pid` is None while it is not running."""

    name: str
    state: str
    pid: int | None
    log: Path
    detail: str

    @property
    def running(self) -> bool:
        return self.state == "RUNNING"


def http_ready(url: str) -> Probe:
    """Return a probe that is ready when GET `url` answers 200.

    It uses the cheapest client, `http.client`: it polls ten times a second while starting processes
    need the cores.
    """
    parts = urlsplit(url)

    def probe() -> str | None:
        connection = http.client.HTTPConnection(parts.netloc, timeout=_PROBE_TIMEOUT_S)
        try:
            connection.request("GET", parts.path)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return f"GET {url}: {error}"
        finally:
            connection.close()
        return None if status == 200 else f"GET {url} answers {status}"

    return probe


def postgres_ready(url: str) -> Probe:
    """Return a probe that is ready when a connection can be opened."""

    def probe() -> str | None:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError as error:
            return str(error).strip()
        return None

    return probe


def await_ready(
    probes: Mapping[str, Probe],
    processes: Callable[[], Mapping[str, ProcessInfo]],
    start: Callable[[str], None] = lambda name: None,
    *,
    at_once: int | None = None,
    standstill_s: float = STANDSTILL_S,
) -> None:
    """Start each process and wait until every probe is ready.

    `processes` returns what the supervisor reports. At most `at_once` processes start side by side
    (None: all of them), in the order of `probes`. There is no deadline: it waits as long as each
    process makes progress. Raises `StackError`, with the probe's reason and the end of the log, for
    a process that makes none for `standstill_s` seconds, that keeps exiting, or that spins.
    """
    to_start = deque(probes)
    waiting: dict[str, _Waiting] = {}
    infos: Mapping[str, ProcessInfo] = {}
    asked_at = -math.inf
    while to_start or waiting:
        while to_start and (at_once is None or len(waiting) < at_once):
            name = to_start.popleft()
            start(name)
            waiting[name] = _Waiting(name, probes[name])
        if time.monotonic() - asked_at >= _LOOK_S:
            infos, asked_at = processes(), time.monotonic()
        for name, one in list(waiting.items()):
            if one.is_ready(infos.get(name), standstill_s):
                del waiting[name]
        if waiting:
            time.sleep(_POLL_S)


class _Waiting:
    """A process that is not ready yet, with the progress it has made."""

    def __init__(self, name: str, probe: Probe) -> None:
        self._name, self._probe = name, probe
        self._pids: set[int] = set()
        self._state, self._exits = "", 0
        self._progress: ProcessProgress | None = None
        self._began = time.monotonic()

    def is_ready(self, info: ProcessInfo | None, standstill_s: float) -> bool:
        """Run the probe. Raises StackError when further waiting is useless."""
        reason = self._probe()
        if reason is None:
            return True
        # An unsupervised server cannot be watched: count from the first probe.
        moved_at = self._began if info is None else self._moved_at(info)
        if time.monotonic() - moved_at > standstill_s:
            reason = f"nothing of it has moved for {standstill_s:g} s, {reason}"
            raise StackError(_not_ready(self._name, reason, info))
        return False

    def _moved_at(self, info: ProcessInfo) -> float:
        if info.pid is not None:
            self._pids.add(info.pid)
        if info.state != self._state:
            self._state = info.state
            self._exits += info.state in _EXIT_STATES
        if max(len(self._pids), self._exits) > _EXITS_TO_GIVE_UP:
            raise StackError(_not_ready(self._name, "it keeps exiting", info))
        if self._progress is None:
            self._progress = ProcessProgress(info.log)
        self._progress.update(info.state, pid=info.pid)
        if self._progress.spins(info.pid):
            raise StackError(_not_ready(self._name, "it uses the processor without end", info))
        return self._progress.since


def _not_ready(name: str, reason: str, info: ProcessInfo | None) -> str:
    if info is None:
        return f"{name} did not become ready: {reason}"
    lines = info.log.read_text(errors="replace").splitlines() if info.log.exists() else []
    tail = "\n".join(f"    {line}" for line in lines[-_LOG_TAIL_LINES:])
    return (
        f"{name} did not become ready: {reason} (supervisor: {info.state} {info.detail})\n"
        f"The end of its log, {info.log}:\n{tail}"
    )
