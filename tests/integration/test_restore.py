"""`saga restore` on real brokers: topics that were lost are what they were, times included."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from saga_lab.devstack.topics import event_topic, recreate_topic
from sagakit.kafka.inspector import LogEnds
from schemas import CONTRACT
from tests.live_monitor import Live
from tests.monitor import EventPublisher, monitor, whole
from tests.stack import TestInfra, fresh_database, live_infra

GROUP, SAGAS = "restore-monitor", 60


@pytest.fixture
def own_infra(tmp_path: Path) -> Iterator[TestInfra]:
    """Of its own: its topics are deleted."""
    with live_infra(tmp_path / "infra") as found:
        yield found


def test_lost_topics_are_filled_from_the_archive(
    own_infra: TestInfra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGA_GROUP", GROUP)
    servers, folder = own_infra.bootstrap_servers, str(tmp_path / "archive")
    publisher, url = EventPublisher(own_infra), fresh_database(own_infra)
    log = LogEnds(servers)
    # Given topics that are archived, and a monitor that has read them
    publisher.publish_events(*(e for n in range(SAGAS) for e in whole(f"o-{n:04d}")))
    with monitor(own_infra, url, tmp_path / "monitor.log", group=GROUP) as process:
        live = Live(own_infra, process.start(), url, GROUP, publisher)
        live.until_read()
        live.saga("archive", folder)
        # While it reads, nothing is restored
        assert f"{GROUP} still read" in live.saga("restore", folder, status=1)
    # When all topics are lost and created again
    ends = log.ends(CONTRACT.topics)
    for name in CONTRACT.topics:
        count = sum(place[0] == name for place in ends)
        recreate_topic(servers, event_topic(name, count), lambda: None)
    records = f"{sum(ends.values()):,} records are"
    assert records in live.saga("restore", folder, "--dry-run")
    assert records in live.saga("restore", folder)
    # Then they hold the same, and a projection of them has the same rows
    assert log.ends(CONTRACT.topics) == ends
    assert "0 records are to be restored" in live.saga("restore", folder)
    live.saga("replay", "restored")
    assert live.diff("live", "restored", status=0)["rows"]["saga"] == SAGAS
    # And what others have published since is no reason to publish again
    publisher.publish_events(*whole("o-new"))
    assert "only an empty topic is restored" in live.saga("restore", folder, status=1)
    publisher.close()
