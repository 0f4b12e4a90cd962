"""A drill on a copy of the home's stack: what is copied, what is refused, and who has to end."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from saga_lab.devstack.disks import DATA_DISK, Disk
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.home import assign_ports
from saga_lab.devstack.options import StackOptions
from saga_lab.devstack.stack_file import read_manifest, write_manifest
from saga_lab.devstack.supervisor import Supervisor
from saga_lab.drills.copied_home import copy_stack, has_data, moved
from saga_lab.drills.copied_sagas import CopiedSagas, InFlight, excuse
from saga_lab.drills.drill_lock import FILE_NAME, only_drill
from saga_lab.invariants.finding import finding_of
from tests.application import ORDER

PORTS = {"kafka": 21000, "postgres": 21002, "registry": 21003}


def stack_json(**changes: Any) -> dict[str, Any]:
    """The content of a stack.json."""
    return {
        "application": str(ORDER.folder),
        "stack": "embedded",
        "brokers": 1,
        "partitions": 4,
        "urls": {"registry": "http://127.0.0.1:21003"},
        "env": {"SAGA_DEADLINES": "{}"},
        "deadlines": [["2026-01-01T00:00:00+00:00", {}]],
        "processes": {"kafka": {"pid": None, "log": "x"}},
        "port_base": 0,
        "ports": PORTS,
        "secrets": {"webhook": "s"},
        **changes,
    }


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the data of a stack that does not run."""
    folder = tmp_path / "home"
    (folder / "data" / "kafka" / "log").mkdir(parents=True)
    (folder / "data" / "kafka" / "log" / "0.log").write_bytes(b"records")
    (folder / "data" / "postgres.password").write_text("secret")
    write_manifest(folder, stack_json())
    return folder


def test_a_copy_has_the_data_and_secrets_and_neither_ports_nor_processes(home: Path) -> None:
    target = home / "drill"
    (target / "data").mkdir(parents=True)
    (target / "data" / "old").write_text("of the drill before")
    copied = copy_stack(home, target, ORDER)
    assert (target / "data" / "kafka" / "log" / "0.log").read_bytes() == b"records"
    assert not (target / "data" / "old").exists()
    content = read_manifest(target)
    assert content == moved(stack_json())
    assert (content["ports"], content["processes"]) == ({}, {})
    assert content["secrets"] == {"webhook": "s"}
    assert (copied.registry, copied.brokers, copied.env) == (True, 1, {"SAGA_DEADLINES": "{}"})
    assert read_manifest(home) == stack_json()


def test_a_copy_gets_ports_of_its_own() -> None:
    _, ports = assign_ports(ORDER, StackOptions(port_base=0), moved(stack_json()))
    assert not set(ports.values()) & set(PORTS.values())


def test_a_home_without_a_stack_has_no_data(tmp_path: Path, home: Path) -> None:
    assert not has_data(tmp_path / "nothing")
    assert has_data(home)


def test_a_running_stack_is_not_copied(home: Path) -> None:
    supervisor = Supervisor(home)
    supervisor.start()
    try:
        with pytest.raises(StackError, match=r"is running; stop it with `saga down`.*--fresh"):
            copy_stack(home, home / "drill", ORDER)
    finally:
        supervisor.shutdown()
    assert not (home / "drill").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stack": "external"}, "keeps Kafka and PostgreSQL elsewhere .*--fresh"),
        ({"stack": "containers"}, "keeps Kafka and PostgreSQL elsewhere .*--live"),
        (
            {"application": str(ORDER.folder / "examples" / "trip")},
            "has the data of the application in .*trip.*give --fresh",
        ),
    ],
)
def test_what_cannot_be_copied_is_refused(home: Path, changes: dict[str, Any], reason: str) -> None:
    write_manifest(home, stack_json(**changes))
    with pytest.raises(StackError, match=reason):
        copy_stack(home, home / "drill", ORDER)


def test_disks_of_postgresql_are_not_copied(home: Path) -> None:
    Disk(home / "data", DATA_DISK).image.touch()
    with pytest.raises(StackError, match="on disks of its own"):
        copy_stack(home, home / "drill", ORDER)


def test_a_second_drill_is_refused_and_a_killed_one_is_noticed(tmp_path: Path) -> None:
    with only_drill(tmp_path) as killed:
        assert not killed
        with pytest.raises(StackError, match="another drill is running"), only_drill(tmp_path):
            pass
    with only_drill(tmp_path) as killed:
        assert not killed
        left_by_a_kill = (tmp_path / FILE_NAME).read_text()
    (tmp_path / FILE_NAME).write_text(left_by_a_kill)
    with only_drill(tmp_path) as killed:
        assert killed


WAITS = InFlight("waiting", datetime(2026, 1, 1, tzinfo=UTC), has_deadline=True)
PAUSED = replace(WAITS, has_deadline=False)
COPIED = CopiedSagas(9, {"order/waits": WAITS, "order/paused": PAUSED, "order/moved": PAUSED})


def test_only_sagas_that_nothing_could_end_need_not_end() -> None:
    moved_on = replace(PAUSED, updated_at=datetime(2026, 1, 2, tzinfo=UTC))
    now = {
        "order/waits": WAITS,
        "order/paused": PAUSED,
        "order/moved": moved_on,
        "order/new": PAUSED,
    }
    assert COPIED.untouched(now) == ["order/paused"]
    assert COPIED.untouched({}) == []


def test_an_excused_saga_is_no_violation_and_is_counted() -> None:
    texts = [f"order/{name}: ended 0 times ; the monitor says x" for name in ("paused", "waits")]
    others = [finding_of(2, "balances", "events", ["order/paused: 100"])]
    ends, kept = excuse([finding_of(1, "ends", "9 sagas", texts), *others], ["order/paused"])
    assert (ends.violations, ends.found, ends.holds) == ((texts[1],), 1, False)
    assert "1 copied sagas" in ends.checked_against
    assert kept == others[0]


def test_without_excused_sagas_findings_stay_as_they_are() -> None:
    finding = finding_of(1, "ends", "9 sagas", [json.dumps("x")])
    assert excuse([finding], []) == [finding]
