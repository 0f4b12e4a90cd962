"""Probes: is this process ready to serve?

A probe returns None when it is, and otherwise the reason why not, for people to read.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg

from sandbox.stack.errors import StackError

Probe = Callable[[], str | None]

_PROBE_TIMEOUT_S = 2.0
_POLL_S = 0.1
_EXITS_TO_GIVE_UP = 3
_LOG_TAIL_LINES = 20


@dataclass(frozen=True)
class ProcessInfo:
    """What the supervisor says of one process. `pid` is None while it is not running."""

    name: str
    state: str
    pid: int | None
    log: Path
    detail: str

    @property
    def running(self) -> bool:
        return self.state == "RUNNING"


def http_ready(url: str) -> Probe:
    """Ready when GET `url` answers 200."""

    def probe() -> str | None:
        try:
            status = httpx.get(url, timeout=_PROBE_TIMEOUT_S, trust_env=False).status_code
        except httpx.HTTPError as error:
            return f"GET {url}: {error}"
        return None if status == 200 else f"GET {url} answers {status}"

    return probe


def postgres_ready(url: str) -> Probe:
    """Ready when a connection can be opened."""

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
    deadline: float,
) -> None:
    """Wait until every probe is content.

    `deadline` is in `time.monotonic` seconds; `processes` tells what the supervisor knows.
    Raises `StackError` past the deadline, or early for a process that keeps exiting, with the
    process, the probe's reason and the end of its log.
    """
    waiting = dict(probes)
    pids: defaultdict[str, set[int]] = defaultdict(set)
    while waiting:
        infos = processes()
        for name, probe in list(waiting.items()):
            reason = probe()
            if reason is None:
                del waiting[name]
                continue
            info = infos.get(name)
            if info is not None and info.pid is not None:
                pids[name].add(info.pid)
            if len(pids[name]) > _EXITS_TO_GIVE_UP:
                raise StackError(_not_ready(name, "it keeps exiting", info))
            if time.monotonic() > deadline:
                raise StackError(_not_ready(name, f"out of time, {reason}", info))
        if waiting:
            time.sleep(_POLL_S)


def _not_ready(name: str, reason: str, info: ProcessInfo | None) -> str:
    if info is None:
        return f"{name} did not become ready: {reason}"
    lines = info.log.read_text(errors="replace").splitlines() if info.log.exists() else []
    tail = "\n".join(f"    {line}" for line in lines[-_LOG_TAIL_LINES:])
    return (
        f"{name} did not become ready: {reason} (supervisor: {info.state} {info.detail})\n"
        f"The end of its log, {info.log}:\n{tail}"
    )
