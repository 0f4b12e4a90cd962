"""What processes cost: CPU seconds and memory, read from /proc."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(_stat(int(folder.name))[1])
        except OSError:
            continue  # gone meanwhile
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def cpu_s(roots: Mapping[str, int]) -> Counter[str]:
    """Name -> CPU seconds, user and system, of a process, its children, and those that ended."""
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
    """Name -> memory in MiB; a page that several processes share counts in parts in each."""
    return {name: sum(_share_mb(pid) for pid in family(root)) for name, root in roots.items()}


def _share_mb(pid: int) -> float:
    """The proportional set size, see proc(5): summed up, shared buffers count once."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0  # gone meanwhile
    (kb,) = (int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kb / 1024


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on, see proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
