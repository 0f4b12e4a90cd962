"""The keys of customers in a real PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

import services.order
from sagakit.decider import Observed
from sagakit.store.connections import Connections
from sagakit.store.migrate import migrate
from sagakit.store.postgres import engine_for
from schemas.events import OrderPlaced, ShippedMailSent
from services.order.service import participant
from services.order.vault import KeyNotUnwrapped, KeyWrap, Opener, Vault, open_text
from tests.monitor import FACTS

NOW = datetime(2026, 1, 2, tzinfo=UTC)
WHO = ("ada", "asked for by mail")
KEY = "the key of keys of the shop 0123456789"
WRAP = KeyWrap([KEY])
BY = Opener("dispatch", "10.0.0.7")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = engine_for(database_url)
    migrate(made, Path(services.order.__file__).parent / "migrations")
    yield made
    made.dispose()


def tell(engine: Engine, order: str, event: Any) -> None:
    """What the participant makes of an event of an order, stored."""
    it, trigger, saga = participant(), Observed(event.type, event), f"order/{order}"
    if isinstance(event, ShippedMailSent):
        trigger = Observed("completed", event)
    with Connections(engine).use() as connection:
        working = it.store.load(connection, {saga: [trigger]})
        decision = it.decide(working.get(saga), trigger, NOW)
        state = working.get(saga)
        adopted_and_own = (*decision.adopted, *decision.events)
        for one in adopted_and_own:
            state = it.evolve(state, one)
        working.put(saga, state, adopted_and_own)
        working.save(connection)


def seal(vault: Vault, customer: str, *texts: str) -> list[str]:
    (sealed,) = vault.seal([(customer, texts)], NOW)
    return sealed


def place(engine: Engine, order: str, *, clear: bool = False) -> OrderPlaced:
    email, ship_to = seal(Vault(engine, WRAP), "c-1", FACTS.email, FACTS.ship_to)
    facts = FACTS if clear else replace(FACTS, email=email, ship_to=ship_to)
    event = OrderPlaced(order_id=order, order=facts, placed_at=NOW)
    tell(engine, order, event)
    return event


def test_a_customer_has_one_key_even_when_many_ask_at_once(engine: Engine) -> None:
    vault = Vault(engine, WRAP)
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda _: seal(vault, "c-1", "ada")[0], range(40)))
    assert len(set(texts)) == 1
    (other,) = seal(vault, "c-2", "ada")
    assert other not in texts
    assert vault.open([other, texts[0], "in clear"], BY) == ["ada", "ada", None]


def test_the_texts_of_many_customers_are_sealed_together(engine: Engine) -> None:
    """Given a customer with a key, when texts of several are sealed at once, then each gets theirs.

    Two who make the same keys at the same time, in another sequence, do not block each other.
    """
    vault = Vault(engine, WRAP)
    known = seal(vault, "c-2", "ada")
    wanted = [(f"c-{n}", ["ada", f"street {n}"]) for n in range(20)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: vault.seal(wanted[n:] + wanted[:n], NOW), range(20)))
    for n, sealed in enumerate(found):
        assert sealed == found[0][n:] + found[0][:n]
    assert found[0][2][0] == known[0]
    assert [vault.open(texts, BY) for texts in found[0]] == [texts for _, texts in wanted]


def test_an_erased_key_stays_erased_with_its_first_reason(engine: Engine) -> None:
    vault = Vault(engine, WRAP)
    before = seal(vault, "c-1", "ada", "street")
    (kept,) = seal(vault, "c-2", "bob")
    assert vault.erase("c-1", *WHO, NOW).erased_at == NOW
    assert vault.erase("c-1", "bob", "again", NOW + timedelta(days=1)).erased_at == NOW
    assert vault.open([*before, kept], BY) == [None, None, "bob"]
    (after,) = seal(vault, "c-1", "ada")
    assert after != before[0]
    assert vault.open([before[0], after], BY) == [None, "ada"]
    assert vault.erase("nobody", *WHO, NOW).erased_at is None
    with engine.connect() as connection:
        query = text("SELECT key, actor, reason FROM customer_key WHERE erased_at IS NOT NULL")
        assert connection.execute(query).all() == [(None, *WHO)]


def test_a_key_is_not_erased_while_an_order_of_its_customer_is_in_flight(engine: Engine) -> None:
    vault = Vault(engine, WRAP)
    event = place(engine, "o-1")
    refused = vault.erase("c-1", *WHO, NOW)
    assert (refused.erased_at, refused.in_flight) == (None, ("o-1",))
    assert vault.open([event.order.email], BY) == [FACTS.email]
    tell(engine, "o-1", ShippedMailSent(order_id="o-1", to=event.order.email))
    assert vault.erase("c-1", *WHO, NOW).erased_at == NOW
    assert vault.open([event.order.email], BY) == [None]


def test_a_forced_erasure_names_the_orders_in_flight(engine: Engine) -> None:
    vault = Vault(engine, WRAP)
    events = [place(engine, f"o-{n:02}") for n in range(25)]
    done = vault.erase("c-1", *WHO, NOW, force=True)
    assert done.in_flight == tuple(f"o-{n:02}" for n in range(20)), "some of them"
    assert done.erased_at == NOW
    assert vault.open([events[0].order.email], BY) == [None]


def test_what_was_published_in_clear_is_reported(engine: Engine) -> None:
    place(engine, "o-1")
    place(engine, "o-2", clear=True)
    done = Vault(engine, WRAP).erase("c-1", *WHO, NOW, force=True)
    assert done.in_clear == ("o-2",)


def test_who_opened_whose_texts_is_kept(engine: Engine) -> None:
    # Given texts of two customers, the key of one erased
    vault = Vault(engine, WRAP)
    (kept,), (gone,) = seal(vault, "c-1", "ada"), seal(vault, "c-2", "bob")
    vault.erase("c-2", *WHO, NOW)
    # When a participant opens both
    assert vault.open([kept, gone], BY) == ["ada", None]
    # Then a row says who asked, from where, and for which keys; it holds nothing of the texts
    with engine.connect() as connection:
        query = text("SELECT action, actor, address, subjects, detail FROM audit")
        ((action, actor, address, subjects, detail),) = connection.execute(query)
        keys = connection.execute(text("SELECT key_id::text FROM customer_key")).scalars()
        assert set(subjects) == set(keys)
    assert (action, actor, address, detail) == ("open", "dispatch", "10.0.0.7", {})


def test_a_dump_of_the_database_opens_nothing(engine: Engine) -> None:
    # Given a text that was sealed, and all rows of the table of keys
    vault = Vault(engine, WRAP)
    (sealed,) = seal(vault, "c-1", "ada")
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT key_id, key FROM customer_key")).all()
    # When somebody takes the stored keys for keys, then they open nothing
    for part in (slice(0, 64), slice(16, 80)):
        assert open_text({key_id: bytes(key)[part] for key_id, key in rows}, sealed) is None
    # and another key-encryption key is an error, never an erasure
    with pytest.raises(KeyNotUnwrapped, match="SAGA_KEY_ENCRYPTION_KEY"):
        Vault(engine, KeyWrap([f"another {KEY}"])).open([sealed], BY)
    # and while the key is rotated, both open it
    assert Vault(engine, KeyWrap([f"another {KEY}", KEY])).open([sealed], BY) == ["ada"]


def test_a_key_is_bound_to_its_id() -> None:
    wrapped = WRAP.wrap(UUID(int=1), b"k" * 64)
    assert WRAP.unwrap(UUID(int=1), wrapped) == b"k" * 64
    with pytest.raises(KeyNotUnwrapped):
        WRAP.unwrap(UUID(int=2), wrapped)


def test_what_an_erasure_leaves_of_a_key_is_vacuumed_at_once(engine: Engine) -> None:
    with engine.connect() as connection:
        query = text("SELECT reloptions FROM pg_class WHERE relname = 'customer_key'")
        options = connection.execute(query).scalar_one()
    assert set(options) == {"autovacuum_vacuum_scale_factor=0", "autovacuum_vacuum_threshold=0"}


def placed_then_kept(engine: Engine, event: OrderPlaced) -> bool:
    """Whether the key of an order's customer is kept once the order is committed."""
    tell(engine, event.order_id, event)
    (kept,) = Vault(engine, WRAP).kept([event.order.email])
    return kept


def test_an_order_placed_during_an_erasure_is_seen_or_sees_it(engine: Engine) -> None:
    """Whichever commits first, one of the two knows of the other."""
    vault = Vault(engine, WRAP)
    for number in range(20):
        customer = f"c-{number}"
        (email,) = seal(vault, customer, FACTS.email)
        facts = replace(FACTS, customer_id=customer, email=email)
        event = OrderPlaced(order_id=f"o-{number}", order=facts, placed_at=NOW)
        # When an order is placed and its customer is erased at the same time
        with ThreadPoolExecutor(2) as pool:
            placed = pool.submit(placed_then_kept, engine, event)
            erased = pool.submit(vault.erase, customer, *WHO, NOW)
            kept, erasure = placed.result(), erased.result()
        # Then the erasure was refused because of it, or the order knows that its key is gone
        assert kept == (erasure.erased_at is None), number
