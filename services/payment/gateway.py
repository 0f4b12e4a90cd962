"""Connects payment to the provider: the port and its HTTP adapter.

Contract of the provider: `POST /v1/charges` and `POST /v1/refunds`, each with the header
`Idempotency-Key`, `GET /v1/charges/{id}`; webhooks see `service`. Only the documented business
answers count as an answer: the statuses of charges and refunds, and the refusals
`already_refunded`, REFUSED_FOR_GOOD and `charge_not_found`. A captured charge says what was
captured, which may be other than what was asked for. An answer about another reference, charge or
refund is no answer. Anything else leaves the outcome unknown (see
`sagakit.effects.http_gateway`), so a decline is never
assumed. A refund that the bank keeps pending is requested again under its key as well, so that its
outcome becomes known even without a webhook.
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeGuard
from urllib.parse import quote

from sagakit.bounded_http import HttpClient
from sagakit.decider import Effect
from sagakit.effects.http_gateway import (
    KEY_MEMORY,
    HttpGateway,
    asks_first,
    is_identifier,
    wire_key,
)
from sagakit.errors import EffectFailed, ResultPending
from services.payment.ledger import (
    CHARGE,
    ActionRequired,
    Captured,
    Declined,
    NothingLeft,
    Pending,
    Refunded,
    RefundFailed,
    RefundRefused,
    Unknown,
    Voided,
)

EVERYTHING_MINOR = 10**12
"""The highest possible charge; a refund of this amount returns all that was captured."""
NOTHING_LEFT = (409, "already_refunded")
"""The refusal of a refund that is a business answer: status and code."""
REFUSED_FOR_GOOD = (
    "account_closed",
    "charge_disputed",
    "refund_impossible",
    "refund_too_old",
)
"""Codes of refunds that the provider will never make; a person has to settle the charge."""
FINAL_REFUSALS = tuple(
    (status, code) for status in (400, 402, 403, 409, 410, 422) for code in REFUSED_FOR_GOOD
)
DECLINE_CODES = frozenset(
    (
        "declined",
        "do_not_honor",
        "expired_card",
        "fraud_suspected",
        "insufficient_funds",
        "invalid_token",
        "lost_card",
        "stolen_card",
        "voided",
    )
)
"""Why a charge may be declined. Any other code is not shown: it could hold a person's data."""
OTHER_DECLINE = "declined"
CODES = (
    "action_required",
    "already_refunded",
    "captured",
    "charge_not_found",
    "charge_not_named",
    "declined",
    "failed",
    "partial",
    "pending",
    "refunded",
    "voided",
)
"""Statuses and error codes of the provider that errors may show."""
MAX_URL_CHARS = 2000
NOT_FOUND = (404, "charge_not_found")
"""The refusal of a charge id that the provider does not know."""
MAX_AMOUNT_MINOR = 2**53
ChargeAnswer = Captured | Declined | ActionRequired | Pending
RefundAnswer = Voided | Refunded | NothingLeft | RefundRefused | RefundFailed


class Provider(Protocol):
    """The port to a provider. All methods raise EffectFailed when the outcome is unknown."""

    async def charge(self, effect: Effect) -> ChargeAnswer:
        """Take the money, or return the charge made under the idempotency key before.

        payload: `amount_minor`, `currency`, `card_token`.
        """
        ...

    async def look(self, effect: Effect) -> ChargeAnswer | Unknown:
        """Return the charge as it is now, or that the saga has none of that id.

        payload: `charge_id`.
        """
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
        self._http = HttpGateway("provider", client, base_url, CODES)

    async def charge(self, effect: Effect) -> ChargeAnswer:
        """See `Provider`."""
        asked = {k: effect.payload[k] for k in ("amount_minor", "currency", "card_token")}
        body = {"reference": effect.saga, **asked}
        answer = await self._made_before("/v1/charges", effect)
        if answer is None:
            answer = await self._http.call("POST", "/v1/charges", effect.idempotency_key, body)
        captured = answer.get("status") == "captured"  # which says what was captured
        echoed = ("reference",) if captured else ("reference", "amount_minor", "currency")
        where = f"charge {effect.idempotency_key}"
        self._http.check_echo(where, answer, {name: body[name] for name in echoed})
        return self._charge(effect, answer)

    async def look(self, effect: Effect) -> ChargeAnswer | Unknown:
        """See `Provider`."""
        charge_id = str(effect.payload["charge_id"])
        path = f"/v1/charges/{quote(charge_id, safe='')}"
        answer = await self._http.call("GET", path, effect.idempotency_key, refusals=[NOT_FOUND])
        read = look_answer(effect, answer)
        if read is None:
            raise self._http.unusable(f"charge {charge_id}", answer)
        return read

    async def refund(self, effect: Effect) -> RefundAnswer:
        """See `Provider`."""
        amount_minor = effect.payload["amount_minor"]
        body = {
            "reference": effect.saga,
            "charge_id": effect.payload["charge_id"],
            "charge_key": wire_key(effect.key_of(CHARGE)),
            "amount_minor": EVERYTHING_MINOR if amount_minor is None else amount_minor,
        }
        answer = await self._made_before("/v1/refunds", effect)
        if answer is None:
            answer = await self._http.call(
                "POST",
                "/v1/refunds",
                effect.idempotency_key,
                body,
                refusals=[NOTHING_LEFT, *FINAL_REFUSALS],
            )
        if "error" not in answer and not _is_about(answer, body):
            raise self._http.unusable(f"refund {effect.idempotency_key}", answer)
        read = refund_answer(answer, void=amount_minor is None)
        if read is None:
            raise self._http.unusable(f"refund {effect.idempotency_key}", answer)
        return read

    async def _made_before(self, path: str, effect: Effect) -> dict[str, Any] | None:
        """Return what an earlier attempt made, if asking again may not tell (`asks_first`).

        Raises EffectFailed if only the ledger could tell.
        """
        if not asks_first(effect):
            return None
        try:
            return await self._http.made_before(path, effect)
        except EffectFailed:
            if effect.age >= KEY_MEMORY:
                raise
        return None  # the key is still known, so that asking again takes no money twice

    def _charge(self, effect: Effect, answer: Mapping[str, Any]) -> ChargeAnswer:
        read = charge_answer(answer)
        if read is None:
            raise self._http.unusable(f"charge {effect.idempotency_key}", answer)
        return read


