"""The checks behind the figures: the peers' tables have exactly the required rows, and replayed
statements do the same again."""

import psycopg
import pytest
from sqlalchemy import text

from benchmarks.figures import WrongEnds
from benchmarks.orders import orders
from benchmarks.peers.apps.steps import BY_NAME, DECLINED, REJECTED, run
from benchmarks.peers.choreography import SERVICES, as_json
from benchmarks.peers.tables import PeerTables
from benchmarks.replay import record
from sagakit.store.postgres import engine_for
from tests.stack import TestInfra, fresh_database

PLACED = orders("run", 1, 40)


@pytest.fixture
def tables(database_url: str) -> PeerTables:
    peer_tables = PeerTables(dict.fromkeys(SERVICES, database_url))
    peer_tables.create()
    peer_tables.stock(PLACED)
    with psycopg.connect(database_url) as connection:
        for order in map(as_json, PLACED):
            cursor = connection.cursor()
            if run(cursor, BY_NAME["reserve"](order)) == REJECTED:
                continue
            charged = run(cursor, BY_NAME["charge"](order))
            for step in ("release",) if charged == DECLINED else ("ship", "notify"):
                run(cursor, BY_NAME[step](order))
    return peer_tables


def test_the_ends_of_all_orders_are_right(tables: PeerTables) -> None:
    assert tables.ends(PLACED) == {"plain": 36, "declined": 2, "out_of_stock": 2}


@pytest.mark.parametrize(
    "wrong",
    [
        "delete from mail where order_id = (select min(order_id) from mail)",
        "insert into ledger values ('run-00000-more', 'charge', 1, 'EUR')",
        "update reservation set phase = 'reserved' where phase = 'released'",
        "update stock set reserved = reserved + 1 where sku = 'TEA-100'",
    ],
)
def test_a_row_missing_added_or_changed_is_found(
    tables: PeerTables, database_url: str, wrong: str
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(wrong)
    with pytest.raises(WrongEnds):
        tables.ends(PLACED)


def test_recorded_statements_are_replayed_and_committed(
    infra: TestInfra, database_url: str
) -> None:
    other_url = fresh_database(infra)
    for url in (database_url, other_url):
        with psycopg.connect(url) as connection:
            connection.execute("create table number (n int primary key)")
    engine = engine_for(database_url)
    insert = text("insert into number values (:n)")
    with record(engine) as recording:
        with engine.begin() as first:
            first.execute(insert, {"n": 1})
        with engine.begin() as second:
            second.execute(insert, [{"n": 2}, {"n": 3}])
    with engine.begin() as unrecorded:
        unrecorded.execute(insert, {"n": 4})
    engine.dispose()

    assert recording.replay_s(other_url) > 0
    with psycopg.connect(other_url) as connection:
        assert connection.execute("select n from number order by n").fetchall() == [
            (1,),
            (2,),
            (3,),
        ]
