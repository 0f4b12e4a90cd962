"""Detects whether a starting process makes progress, so that waiting needs no fixed deadline.

On a busy machine a start takes longer, but the process keeps demanding CPU time and logs new lines.
A process that is stuck does neither.
"""

import re
import time
from dataclasses import dataclass, field
from pathlib import Path

_BUSY_SHARE = 0.1
"""An idle service demands 2 % of a core; a starting one demands all it can get."""
_WINDOW_S = 5.0
_MOST_CPU_S = 180.0
"""A start costs some 3 s of CPU time, Kafka's 8 s: past this a process is spinning."""
_NEVER_TWICE = re.compile(rb"[0-9a-f]{8,}|\d+")


def cpu_s(pid: int) -> tuple[float, float]:
    """Return the seconds that the threads of a process ran, and that they waited for a core.

    Source: `/proc/<pid>/task/*/schedstat` (https://docs.kernel.org/scheduler/sched-stats.html).
    Both are 0 for a process that has ended.
    """
    ran_ns = waited_ns = 0
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            ran, waited, _ = (thread / "schedstat").read_text().split()
            ran_ns, waited_ns = ran_ns + int(ran), waited_ns + int(waited)
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ended meanwhile
    return ran_ns / 1e9, waited_ns / 1e9


@dataclass(slots=True)
class ProcessProgress:
    """Watches one process. `since`: when it last made progress, `time.monotonic` seconds."""

    log: Path
    since: float = field(default_factory=time.monotonic)
    _was: tuple[object, ...] = ()
    _read: int = 0
    _lines: set[bytes] = field(default_factory=set)
    _window: tuple[float, float] = (0.0, 0.0)
    _ran_before: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._read = self._log_size()

    def update(self, *state: object, pid: int | None) -> None:
        """Compare state, CPU time and log with the last call, and update `since` on progress."""
        now = time.monotonic()
        changed = self._was != (pid, *state)
        if changed:
            ran, waited = cpu_s(pid) if pid is not None else (0.0, 0.0)
            self._was, self._window = (pid, *state), (now, ran + waited)
            if pid is not None:
                self._ran_before.setdefault(pid, ran)
        if self._says_new_things() or self._is_busy(pid, now) or changed:
            self.since = now

    def spins(self, pid: int | None) -> bool:
        """Return True if it has used more CPU time since it was first seen than any start takes."""
        return pid is not None and cpu_s(pid)[0] - self._ran_before.get(pid, 0.0) > _MOST_CPU_S

    def _is_busy(self, pid: int | None, now: float) -> bool:
        began, before = self._window
        if pid is None or now - began < _WINDOW_S:
            return False
        wanted = sum(cpu_s(pid))
        self._window = now, wanted
        return wanted - before > _BUSY_SHARE * (now - began)

    def _says_new_things(self) -> bool:
        """Return True if the log has a line unlike all before, numbers and ids aside.

        Repeating the same complaint is no progress.
        """
        size = self._log_size()
        if size <= self._read:
            self._read = size  # rotated
            return False
        with self.log.open("rb") as file:
            file.seek(self._read)
            lines = file.read(size - self._read).splitlines()
        self._read = size
        shapes = {_NEVER_TWICE.sub(b"#", line) for line in lines}
        new = not shapes <= self._lines
        self._lines |= shapes
        return new

    def _log_size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0
