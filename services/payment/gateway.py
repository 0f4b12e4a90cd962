"""Connects payment to the provider: the port and its HTTP adapter.

Contract of the provider: `POST /v1/charges` and `POST /v1/refunds`, each with the header
`Idempotency-Key`, `GET /v1/charges/{id}`; webhooks see `service`. Only the documented business
answers count as an answer: the statuses of charges and refunds, and the refusal `already_refunded`.
Anything else leaves the outcome unknown (see `sagakit.effects.http_gateway`), so a decline is never
assumed. A refund that the bank keeps pending is requested again under its key as well, so that its
outcome becomes known even without a webhook.
"""

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

from sagakit.bounded_http import HttpClient
from sagakit.decider import Effect
from sagakit.effects.http_gateway import HttpGateway, wire_key
from sagakit.errors import ResultPending
from services.payment.ledger import (
    CHARGE,
    ActionRequired,
    Captured,
    Declined,
    NothingLeft,
    Pending,
    Refunded,
    Voided,
)

EVERYTHING_MINOR = 10**12
"""The highest possible charge; a refund of this amount returns all that was captured."""
NOTHING_LEFT = (409, "already_refunded")
"""The refusal of a refund that is a business answer: status and code."""
ChargeAnswer = Captured | Declined | ActionRequired | Pending
RefundAnswer = Voided | Refunded | NothingLeft


class Provider(Protocol):
    """The port to a provider. All methods raise EffectFailed when the outcome is unknown."""

    async def charge(self, effect: Effect) -> ChargeAnswer:
        """Take the money, or return the charge made under the idempotency key before.

        payload: `amount_minor`, `currency`, `card_token`.
        """
        ...

    async def look(self, effect: Effect) -> ChargeAnswer:
        """Return the charge as it is now. payload: `charge_id`."""
        ...

    async def refund(self, effect: Effect) -> RefundAnswer:
        """Refund up to `amount_minor` of a captured charge (None: all of it).

        A charge that is not captured is voided, also one that was never made.
        payload: `charge_id` (None if never learned), `amount_minor`.
        Raises ResultPending while the refund is pending.
        """
        ...


class HttpProvider:
    """Calls the provider over HTTP. The caller closes `client`; `base_url` has no path."""

    def __init__(self, client: HttpClient, base_url: str) -> None:
        self._http = HttpGateway("provider", client, base_url)

    async def charge(self, effect: Effect) -> ChargeAnswer:
        """See `Provider`."""
        asked = {k: effect.payload[k] for k in ("amount_minor", "currency", "card_token")}
        body = {"reference": effect.saga, **asked}
        http = self._http.hiding(str(body["card_token"]))
        answer = await http.call("POST", "/v1/charges", effect.idempotency_key, body)
        for name in ("reference", "amount_minor", "currency"):
            if answer.get(name) != body[name]:
                detail = f"asked for {name} {body[name]!r}, answered {answer}"
                raise http.unusable(f"charge {effect.idempotency_key}", detail)
        return self._charge(http, effect, answer)

    async def look(self, effect: Effect) -> ChargeAnswer:
        """See `Provider`."""
        path = f"/v1/charges/{quote(str(effect.payload['charge_id']), safe='')}"
        answer = await self._http.call("GET", path, effect.idempotency_key)
        return self._charge(self._http, effect, answer)

    async def refund(self, effect: Effect) -> RefundAnswer:
        """See `Provider`."""
        amount_minor = effect.payload["amount_minor"]
        body = {
            "reference": effect.saga,
            "charge_id": effect.payload["charge_id"],
            "charge_key": wire_key(effect.key_of(CHARGE)),
            "amount_minor": EVERYTHING_MINOR if amount_minor is None else amount_minor,
        }
        answer = await self._http.call(
            "POST", "/v1/refunds", effect.idempotency_key, body, refusals=[NOTHING_LEFT]
        )
        read = refund_answer(answer, void=amount_minor is None)
        if read is None:
            raise self._http.unusable(f"refund {effect.idempotency_key}", str(answer))
        return read

    def _charge(self, http: HttpGateway, effect: Effect, answer: Mapping[str, Any]) -> ChargeAnswer:
        read = charge_answer(answer)
        if read is None:
            raise http.unusable(f"charge {effect.idempotency_key}", str(answer))
        return read


def charge_answer(charge: Mapping[str, Any]) -> ChargeAnswer | None:
    """Return what a charge of the provider's API says, None if it says nothing."""
    match charge:
        case {
            "id": str(charge_id),
            "status": "captured",
            "amount_minor": int(amount_minor),
            "currency": str(currency),
        }:
            return Captured(charge_id, amount_minor, currency)
        case {"id": str(charge_id), "status": "declined" | "voided" as status}:
            code = str(charge.get("decline_code") or status)
            return Declined(charge_id, code, f"the provider says {code}")
        case {"id": str(charge_id), "status": "action_required", "action_url": str(action_url)}:
            return ActionRequired(charge_id, action_url)
        case {"id": str(charge_id), "status": "pending"}:
            return Pending(charge_id)
    return None


def refund_answer(refund: Mapping[str, Any], *, void: bool) -> RefundAnswer | None:
    """Return what a refund of the provider's API says, None if it says nothing.

    `void`: all of the charge was asked for, so that it may be voided. Raises ResultPending while
    the refund is pending.
    """
    match refund:
        case {"error": _}:
            return NothingLeft()
        case {"id": str(refund_id), "status": "voided"} if void:
            return Voided(refund_id)
        case {"id": str(refund_id), "status": "pending"}:
            raise ResultPending(f"refund {refund_id} is pending at the provider; asking again")
        case {
            "id": str(refund_id),
            "charge_id": str(charge_id),
            "status": "refunded" | "partial" as status,
            "amount_minor": int(given_minor),
        } if given_minor >= 0:
            return Refunded(refund_id, given_minor, charge_id, status == "partial")
    return None
