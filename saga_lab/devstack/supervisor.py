"""Controls supervisord, which is started once per stack and reached over its own socket.

It outlives the command that started it, restarts processes that die, and keeps a rotated log of
each process.
"""

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from supervisor.xmlrpc import SupervisorTransport

from saga_lab.devstack.errors import StackError
from saga_lab.devstack.jars import cache_dir
from saga_lab.devstack.private_files import write_private
from saga_lab.devstack.processes import ProcessSpec
from saga_lab.devstack.readiness import ProcessInfo

# Every process of a stack has this environment variable, which identifies processes that outlived
# their supervisor.
HOME_MARK = "SAGA_STACK_HOME"

_SOCKET_PATH_MAX = 90  # the kernel allows 107 bytes; supervisord adds its pid to the name
_START_TIMEOUT_S = 120
_STOP_GRACE_S = 10
_POLL_S = 0.05
_IDLE_STATES = frozenset({"STOPPED", "FATAL"})
"""EXITED is not among them: supervisord restarts such a process."""


class Supervisor:
    """One supervisord, identified by the stack's home directory."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._logs = home / "logs"
        self._config = home / "supervisord.conf"
        self._socket = home / "supervisor.sock"
        if len(os.fsencode(self._socket)) > _SOCKET_PATH_MAX:
            digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
            self._socket = Path(tempfile.gettempdir(), f"saga-{os.getuid()}-{digest}.sock")

    def running(self) -> bool:
        """Return True if the supervisor answers."""
        try:
            self._call("getState")
        except (OSError, xmlrpc.client.Error):
            return False
        return True

    def start(self) -> None:
        """Start supervisord without processes, which `update` adds. Raises `StackError`."""
        self._logs.mkdir(parents=True, exist_ok=True)
        write_private(self._config, _config(self._socket, self._logs, self._home, ()))
        command = [
            sys.executable,
            "-m",
            "supervisor.supervisord",
            "-c",
            str(self._config),
        ]
        log = self._logs / "supervisord.log"
        env = {**os.environ, HOME_MARK: str(self._home)}
        if env.pop("PYTHONDONTWRITEBYTECODE", None):
            # Compiling all modules at each start would double the CPU time of every process.
            env["PYTHONPYCACHEPREFIX"] = str(cache_dir() / "bytecode")
        started = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while started.returncode == 0 and time.monotonic() < deadline:
            if self.running():
                return
            time.sleep(_POLL_S)
        reason = started.stderr.strip() or started.stdout.strip() or "it does not answer"
        raise StackError(f"the supervisor did not start: {reason}. Its log: {log}")

    def update(self, processes: Iterable[ProcessSpec], *, remove_others: bool) -> list[str]:
        """Make these the supervised processes; return the names of new and changed ones.

        A changed process (another command, environment or port) is stopped here. Processes not
        named are stopped and removed with `remove_others`, else left as they are.
        """
        write_private(self._config, _config(self._socket, self._logs, self._home, processes))
        ((added, changed, removed),) = cast(
            list[tuple[list[str], list[str], list[str]]], self._call("reloadConfig")
        )
        self.remove([*changed, *(removed if remove_others else ())])
        for name in (*added, *changed):
            self._call("addProcessGroup", name)
        return [*added, *changed]

    def remove(self, names: Sequence[str]) -> None:
        """Stop these processes and remove them from supervision."""
        self.stop(names)
        for name in names:
            self._call("removeProcessGroup", name)

    def start_processes(self, names: Iterable[str]) -> list[str]:
        """Start those that are not running, without waiting; return the names started."""
        idle = self.idle(names)
        for name in idle:
            self._call("startProcess", name, False)
        return idle

    def idle(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` that are not running."""
        active = self._active()
        return [name for name in names if name not in active]

    def stop(self, names: Iterable[str]) -> None:
        """Stop these processes side by side, and wait until they are stopped.

        Each gets its stop signal and, after its `stop_wait_s`, KILL; so the wait is bounded.
        """
        wanted = set(names)
        asked = set[str]()
        while waiting := self._active() & wanted:
            for name in waiting - asked:
                try:
                    self._call("stopProcess", name, False)
                except xmlrpc.client.Fault as fault:
                    if fault.faultString != f"NOT_RUNNING: {name}":
                        raise
                else:
                    asked.add(name)
            time.sleep(_POLL_S)

    def signal(self, name: str, number: signal.Signals) -> int | None:
        """Send a signal to a process (after KILL the supervisor restarts it).

        Returns its pid, or None if it was not running: the supervisor is about to restart it.
        """
        pid = self.processes()[name].pid
        if pid is None:
            return None
        try:
            self._call("signalProcess", name, number.name.removeprefix("SIG"))
        except xmlrpc.client.Fault:
            return None
        return pid

    def processes(self) -> dict[str, ProcessInfo]:
        """Return every supervised process by name."""
        rows = cast(list[dict[str, Any]], self._call("getAllProcessInfo"))
        return {
            row["name"]: ProcessInfo(
                name=row["name"],
                state=row["statename"],
                pid=row["pid"] or None,
                log=Path(row["stdout_logfile"]),
                detail=row["spawnerr"] or row["description"],
            )
            for row in rows
        }

    def _active(self) -> set[str]:
        return {name for name, info in self.processes().items() if info.state not in _IDLE_STATES}

    def shutdown(self) -> None:
        """Shut down the supervisor and every process it still runs."""
        pid = int(cast(int, self._call("getPID")))
        self._call("shutdown")
        wait_gone([pid], timeout_s=120)

    def _call(self, method: str, *arguments: object) -> object:
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        finally:
            transport.close()


