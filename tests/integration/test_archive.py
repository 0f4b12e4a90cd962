"""`saga archive` on a real log: what the topics drop is replayed, and what is wrong is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sagakit.kafka.inspector import LogEnds
from schemas import CONTRACT
from tests.kafka import TransactionalProducer, delete_records
from tests.live_monitor import Live
from tests.monitor import EventPublisher, monitor, placed, whole
from tests.stack import TestInfra, fresh_database, live_infra

OLD, NEW = 200, 40


@pytest.fixture(scope="module")
def own_infra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestInfra]:
    """Of its own: records are deleted from the topics of the contract."""
    with live_infra(tmp_path_factory.mktemp("archive")) as found:
        yield found


@pytest.fixture(scope="module")
def live(own_infra: TestInfra, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A monitor that has read sagas and what an aborted transaction leaves."""
    publisher, url = EventPublisher(own_infra), fresh_database(own_infra)
    publisher.publish_events(*(e for n in range(OLD) for e in whole(f"old-{n:04d}")))
    producer = TransactionalProducer(own_infra.bootstrap_servers, "foreign")
    producer.begin(*publisher.rows(placed("old-aborted")))
    producer.abort()
    log = tmp_path_factory.mktemp("monitor") / "monitor.log"
    with monitor(own_infra, url, log, group="archive-monitor") as process:
        found = Live(own_infra, process.start(), url, "archive-monitor", publisher)
        found.until_read()
        yield found
    publisher.close()


def test_a_replay_of_archive_and_log_gives_the_live_rows(live: Live, tmp_path: Path) -> None:
    servers, folder = live.infra.bootstrap_servers, str(tmp_path / "archive")
    log = LogEnds(servers)
    # Given a log that is archived, and then loses a part of one and all of the other partitions
    assert "nothing was written" in live.saga("archive", folder, "--dry-run")
    assert not (tmp_path / "archive").exists()
    live.saga("archive", folder)
    ends = log.readable_ends(CONTRACT.topics)
    dropped = {p: end if p[1] % 2 else end // 2 for p, end in ends.items() if end}
    delete_records(servers, dropped)
    # And goes on, and is archived a second time: what is new alone
    live.publisher.publish_events(*(e for n in range(NEW) for e in whole(f"new-{n:04d}")))
    live.until_read()
    printed = live.saga("archive", folder)
    assert f"{NEW * len(whole('new-0000')):,} records" in printed
    assert "are what their manifests say" in live.saga("archive", folder, "--verify")
    # When archive and log are replayed, from all and from the log alone
    live.saga("replay", "joined", "--archive", folder)
    live.saga("replay", "alone")
    # Then the first has the rows of the live projection, and the second lacks sagas
    assert live.fingerprint("joined") == live.fingerprint("live")
    assert live.diff("live", "joined", status=0)["rows"]["saga"] == OLD + NEW
    assert live.fingerprint("alone") != live.fingerprint("live")
    # And what was dropped before it was archived is refused with its offsets
    live.publisher.publish_events(*(e for n in range(NEW) for e in whole(f"lost-{n:04d}")))
    delete_records(servers, log.readable_ends(CONTRACT.topics))
    for words in (["archive", folder], ["replay", "gap", "--archive", folder]):
        assert "has a gap: offsets " in live.saga(*words, status=1)
