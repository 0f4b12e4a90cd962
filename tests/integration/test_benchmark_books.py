"""The peers' tables: a run only counts when every row is there, and none too many."""

import psycopg
import pytest

from benchmarks.figures import WrongEnds
from benchmarks.orders import orders
from benchmarks.peers.apps.steps import BY_NAME, DECLINED, REJECTED, run
from benchmarks.peers.books import Books
from benchmarks.peers.choreography import SERVICES, as_json

PLACED = orders("run", 1, 40)


@pytest.fixture
def books(database_url: str) -> Books:
    made = Books(dict.fromkeys(SERVICES, database_url))
    made.create()
    made.stock(PLACED)
    with psycopg.connect(database_url) as connection:
        for order in map(as_json, PLACED):
            cursor = connection.cursor()
            if run(cursor, BY_NAME["reserve"](order)) == REJECTED:
                continue
            charged = run(cursor, BY_NAME["charge"](order))
            for step in ("release",) if charged == DECLINED else ("ship", "notify"):
                run(cursor, BY_NAME[step](order))
    return made


def test_orders_that_went_their_way_are_right(books: Books) -> None:
    assert books.ends(PLACED) == {"plain": 36, "declined": 2, "out_of_stock": 2}


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
    books: Books, database_url: str, wrong: str
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(wrong)
    with pytest.raises(WrongEnds):
        books.ends(PLACED)