def survivors(home: Path) -> list[int]:
    """Return the ids of processes that a dead supervisor of this home left running."""
    mark = f"{HOME_MARK}={home}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except (PermissionError, FileNotFoundError, ProcessLookupError):
            continue  # belongs to another user, or ended meanwhile
    return found


def end_survivors(home: Path) -> None:
    """Stop the processes that a dead supervisor of this home left running. Raises `StackError`."""
    pids = survivors(home)
    for sent in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            _send(pid, sent)
        pids = wait_gone(pids, timeout_s=_STOP_GRACE_S)
    if pids:
        raise StackError(f"processes {pids} of an earlier stack in {home} cannot be stopped")


def wait_gone(pids: Iterable[int], timeout_s: float) -> list[int]:
    """Wait until none of these processes runs; return those that still do after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    left = [pid for pid in pids if _alive(pid)]
    while left and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        left = [pid for pid in left if _alive(pid)]
    return left


def _alive(pid: int) -> bool:
    try:
        # A zombie no longer runs: its parent has yet to read the exit status. But as long as other
        # threads of it are left, they hold its ports.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" or len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _config(socket: Path, logs: Path, home: Path, processes: Iterable[ProcessSpec]) -> str:
    head = f"""\
[unix_http_server]
file={_escaped(socket)}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisord]
logfile={_escaped(logs / "supervisord.log")}
logfile_maxbytes=10MB
logfile_backups=2
pidfile={_escaped(home / "supervisord.pid")}
childlogdir={_escaped(logs)}
directory={_escaped(home)}
umask=077
{"user=root" if os.getuid() == 0 else ""}
"""
    return "\n".join((head, *(_program(process, logs) for process in processes)))


def _program(process: ProcessSpec, logs: Path) -> str:
    # Restarts are practically unlimited: a stack left alone overnight must still be retrying.
    return f"""\
[program:{process.name}]
command={" ".join(_quoted(word) for word in process.command)}
environment={_environment(process.env)}
autostart=false
autorestart=true
startretries=1000000
startsecs=1
stopsignal={process.stop_signal}
stopwaitsecs={process.stop_wait_s}
killasgroup=true
redirect_stderr=true
stdout_logfile={_escaped(logs / f"{process.name}.log")}
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=2
"""


def _environment(values: Mapping[str, str]) -> str:
    return ",".join(f"{name}={_quoted(value)}" for name, value in values.items())


def _quoted(value: str) -> str:
    """Quote a value with the kind of quote it does not contain: supervisord has no escape for it.

    Raises `StackError`.
    """
    mark = "'" if '"' in value else '"'
    if mark in value or "\n" in value or "\\" in value:
        raise StackError(
            f"{value!r} cannot be given to a process: it has both kinds of quotes, a backslash or "
            "a line break. Use a path or value without them."
        )
    return f"{mark}{_escaped(value)}{mark}"


def _escaped(value: object) -> str:
    text = str(value)
    if " ;" in text or " #" in text:
        raise StackError(f"{text!r} cannot be used: ' ;' and ' #' begin a comment. Rename it.")
    return text.replace("%", "%%")
