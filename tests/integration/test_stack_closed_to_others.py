"""Other users of the machine reach nothing of an embedded stack: files, databases, capabilities."""

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from saga_lab.devstack.ports import free_port
from saga_lab.devstack.postgres import create_databases, database_url, postgres_process, reachable
from saga_lab.devstack.roles import role_of, role_password, server_password
from tests.stack import PATIENCE_S, TestInfra, until

OTHERS = stat.S_IRWXG | stat.S_IRWXO
PASSWORD = "0123456789abcdef"


def test_no_file_of_a_home_is_for_others(infra: TestInfra) -> None:
    home = infra.stack.home
    # Only root's home is passed through, by the user that PostgreSQL runs as; nobody lists it
    passed = stat.S_IXGRP | stat.S_IXOTH if os.geteuid() == 0 else 0
    for folder in (home, home / "data"):
        assert folder.stat().st_mode & OTHERS == passed
    secret = [home / "stack.json", home / "supervisord.conf", home / "data" / "postgres.password"]
    for path in (*secret, home / "logs", home / "data" / "postgres"):
        assert path.stat().st_mode & OTHERS == 0, path


def test_the_password_is_drawn_once_and_an_old_server_has_none(tmp_path: Path) -> None:
    file = tmp_path / "data" / "password"
    assert server_password(file, new=False) is None
    drawn = server_password(file, new=True)
    assert drawn is not None
    assert len(drawn) >= 32
    assert (server_password(file, new=False), file.stat().st_mode & 0o777) == (drawn, 0o600)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[int, int]]:
    """A server in a home that everybody may pass through, with a database; its port and pid."""
    with tempfile.TemporaryDirectory(prefix="saga-test-", dir="/var/tmp") as home:
        Path(home).chmod(0o711)
        port = free_port()
        process = postgres_process(Path(home) / "data", port, PASSWORD)
        with subprocess.Popen(process.command, cwd="/", stderr=subprocess.DEVNULL) as child:
            try:
                until(lambda: process.ready() is None, "PostgreSQL ready")
                create_databases(admin(port), ["saga_one", "saga_two"], password=PASSWORD)
                yield port, child.pid
            finally:
                child.terminate()
                child.wait(PATIENCE_S)


def admin(port: int, password: str | None = PASSWORD) -> str:
    return database_url(port, "postgres", password)


def of_role(port: int, role: str, database: str) -> str:
    password = role_password(PASSWORD, role_of(role))
    return (
        admin(port)
        .replace(f"saga:{PASSWORD}", f"{role}:{password}")
        .replace("/postgres", f"/{database}")
    )


@pytest.mark.parametrize("password", [None, "guessed"])
def test_nobody_connects_without_the_password(
    server: tuple[int, int], password: str | None
) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(admin(server[0], password), connect_timeout=10)


def test_a_service_reaches_its_own_database_alone(server: tuple[int, int]) -> None:
    port, _ = server
    # Given the role of a service, it makes its tables
    with psycopg.connect(of_role(port, "saga_one", "saga_one")) as connection:
        connection.execute("CREATE TABLE own (id int)")
        row = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == (False, False, False)
    # When it asks for the database of another, then it is refused
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(of_role(port, "saga_one", "saga_two"), connect_timeout=10)


@pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL keeps what its user has")
def test_a_server_that_root_starts_keeps_none_of_its_rights(server: tuple[int, int]) -> None:
    _, pid = server
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    if not reachable(Path(psycopg.__file__)):
        pytest.skip("the environment lies where only root may go")
    assert int(fields["Uid"].split()[0]) != 0
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[name], 16) == 0, name
    assert fields["NoNewPrivs"].strip() == "1"
