"""A topic that ends before what was read of it: the monitor reads it from its start again."""

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from saga_monitor import store
from saga_monitor.projection import Projection
from saga_monitor.stream import start_at
from saga_monitor.tables import metadata
from saga_monitor.watch import MadeAnew, Voice, Watch
from sagakit.postgres import engine_for
from schemas import FLOWS
from tests.monitor import CODEC

PAYMENT, ORDER = ("payment.events", 0), ("order.events", 0)


class Topics:
    """A log whose ends are told in turn, the last one again and again."""

    def __init__(self, *ends: int) -> None:
        self.ends_of_payment = list(ends)

    def tick(self, topic: str) -> int:
        return round(datetime.now(UTC).timestamp() * 1000)

    def ends(self, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        more = len(self.ends_of_payment) > 1
        end = self.ends_of_payment.pop(0) if more else self.ends_of_payment[0]
        return {PAYMENT: end, ORDER: 7}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = engine_for(database_url)
    metadata.create_all(engine)
    with engine.begin() as connection:
        store.reset(connection, {PAYMENT: 100, ORDER: 7})
    yield engine
    engine.dispose()


def look(engine: Engine, *ends: int) -> None:
    log = Topics(*ends)
    projection = Projection(engine, CODEC, FLOWS)
    watch = Watch(engine, projection, Voice(CODEC), log, log, ["payment.events"], lambda: None)
    watch.look(threading.Event())


def stored(engine: Engine) -> dict[tuple[str, int], int]:
    with engine.connect() as connection:
        return store.offsets(connection)


def test_a_topic_that_was_made_anew_ends_the_process_which_then_reads_from_its_start(
    engine: Engine,
) -> None:
    with pytest.raises(MadeAnew, match=r"payment\.events made anew"):
        look(engine, 0)
    assert stored(engine) == {PAYMENT: 0, ORDER: 7}
    assert start_at(stored(engine)[PAYMENT], first=0, end=120) == 0, "though it is longer by then"


def test_what_is_read_between_two_looks_at_the_log_is_no_topic_made_anew(engine: Engine) -> None:
    look(engine, 99, 100)
    assert stored(engine) == {PAYMENT: 100, ORDER: 7}
