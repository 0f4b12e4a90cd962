"""Runs a fake payment provider with its own ledger: `python -m shop.outside.provider`.

The card token chooses the behaviour; `<s>` is seconds, `<n>` a number of calls:

| card token | what happens |
|---|---|
| `tok_ok` | captured |
| `tok_declined` | declined, `insufficient_funds` |
| `tok_action` | action required; captured by a POST to its `action_url`, then webhook |
| `tok_action_auto:<s>` | as `tok_action`, and captured after s without the POST |
| `tok_slow:<s>` | captured at once, answered after s |
| `tok_500:<n>` | the first n calls answer 500 with nothing recorded, then captured |
| `tok_lost` | captured, then the connection is dropped unanswered; the next call is answered |
| `tok_async:<s>` | pending; captured after s, then webhook |
| `tok_async_declined:<s>` | pending; declined after s, then webhook |
| `tok_async_before:<s>` | captured; answered s after its webhook was answered 2xx |
| `tok_late:<s>` | pending; captured s after it is voided, webhook twice (two event ids) |
| `tok_refund_500:<n>` | captured; the first n refund calls answer 500 with nothing recorded |
| `tok_refund_partial` | captured; the first refund returns half, rounded down: `partial` |
| `tok_refund_refused` | captured; every refund is refused for good, `charge_disputed` |
| `tok_refund_async:<s>` | captured; a refund is pending, refunded after s, then webhook |
| `tok_refund_fails:<s>` | captured; the first refund fails s after it was made, then webhook |
| `tok_part:<s>` | one minor unit is captured; the rest after s, then webhook |
| `tok_part_only` | one minor unit is captured, and no more |
| `tok_dispute_won:<s>` | captured; disputed after s, won s later, each with a webhook |
| `tok_dispute_lost:<s>` | captured; disputed after s, lost s later, each with a webhook |
| anything else | declined, `invalid_token` |

A call under a known key is answered at once with the charge (or refund) as it is now; a known key
with different content is refused with 409 `idempotency_key_reuse`. So a second refund of one charge
(the rest of a partial one, a late capture) needs a key of its own.

A refund that arrives before the capture sets the charge to `voided`. A refund by a `charge_key`
that has no charge stores the key as voided, and a later charge under it is declined, `voided`.
Webhooks: `charge.captured`, `charge.declined`, `refund.succeeded`, `refund.failed`,
`dispute.opened`, `dispute.won`, `dispute.lost`; see `saga_lab.fakes.callbacks`.

Rehearsals: see `saga_lab.fakes.trouble` for outages and other trouble; POST `/control/flush` (run
everything now that is due later), `/control/resend` {"saga"} (post its last webhook again, same
event id).
"""

from typing import Annotated

from fastapi import Depends, Request, Response

from saga_lab.fakes import base, callbacks
from shop.outside import charges
from shop.outside.reference_page import ReferencePageAsked

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
    step, webhook = provider.charge(key, asked)
    if webhook is not None:
        await request.app.state.callbacks.delivered(webhook)
    return await base.reply(request, step)


@router.get("/charges")
async def list_charges(provider: Provider, asked: ReferencePageAsked) -> Response:
    return base.json_response(provider.charges(asked))


@router.get("/charges/{charge_id}")
async def show_charge(provider: Provider, charge_id: str) -> Response:
    return base.json_response(provider.find(charge_id).view())


@router.post("/charges/{charge_id}/complete")
async def complete(request: Request, provider: Provider, charge_id: str) -> Response:
    return await base.reply(request, provider.complete(charge_id))


@router.post("/refunds")
async def refund(
    request: Request,
    provider: Provider,
    key: base.IdempotencyKey,
    asked: charges.RefundRequest,
) -> Response:
    return await base.reply(request, provider.refund(key, asked))


@router.get("/refunds")
async def list_refunds(provider: Provider, asked: ReferencePageAsked) -> Response:
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
