"""Bad requests to the fake provider, carrier and mail server."""

from tests.bad_input.case import Call, Case, raw

PROVIDER, CARRIER, MAIL = "provider, API", "carrier, API", "mail, API"
JSON = {"content-type": "application/json"}

CHARGE = {"reference": "order/o", "amount_minor": 1, "currency": "EUR", "card_token": "tok_ok"}
WORLD = (
    Case(
        "no Idempotency-Key",
        PROVIDER,
        Call("POST", "/v1/charges", json=CHARGE),
        "400",
        ("Idempotency-Key is missing", "send one key"),
    ),
    Case(
        "offset beyond all numbers",
        MAIL,
        Call("GET", f"/v1/mails?offset={2**63}"),
        "400",
        ("offset",),
    ),
    Case(
        "quantity beyond all numbers",
        CARRIER,
        Call(
            "POST",
            "/v1/labels",
            json={
                "reference": "order/o",
                "ship_to": "x",
                "email": "e",
                "lines": [{"sku": "s", "quantity": 2**70}],
            },
            headers={"Idempotency-Key": "k"},
        ),
        "400",
        ("lines.0.quantity",),
    ),
    Case(
        "outage that never ends",
        CARRIER,
        raw(b'{"seconds": Infinity}', "/control/outage"),
        "400",
        ("seconds",),
    ),
    Case(
        "NaN for an amount",
        PROVIDER,
        raw(
            b'{"reference": "order/o", "amount_minor": NaN, "currency": "EUR", "card_token": "x"}',
            "/v1/charges",
        )._replace(headers={"Idempotency-Key": "k", **JSON}),
        "400",
        ("amount_minor",),
    ),
    Case(
        "refund of an unknown charge",
        PROVIDER,
        Call(
            "POST",
            "/v1/refunds",
            json={"reference": "order/o", "charge_id": "ch_x", "amount_minor": 1},
            headers={"Idempotency-Key": "r"},
        ),
        "404",
        ("'ch_x'", "name its charge_key"),
    ),
)
