"""One saga id with other content ten thousand times: what is kept of it is bounded."""

import random
from datetime import timedelta

from saga_monitor.ingest.projection import repeated_types
from saga_monitor.saga.facts import MAX_REPEATED, Fact, Saga, fold, keep_first, log_time
from schemas import FLOWS

START = log_time(1_700_000_000_000)


def placed(number: int) -> Fact:
    at = START + timedelta(milliseconds=number // 3)
    return Fact(f"id-{number:05}", "OrderPlaced", at, "", None, None, "order/1", {})


def test_the_first_of_many_are_kept_in_whatever_order_they_are_read() -> None:
    # Given the same start event with other content, many times, and one capture
    captured = Fact("c", "PaymentCaptured", START, "payment", 1, None, "order/1", {})
    facts = [captured, *map(placed, range(2000))]
    seen = set()
    for seed in range(3):
        random.Random(seed).shuffle(facts)
        # When they are read in batches
        saga = Saga("order/o")
        for start in range(0, len(facts), 170):
            saga = keep_first(fold(saga, *facts[start : start + 170]), repeated_types(FLOWS))
            assert len(saga.facts) <= MAX_REPEATED + 1
        seen.add(frozenset(fact.id for fact in saga.facts.values()))
    # Then the earliest are kept, and all that is not said by whoever starts sagas
    assert seen == {frozenset({"c", *(f"id-{n:05}" for n in range(MAX_REPEATED))})}


def test_only_what_whoever_starts_sagas_may_repeat_is_bounded() -> None:
    assert "OrderPlaced" in repeated_types(FLOWS)
    moved = {"PaymentCaptured", "PaymentRefunded", "CompensationRequested", "InventoryReserved"}
    assert not moved & repeated_types(FLOWS)
