"""Bad requests of operators: to the monitor and to the routes below /admin."""

from sagakit.contract.files import files_of
from tests.bad_input.case import Call, Case, raw

KNOWN = "/sagas/order/well-known"
"""A saga of which the monitor has read the start event."""
FLOW = (files_of("schemas").folder / "flows" / "order.toml").read_text()
OTHER_FLOW = FLOW.replace('name = "order"', 'name = "other"')
BEHIND_NUL = {"started_at": "2026-11-26T05:28:41Z", "saga": "order/\0"}
MONITOR, ADMIN = "monitor, API", "order, admin"
OPERATORS = (
    Case(
        "unknown saga",
        MONITOR,
        Call("GET", "/sagas/order/never%20heard%20of"),
        "404",
        ("never heard of", "check the id, or try again"),
    ),
    Case("NUL in the path", MONITOR, Call("GET", "/sagas/order/a%00b"), "404", ("a\\\\x00b",)),
    Case(
        "unknown status",
        MONITOR,
        Call("GET", "/sagas?status=lost"),
        "422",
        ("query.status", "not 'lost'"),
    ),
    Case(
        "a past that is no time",
        MONITOR,
        Call("GET", f"{KNOWN}?at=yesterday"),
        "422",
        ("at: 'yesterday' is not a time", "date, time and zone"),
    ),
    Case(
        "a past without a zone",
        MONITOR,
        Call("GET", f"{KNOWN}?at=2026-11-26T05:28:41"),
        "422",
        ("at: '2026-11-26T05:28:41' has no time zone", "2026-11-26T05:28:41Z"),
    ),
    Case(
        "a past that is to come",
        MONITOR,
        Call("GET", f"{KNOWN}?at=2999-01-01T00:00:00Z"),
        "422",
        ("2999-01-01T00:00:00Z is in the future", "ask for a time up to now"),
    ),
    Case(
        "a past before the saga",
        MONITOR,
        Call("GET", f"{KNOWN}?at=1999-01-01T00:00:00Z"),
        "404",
        ("the log had no event of saga order/well-known at 1999", "ask for a time from then on"),
    ),
    Case(
        "a past before the saga was read",
        MONITOR,
        Call("GET", f"{KNOWN}?at=1999-01-01T00:00:00Z&basis=read"),
        "404",
        ("the monitor had read no event", "ask for a time from then on"),
    ),
    Case(
        "a past on an unknown basis",
        MONITOR,
        Call("GET", f"{KNOWN}?at=2026-11-26T05:28:41Z&basis=guess"),
        "422",
        ("query.basis", "not 'guess'"),
    ),
    Case(
        "the past of an unknown saga",
        MONITOR,
        Call("GET", "/sagas/order/never?at=2026-11-26T05:28:41Z"),
        "404",
        ("no event of saga 'order/never'", "check the id"),
    ),
    Case(
        "limit below one",
        MONITOR,
        Call("GET", "/unreadable?limit=-1"),
        "422",
        ("query.limit", "not '-1'"),
    ),
    Case(
        "verdict on an unknown saga",
        MONITOR,
        Call(
            "POST",
            "/verdicts",
            json={
                "saga": "order/x\0",
                "step": "payment",
                "verdict": "approve",
                "actor": "a",
                "reason": "r",
            },
        ),
        "404",
        ("check the id",),
    ),
    Case(
        "cancelling a lone surrogate",
        MONITOR,
        raw(b'{"saga": "\\ud800", "actor": "a", "reason": "r"}', "/cancellations"),
        "422",
        ("body.saga",),
    ),
    Case(
        "verdict that is neither yes nor no",
        MONITOR,
        Call(
            "POST",
            "/verdicts",
            json={
                "saga": "order/x",
                "step": "payment",
                "verdict": "maybe",
                "actor": "a",
                "reason": "r",
            },
        ),
        "422",
        ("body.verdict", "not 'maybe'"),
    ),
    Case(
        "NaN for a reason",
        MONITOR,
        raw(b'{"reason": NaN}', "/cancellations"),
        "422",
        ("body.reason", "not nan"),
    ),
    Case(
        "lone surrogate for an actor",
        MONITOR,
        raw(b'{"actor": "\\ud800"}', "/cancellations"),
        "422",
        ("body.actor",),
    ),
    Case(
        "back-test of what is no TOML",
        MONITOR,
        Call("POST", "/backtests", json={"flow": "name = ", "last_s": 60}),
        "422",
        ("the flow file is not valid TOML", "correct it there"),
    ),
    Case(
        "back-test of a flow that is not declared",
        MONITOR,
        Call("POST", "/backtests", json={"flow": OTHER_FLOW, "last_s": 60}),
        "422",
        ("flow other: this contract has no flow of that name", "known: order", "keep its name"),
    ),
    Case(
        "back-test of no time",
        MONITOR,
        Call("POST", "/backtests", json={"flow": FLOW, "last_s": 0}),
        "422",
        ("body.last_s", "greater than 0"),
    ),
    Case(
        "back-test that goes on behind a NUL",
        MONITOR,
        Call("POST", "/backtests", json={"flow": FLOW, "last_s": 60, "after": BEHIND_NUL}),
        "422",
        ("body.after.saga", "no saga key"),
    ),
    Case(
        "back-test before the log is read",
        MONITOR,
        Call("POST", "/backtests", json={"flow": FLOW, "last_s": 60}),
        "409",
        ("has not read all topics to their end", "try again"),
    ),
    Case("limit below one", ADMIN, Call("GET", "/admin/parked?limit=-1"), "422", ("query.limit",)),
    Case(
        "limit of 40 digits",
        ADMIN,
        Call("GET", f"/admin/outbox?limit={10**40}"),
        "422",
        ("query.limit",),
    ),
    Case(
        "NUL in a saga key",
        ADMIN,
        Call("GET", "/admin/effects?saga=%00"),
        "422",
        ("query.saga",),
    ),
    Case(
        "record beyond all numbers",
        ADMIN,
        Call("DELETE", f"/admin/parked/{2**63}?actor=a&reason=r"),
        "422",
        ("path.number",),
    ),
    Case(
        "unknown record",
        ADMIN,
        Call("DELETE", "/admin/parked/999999?actor=a&reason=r"),
        "404",
        ("no parked record 999999", "GET /admin/parked lists them"),
    ),
    Case("discarded by nobody", ADMIN, Call("DELETE", "/admin/parked/1"), "422", ("query.actor",)),
    Case(
        "key of 10 kB",
        ADMIN,
        Call("POST", f"/admin/parked/{'x' * 10_240}/redrive"),
        "422",
        ("path.key",),
    ),
    Case("NUL in a key", ADMIN, Call("POST", "/admin/parked/%00/redrive"), "422", ("path.key",)),
    Case("no such route", ADMIN, Call("GET", "/nowhere"), "404", ("Not Found",)),
)
