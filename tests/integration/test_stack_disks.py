"""Disks of PostgreSQL's own: full and free again, mounted from up to down, nothing left behind.

Where this machine refuses to mount one, what is shown is that it says so.
"""

import os
import shutil
from pathlib import Path

import psycopg
import pytest

from saga_lab.chaos.kinds import kinds_of, unsupported_kinds
from saga_lab.devstack.disks import DATA_DISK, DISKS, Disk, disks_of, refusal
from saga_lab.devstack.options import StackOptions
from saga_lab.devstack.stack import StackHome
from saga_lab.devstack.supervisor import survivors
from tests.application import ORDER
from tests.stack import LiveStack, live_stack, until

DISKS_TOO = StackOptions(port_base=0, only=frozenset({"infra"}), disks=True)
AS_BEFORE = StackOptions(only=frozenset({"infra"}))


def impossible(folder: Path) -> bool:
    """Whether this machine has no disks for us; then checks that it is told."""
    why = refusal(folder)
    if why is None:
        return False
    assert unsupported_kinds(kinds_of(ORDER), 3, no_disks=why) == {"disk full": why}
    return True


def mounted(home: Path) -> list[str]:
    return [name for name in DISKS if (home / "data" / name).is_mount()]


def rows(stack: LiveStack) -> int:
    with psycopg.connect(stack.database_url("monitor")) as connection:
        found = connection.execute("SELECT count(*) FROM kept").fetchone()
        return int(found[0]) if found else -1


def test_a_full_disk_has_no_room_until_it_is_freed(tmp_path: Path) -> None:
    if impossible(tmp_path):
        return
    disk = Disk(tmp_path, "small", 16 * 2**20)
    disk.mount()
    try:
        disk.mount()
        (disk.mount_point / "kept").write_text("kept")
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (disk.mount_point / "more").write_bytes(bytes(4096))
        (disk.mount_point / "more").unlink()
        disk.free()
        (disk.mount_point / "more").write_bytes(bytes(4096))
        disk.unmount()
        assert list(disk.mount_point.iterdir()) == []
        disk.mount()
        assert (disk.mount_point / "kept").read_text() == "kept"
    finally:
        disk.unmount()
    assert not disk.mount_point.is_mount()


def test_a_home_keeps_its_disks_over_down_and_up(tmp_path: Path) -> None:
    if impossible(tmp_path):
        return
    with live_stack(tmp_path / "home", DISKS_TOO) as stack:
        assert mounted(stack.home) == list(DISKS)
        with psycopg.connect(stack.database_url("monitor")) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
            found = connection.execute("SHOW fsync").fetchone()
        assert found == ("on",)
        stack.down()
        assert mounted(stack.home) == []
        stack.up(AS_BEFORE)
        assert mounted(stack.home) == list(DISKS)
        assert rows(stack) == 1
        stack.kill("postgres")
        stack.wait_ready("postgres")
        assert rows(stack) == 1
    assert mounted(stack.home) == []


def test_the_next_run_unmounts_the_disks_that_a_killed_run_left(tmp_path: Path) -> None:
    """Killed with its supervisor, so that PostgreSQL is left alone on the disks; and, the other
    time, before it had written anything else down."""
    if impossible(tmp_path):
        return
    home = tmp_path / "home"
    with live_stack(home, DISKS_TOO) as stack:
        for pid in survivors(home):
            if "supervisord" in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, 9)
        until(lambda: not StackHome(home).supervisor.running(), "the supervisor is gone")
        assert mounted(home) == list(DISKS)
        assert stack.json, "it had begun"
        StackHome(home).down()
        assert mounted(home) == []
    Disk(home / "data", DATA_DISK).mount()
    (home / "stack.json").unlink()
    StackHome(home).down()
    assert mounted(home) == []
    assert {disk.name for disk in disks_of(home / "data")} == set(DISKS)
    shutil.rmtree(home)


def test_the_reason_why_no_disk_can_be_mounted_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert refusal(tmp_path) == "only root can mount a file system of its own"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    forbidden = tmp_path / "bin"
    forbidden.mkdir()
    for name, does in (("mkfs.ext4", "exit 0"), ("mount", "echo 'not permitted' >&2; exit 32")):
        command = forbidden / name
        command.write_text(f"#!/bin/sh\n{does}\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{forbidden}:/usr/bin:/bin")
    assert "failed: not permitted" in str(refusal(tmp_path))
    (forbidden / "mkfs.ext4").unlink()
    monkeypatch.setenv("PATH", str(forbidden))
    assert "no command `mkfs.ext4`" in str(refusal(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["bin"], "the trial leaves nothing"
