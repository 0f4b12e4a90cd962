"""Measures the CPU seconds and memory of processes, read from /proc."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return the ids of a process and of all its descendants."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(_stat(int(folder.name))[1])
        except OSError:
            continue  # the process has ended
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def cpu_s(roots: Mapping[str, int]) -> Counter[str]:
    """Return name -> CPU seconds, user and system.

    Included are the descendants of each process, and its children that have ended.
    """
    found = Counter[str]()
    for name, root in roots.items():
        for pid in family(root):
            try:
                stat = _stat(pid)
            except OSError:
                continue
            found[name] += sum(int(stat[i]) for i in (11, 12, 13, 14)) * _TICK_S  # type: ignore[assignment]
    return found


def memory_mb(roots: Mapping[str, int]) -> dict[str, float]:
    """Return name -> memory in MiB. Processes that share a page share its size."""
    return {name: sum(_share_mb(pid) for pid in family(root)) for name, root in roots.items()}


def _share_mb(pid: int) -> float:
    """Return the proportional set size in MiB, see proc(5). In a sum, shared buffers count once."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0  # the process has ended
    (kb,) = (int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kb / 1024


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third (state) on, see proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
