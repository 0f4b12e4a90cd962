"""The order of a saga's events: log time, and within one millisecond causes first."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from saga_monitor.saga.facts import Fact, Saga

START = datetime(2026, 1, 2, tzinfo=UTC)


@st.composite
def stories(draw: st.DrawFn) -> list[Fact]:
    """Events of which each has an earlier one, one that nobody read, or none as its cause."""
    facts: list[Fact] = []
    for number in range(draw(st.integers(1, 12))):
        causes = [None, "unread", *(fact.id for fact in facts)]
        at = START + timedelta(milliseconds=draw(st.integers(0, 2)))
        ids = draw(st.integers(0, 99))
        cause = draw(st.sampled_from(causes))
        facts.append(Fact(f"{ids:02}-{number}", "Event", at, "somebody", None, cause))
    return facts


def ancestors(fact: Fact, by_id: dict[str, Fact]) -> int:
    cause = by_id.get(fact.causation or "")
    return 0 if cause is None else 1 + ancestors(cause, by_id)


@given(stories(), st.randoms())
def test_causes_come_first_in_whatever_order_events_are_read(
    facts: list[Fact], random: object
) -> None:
    by_id = {fact.id: fact for fact in facts}
    expected = sorted(facts, key=lambda f: (f.at, ancestors(f, by_id), f.id))
    shuffled = list(facts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Saga("errand/1", {f.key: f for f in shuffled}).timeline() == expected


def test_events_that_cause_each_other_have_an_order() -> None:
    facts = [Fact("a", "E", START, causation="b"), Fact("b", "E", START, causation="a")]
    one, other = (Saga("errand/1", {f.key: f for f in some}) for some in (facts, facts[::-1]))
    assert one.timeline() == other.timeline()


def test_a_chain_of_twenty_thousand_events_is_ordered() -> None:
    """Each event is visited once: by its whole chain it would be two hundred million visits."""
    count = 20_000
    causes = [None, *(f"{n:05}" for n in range(count - 1))]
    facts = [Fact(f"{n:05}", "E", START, causation=cause) for n, cause in enumerate(causes)]
    saga = Saga("errand/1", {fact.key: fact for fact in reversed(facts)})
    assert saga.timeline() == facts
