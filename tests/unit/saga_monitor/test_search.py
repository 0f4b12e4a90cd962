"""A person's query for sagas: what it means, and what is said of one that cannot be read."""

from datetime import UTC, datetime

import pytest

from saga_monitor.saga.search import FIELDS, MAX_TERMS, QueryError, Term, complete, parse_query

FLOWS = ("errand", "order")


@pytest.mark.parametrize(
    ("written", "terms"),
    [
        ("", ()),
        ("  ", ()),
        ("o-17", (Term("text", ":", ("o-17",)),)),
        ('"o 17"', (Term("text", ":", ("o 17",)),)),
        ("order/o-17", (Term("text", ":", ("order/o-17",)),)),
        ("http://x", (Term("text", ":", ("http://x",)),)),
        ("status:waiting,paused", (Term("status", ":", ("waiting", "paused")),)),
        ("-flow:order/2", (Term("flow", ":", ("order/2",), negated=True),)),
        (
            "age>2h is:stuck",
            (Term("age", ">", (7200.0,)), Term("is", ":", ("stuck",))),
        ),
        ("amount>=100", (Term("amount", ">=", (100.0,)),)),
        (
            "started<2026-11-26T05:00Z",
            (Term("started", "<", (datetime(2026, 11, 26, 5, tzinfo=UTC),)),),
        ),
    ],
)
def test_a_query_is_read(written: str, terms: tuple[Term, ...]) -> None:
    assert parse_query(written, FLOWS) == terms


@pytest.mark.parametrize(
    ("written", "marked", "expected"),
    [
        ("flow:nothing", "nothing", "one of errand, order"),
        ("flow:order/x", "order/x", "a flow and a version"),
        ("status:", "", "a value"),
        ("is:odd o-1", "odd", "one of stuck"),
        ("o-1 age:2h", "age:2h", "> or <"),
        ("status>waiting", "status>waiting", ": behind status"),
        ("age>soon", "soon", "is not a duration"),
        ("amount>1.5", "1.5", "a whole number"),
        ("started>yesterday", "yesterday", "is not a time"),
        ("colour>red", "colour>red", "one of the fields"),
        ('o-1 "o 2', '"o 2', 'a closing "'),
    ],
)
def test_the_place_of_a_fault_is_told_and_what_was_expected(
    written: str, marked: str, expected: str
) -> None:
    with pytest.raises(QueryError) as found:
        parse_query(written, FLOWS)
    assert written[found.value.start : found.value.end] == marked
    assert expected in found.value.expected


def test_a_query_has_a_bound() -> None:
    assert len(parse_query("a " * MAX_TERMS, FLOWS)) == MAX_TERMS
    with pytest.raises(QueryError, match="at most"):
        parse_query("a " * (MAX_TERMS + 1), FLOWS)


def test_a_query_is_completed_from_its_last_word() -> None:
    assert complete("", FLOWS, ()) == [
        f"{name}{'>' if name in ('age', 'quiet', 'started', 'ended', 'amount', 'held') else ':'}"
        for name in FIELDS
    ]
    assert complete("is:stuck fl", FLOWS, ()) == ["is:stuck flow:"]
    assert complete("-flow:o", FLOWS, ()) == ["-flow:order"]
    assert complete("status:waiting,pa", FLOWS, ()) == ["status:waiting,paused"]
    assert complete("step:", FLOWS, ("dispatch",)) == ["step:dispatch"]
    assert complete("o-17", FLOWS, ()) == []
