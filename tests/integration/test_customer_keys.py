"""The keys of customers in a real PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

import services.order
from sagakit.decider import Observed
from sagakit.store.connections import Connections
from sagakit.store.migrate import migrate
from sagakit.store.postgres import engine_for
from schemas.events import OrderPlaced, ShippedMailSent
from services.order.service import participant
from services.order.vault import Opener, Vault
from tests.monitor import FACTS

NOW = datetime(2026, 1, 2, tzinfo=UTC)
WHO = ("ada", "asked for by mail")
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
    email, ship_to = seal(Vault(engine), "c-1", FACTS.email, FACTS.ship_to)
    facts = FACTS if clear else replace(FACTS, email=email, ship_to=ship_to)
    event = OrderPlaced(order_id=order, order=facts, placed_at=NOW)
    tell(engine, order, event)
    return event


def test_a_customer_has_one_key_even_when_many_ask_at_once(engine: Engine) -> None:
    vault = Vault(engine)
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
    vault = Vault(engine)
    known = seal(vault, "c-2", "ada")
    wanted = [(f"c-{n}", ["ada", f"street {n}"]) for n in range(20)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: vault.seal(wanted[n:] + wanted[:n], NOW), range(20)))
    for n, sealed in enumerate(found):
        assert sealed == found[0][n:] + found[0][:n]
    assert found[0][2][0] == known[0]
    assert [vault.open(texts, BY) for texts in found[0]] == [texts for _, texts in wanted]


def test_an_erased_key_stays_erased_with_its_first_reason(engine: Engine) -> None:
    vault = Vault(engine)
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
    vault = Vault(engine)
    event = place(engine, "o-1")
    refused = vault.erase("c-1", *WHO, NOW)
    assert (refused.erased_at, refused.in_flight) == (None, ("o-1",))
    assert vault.open([event.order.email], BY) == [FACTS.email]
    tell(engine, "o-1", ShippedMailSent(order_id="o-1", to=event.order.email))
    assert vault.erase("c-1", *WHO, NOW).erased_at == NOW
    assert vault.open([event.order.email], BY) == [None]


def test_a_forced_erasure_names_the_orders_in_flight(engine: Engine) -> None:
    vault = Vault(engine)
    events = [place(engine, f"o-{n:02}") for n in range(25)]
    done = vault.erase("c-1", *WHO, NOW, force=True)
    assert done.in_flight == tuple(f"o-{n:02}" for n in range(20)), "some of them"
    assert done.erased_at == NOW
    assert vault.open([events[0].order.email], BY) == [None]


def test_what_was_published_in_clear_is_reported(engine: Engine) -> None:
    place(engine, "o-1")
    place(engine, "o-2", clear=True)
    done = Vault(engine).erase("c-1", *WHO, NOW, force=True)
    assert done.in_clear == ("o-2",)


def test_who_opened_whose_texts_is_kept(engine: Engine) -> None:
    # Given texts of two customers, the key of one erased
    vault = Vault(engine)
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
