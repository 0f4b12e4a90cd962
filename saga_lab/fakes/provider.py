"""A payment provider with a ledger of its own: `python -m saga_lab.fakes.provider`.

The card token chooses what happens; `<s>` is seconds, `<n>` a number of calls:

| card token | what happens |
|---|---|
| `tok_ok` | captured |
| `tok_declined` | declined, `insufficient_funds` |
| `tok_action` | action required; captured when somebody POSTs its `action_url`, then webhook |
| `tok_action_auto:<s>` | as `tok_action`; the customer does it by himself after s |
| `tok_slow:<s>` | captured at once, answered after s |
| `tok_500:<n>` | the first n calls answer 500 with nothing recorded, then captured |
| `tok_lost` | captured, then the connection is dropped unanswered; the next call is answered |
| `tok_async:<s>` | pending; captured after s, then webhook |
| `tok_async_declined:<s>` | pending; declined after s, then webhook |
| `tok_async_before:<s>` | captured; answered after s and only once the webhook has been taken |
| `tok_late:<s>` | pending; captured s after it is voided, webhook twice (two event ids) |
| `tok_refund_500:<n>` | captured; the first n refund calls answer 500 with nothing recorded |
| `tok_refund_partial` | captured; the first refund gives back half, rounded down: `partial` |
| `tok_refund_async:<s>` | captured; a refund is pending, refunded after s, then webhook |
| anything else | declined, `invalid_token` |

Under a key already known the call is answered at once with the charge (or refund) as it is now; a
key that comes with another content is refused with 409 `idempotency_key_reuse`. So a second refund
of one charge (the rest of a partial one, a late capture) needs a key of its own.

A charge can also be `voided`: a refund came before it was captured. A refund of a charge that never
was leaves a mark, and a later charge under that `charge_key` is declined, `voided`. Webhooks:
`charge.captured`, `charge.declined`, `refund.succeeded`; see `saga_lab.fakes.callbacks`.

Rehearsals: see `saga_lab.fakes.trouble` for outages and the like; POST `/control/flush` (all that
is due later happens now), `/control/resend` {"order_id"} (its last webhook again, same event id).
"""

from typing import Annotated

from fastapi import Depends, Request, Response

from saga_lab.fakes import base, callbacks, charges

router = base.v1_router()


async def _charges(request: Request) -> charges.Charges:
    provider: charges.Charges = request.app.state.charges
    return provider


Provider = Annotated[charges.Charges, Depends(_charges)]


@router.post("/charges")
async def charge(
    request: Request,
    provider: Provider,
    key: base.IdempotencyKey,
    asked: charges.ChargeRequest,
) -> Response:
    answer, webhook = provider.charge(key, asked)
    if webhook is not None:
        await request.app.state.callbacks.delivered(webhook)
    return await base.reply(request, answer)


@router.get("/charges")
async def list_charges(provider: Provider, asked: base.PageAsked) -> Response:
    return base.json_response(provider.charges(asked))


@router.get("/charges/{charge_id}")
async def show_charge(provider: Provider, charge_id: str) -> Response:
    return base.json_response(charges.charge_view(provider.find(charge_id)))


@router.post("/charges/{charge_id}/complete")
async def complete(provider: Provider, charge_id: str) -> Response:
    return base.json_response(provider.complete(charge_id))


@router.post("/refunds")
async def refund(
    provider: Provider, key: base.IdempotencyKey, asked: charges.RefundRequest
) -> Response:
    return base.json_response(provider.refund(key, asked))


@router.get("/refunds")
async def list_refunds(provider: Provider, asked: base.PageAsked) -> Response:
    return base.json_response(provider.refunds(asked))


def main() -> None:
    settings = base.read_settings(base.CallbackSettings)
    ledger = base.Ledger(settings.db, charges.SCHEMA + callbacks.SCHEMA)
    app = base.create_app(ledger, router, callbacks.router)
    app.state.callbacks = callbacks.Callbacks(ledger, settings, app)
    app.state.charges = charges.Charges(ledger, app.state.callbacks)
    base.serve(app, settings, app.state.callbacks.running())


if __name__ == "__main__":
    main()
