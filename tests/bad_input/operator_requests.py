"""Bad requests of operators: to the monitor and to the routes below /admin."""

from tests.bad_input.case import Call, Case, raw

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
