"""How a drill makes of a topic what an older release would have written."""

from dataclasses import replace
from uuid import UUID

from saga_lab.drills.older_records import as_older, evolved
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, Record
from schemas import CONTRACT
from schemas.events import InventoryReserved
from tests.application import ORDER
from tests.order_facts import TWO_TEAS
from tests.toy_saga import NOW

RESERVED = InventoryReserved(order_id="o1", order=TWO_TEAS)


def record(event: InventoryReserved) -> Record:
    row = Codec(CONTRACT).encode(Envelope(UUID(int=1), "order/o1", "inventory", 1, NOW, event))
    return Record(row.topic, 0, 9, 1_767_323_045_000, row.key.encode(), row.value, row.headers)


def test_a_record_gets_the_older_schema_if_that_has_all_of_its_content() -> None:
    """Given a record of an event whose schema has a newer field; when it is written as an older
    release did; then today's code reads the same, unless the field says something."""
    plain = record(RESERVED)
    card = replace(RESERVED, order=replace(TWO_TEAS, loyalty_card="L-1"))
    noise = replace(plain, value=b"noise")
    older, *others = as_older([plain, record(card), noise], CONTRACT)
    assert older.value != plain.value
    assert Codec(CONTRACT).decode(older).event == RESERVED
    assert (older.key, older.headers) == (plain.key, plain.headers)
    assert others == [record(card), noise]
    assert "inventory" in evolved(ORDER)
    assert "loyalty" not in evolved(ORDER), "its events are in no released set"