def _is_about(refund: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Return True if a refund is of the order and charge that were asked for, and not above it."""
    charge_id, amount_minor = asked["charge_id"], refund.get("amount_minor", 0)
    return (
        refund.get("reference") == asked["reference"]
        and (charge_id is None or refund.get("charge_id") in (None, charge_id))
        and is_amount(amount_minor)
        and amount_minor <= asked["amount_minor"]
    )


def look_answer(effect: Effect, answer: Mapping[str, Any]) -> ChargeAnswer | Unknown | None:
    """Return what the answer to a look says, None if it says nothing of that charge."""
    charge_id = str(effect.payload["charge_id"])
    if "error" in answer or answer.get("reference", effect.saga) != effect.saga:
        return Unknown(charge_id)
    return charge_answer(answer) if answer.get("id") == charge_id else None


def charge_answer(charge: Mapping[str, Any]) -> ChargeAnswer | None:
    """Return what a charge of the provider's API says, None if it says nothing."""
    if not is_identifier(charge.get("id")):
        return None
    match charge:
        case {
            "id": str(charge_id),
            "status": "captured",
            "amount_minor": int(amount_minor),
            "currency": str(currency),
        } if is_identifier(currency) and is_amount(amount_minor):
            refunded = charge.get("amount_refunded_minor")
            known = is_amount(refunded) and refunded <= amount_minor
            return Captured(charge_id, amount_minor, currency, refunded if known else None)
        case {"id": str(charge_id), "status": "declined" | "voided" as status}:
            code = decline_code(charge.get("decline_code") or status)
            return Declined(charge_id, code, f"the provider says {code}")
        case {"id": str(charge_id), "status": "action_required", "action_url": str(action_url)}:
            return ActionRequired(charge_id, action_url) if _is_url(action_url) else None
        case {"id": str(charge_id), "status": "pending"}:
            return Pending(charge_id)
    return None


def decline_code(code: object) -> str:
    """Return a known code of a declined charge; the same for all others."""
    return code if isinstance(code, str) and code in DECLINE_CODES else OTHER_DECLINE


def is_amount(value: object) -> TypeGuard[int]:
    """Return True for an amount in minor units; JSON's `true` is none."""
    return type(value) is int and 0 <= value < MAX_AMOUNT_MINOR


def _is_url(text: str) -> bool:
    return 0 < len(text) < MAX_URL_CHARS and text.isprintable() and " " not in text


def refund_answer(refund: Mapping[str, Any], *, void: bool) -> RefundAnswer | None:
    """Return what a refund of the provider's API says, None if it says nothing.

    `void`: all of the charge was asked for, so that it may be voided. A refund of nothing says
    nothing: it would be asked for again at once, under a new key. Raises ResultPending while the
    refund is pending.
    """
    if "error" not in refund and not is_identifier(refund.get("id")):
        return None
    match refund:
        case {"error": {"code": code}} if code in REFUSED_FOR_GOOD:
            return RefundRefused(str(code))
        case {"error": _}:
            return NothingLeft()
        case {"id": str(refund_id), "status": "voided"} if void:
            return Voided(refund_id)
        case {"id": str(refund_id), "status": "pending"}:
            raise ResultPending(f"refund {refund_id} is pending at the provider; asking again")
        case {
            "id": str(refund_id),
            "charge_id": str(charge_id),
            "status": "failed",
            "amount_minor": int(amount_minor),
        } if is_amount(amount_minor):
            return RefundFailed(refund_id, charge_id, amount_minor)
        case {
            "id": str(refund_id),
            "charge_id": str(charge_id),
            "status": "refunded" | "partial" as status,
            "amount_minor": int(given_minor),
        } if is_amount(given_minor) and given_minor and is_identifier(charge_id):
            return Refunded(refund_id, given_minor, charge_id, status == "partial")
    return None
