"""`saga replay`, `diff` and `promote` on a real log: the same rows again, nothing else touched."""

import random
import uuid
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from saga_monitor.replay.target import Shadow
from sagakit.kafka.inspector import lag, positions
from schemas import CONTRACT
from tests.kafka import TransactionalProducer
from tests.live_monitor import Live
from tests.monitor import (
    EventPublisher,
    captured,
    keys_of,
    monitor,
    placed,
    reserved,
    review,
    whole,
)
from tests.stack import PATIENCE_S, TestInfra, fresh_database, live_infra, until

ORDERS, CHUNK = 900, 150
STEPWISE, OTHER = "r-stepwise", "r-00004"


@pytest.fixture(scope="module")
def own_infra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestInfra]:
    """Of its own: what others publish meanwhile would make live and shadow differ."""
    with live_infra(tmp_path_factory.mktemp("replay")) as found:
        yield found


@pytest.fixture(scope="module")
def live(own_infra: TestInfra, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Orders that went well or stopped half way, junk, and what transactions leave at the end."""
    publisher, url = EventPublisher(own_infra), fresh_database(own_infra)
    orders = [f"r-{n:05d}" for n in range(ORDERS)]
    for n in range(0, ORDERS, CHUNK):
        chunk = orders[n : n + CHUNK]
        publisher.publish_events(*(e for order in chunk[:-20] for e in whole(order)))
        # They wait a day for a person: no deadline changes the live rows while tests run.
        stopped = [
            event
            for order in chunk[-20:]
            for event in (placed(order), reserved(order), review(order))
        ]
        publisher.publish_events(*stopped)
    for event in whole(STEPWISE):  # one after the other, also in log time
        publisher.publish_events(event)
    (junk,) = publisher.rows(captured("r-junk"))
    publisher.publish([replace(junk, value=b"no event", key="r-junk")])
    producer = TransactionalProducer(own_infra.bootstrap_servers, "foreign")
    producer.begin(*publisher.rows(placed("r-aborted")))
    producer.abort()
    group = f"saga-monitor-{uuid.uuid4().hex[:8]}"
    log = tmp_path_factory.mktemp("monitor") / "monitor.log"
    with monitor(own_infra, url, log, group=group) as process:
        found = Live(own_infra, process.start(), url, group, publisher)
        found.until_read()
        yield found
    publisher.close()


def test_a_replay_gives_the_live_rows_and_touches_nothing(live: Live) -> None:
    # Given how far the monitor has read, and what its tables hold
    servers, topics = live.infra.bootstrap_servers, CONTRACT.topics
    until(lambda: lag(servers, live.group, topics) == 0, "the monitor has committed all")
    committed = positions(servers, live.group, topics)
    before = live.fingerprint("live"), live.offsets()
    # When the log is replayed twice
    printed = live.saga("replay", "first", "--workers", "2")
    live.saga("replay", "second", "--workers", "1")
    # Then both are the live rows, to the last field
    assert live.fingerprint("first") == live.fingerprint("second") == before[0]
    assert before[0] in printed
    assert live.diff("live", "first", status=0)["rows"]["saga"] == ORDERS + 1
    assert (
        live.offsets("shadow_first")
        == live.offsets("shadow_second")
        == {place: end for place, (_, end) in positions(servers, live.group, topics).items()}
    )
    # And neither the group's offsets nor the live tables have moved
    assert positions(servers, live.group, topics) == committed
    assert (live.fingerprint("live"), live.offsets()) == before


@pytest.mark.parametrize("seed", range(5))
def test_a_replay_that_is_killed_ends_the_same_when_run_again(live: Live, seed: int) -> None:
    # Given a replay that is killed after a random share of its records
    shadow, share = f"killed{seed}", random.Random(seed).uniform(0.05, 0.9)
    planned = sum(live.offsets().values())
    killed = live.start("replay", shadow, "--workers", "2")

    def passed() -> bool:
        if killed.poll() is not None or Shadow(live.database_url, shadow).state() is None:
            return killed.poll() is not None
        return sum(live.offsets(f"shadow_{shadow}").values()) >= share * planned

    until(passed, "it has read enough")
    killed.kill()
    killed.communicate(timeout=PATIENCE_S)
    left = Shadow(live.database_url, shadow).remaining()
    # When the same command is given again
    printed = live.saga("replay", shadow, "--workers", "2")
    # Then it read only what was left, and the rows are the same
    assert sum(span.offsets for span in left.values()) < planned
    assert live.fingerprint(shadow) in printed
    assert live.fingerprint(shadow) == live.fingerprint("live")
    live.saga("shadows", "--drop", shadow)


def test_a_changed_row_is_found_with_the_event_that_made_it(live: Live) -> None:
    live.saga("replay", "changed")
    (key,) = keys_of([STEPWISE])
    live.execute("UPDATE saga SET status = 'cancelled' WHERE saga = %s", key)
    try:
        found = live.diff("live", "changed", status=1)
    finally:
        live.execute("UPDATE saga SET status = 'completed' WHERE saga = %s", key)
    (one,) = found["differences"]
    assert (one["saga"], one["table"], one["field"]) == (key, "saga", "status")
    assert (one["one"], one["other"]) == ("cancelled", "completed")
    assert one["event"]["type"] == whole(STEPWISE)[-1].type
    live.diff("live", "changed", status=0)


def test_what_one_side_has_not_read_is_named(live: Live) -> None:
    # Given a shadow that ends before the payments
    place = next(p for p in live.offsets() if p[0] == "payment.events" and live.offsets()[p] > 1)
    bound = f"{place[0]}/{place[1]}@1"
    live.saga("replay", "short", "--to", bound)
    # When it is compared with the live projection
    found = live.diff("live", "short", "--limit", "100000", status=1)
    # Then what payment said behind that point made every difference
    events = [one["event"] for one in found["differences"] if one["table"] != "monitor_unreadable"]
    assert {event["type"] for event in events} == {"PaymentCaptured", "PaymentReviewRequired"}
    assert {event["partition"] for event in events} == {place[1]}
    assert found["ahead"] == [
        {"topic": place[0], "partition": place[1], "offsets": live.offsets()[place] - 1}
    ]
    table, page = (
        live.saga("diff", "live", "short", *more, status=1) for more in ([], ["--format", "html"])
    )
    assert "PaymentCaptured" in table
    assert "<td>timeline</td>" in page


def test_one_saga_is_replayed_and_compared_alone(live: Live) -> None:
    live.saga("replay", "one", "--saga", OTHER)
    found = live.diff("live", "one", status=0)
    assert (found["rows"]["saga"], found["rows"]["timeline"]) == (1, len(whole(OTHER)))


def test_a_second_replay_into_a_shadow_is_refused(live: Live) -> None:
    with Shadow(live.database_url, "busy").alone():
        assert "another replay into shadow busy is running" in live.saga("replay", "busy", status=1)
    live.saga("replay", "busy", "--saga", STEPWISE)
    assert "made by another replay" in live.saga("replay", "busy", status=1)
    live.saga("replay", "busy", "--restart", "--saga", OTHER)


def test_a_dry_run_says_how_much_and_writes_nothing(live: Live) -> None:
    printed = live.saga("replay", "never", "--dry-run", "--from", "7d")
    assert " MB, about " in printed
    assert Shadow(live.database_url, "never").state() is None


def test_a_shadow_is_promoted_catches_up_and_is_swapped_back(live: Live) -> None:
    # Given a shadow, and events that came after it
    live.saga("replay", "next")
    late = "r-late"
    live.publisher.publish_events(*whole(late))
    live.until_read()
    before = live.fingerprint("live")
    # When it is promoted while the monitor runs, that is refused
    assert "stop every replica" in live.saga("promote", "next", "--yes", status=1)
    live.process.close()
    until(lambda: not _connected(live), "the monitor's sessions have ended")
    # And once it is stopped, the shadow is the live projection, which does not know these events
    live.saga("promote", "next", "--yes")
    assert live.fingerprint("next") == before
    assert live.fingerprint("live") != before
    # Then the monitor catches up from the offsets of the shadow
    live.process.start()
    until(lambda: live.process.status(late) == "completed", "the events are read")
    live.until_read()
    assert live.fingerprint("live") == before
    # And the former live projection comes back by the same command
    live.process.close()
    until(lambda: not _connected(live), "the monitor's sessions have ended")
    live.saga("promote", "next", "--yes")
    assert "complete" in live.saga("shadows")
    live.process.start()
    live.until_read()
    assert live.fingerprint("live") == before


def _connected(live: Live) -> bool:
    query = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
               AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""
    with psycopg.connect(live.database_url) as connection:
        row = connection.execute(query).fetchone()
    return row is not None and row[0] > 0
