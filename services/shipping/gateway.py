"""Connects shipping to the carrier: the port and its HTTP adapter.

Contract of the carrier: `POST /v1/labels`, `POST /v1/cancellations`, each with the header
`Idempotency-Key`; webhook `label.picked_up` (see `service`), one for each of the label's `parcels`
with its `tracking`. A label and a cancellation always have the `reference` that was asked for; one
without it is believed as little as one with another. A cancellation may leave `label_id` and
`label_key` out. Only these documented answers count; anything else leaves the outcome unknown (see
`sagakit.effects.http_gateway`). A refusal by a code has no reference: it is the call's own answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeGuard

from sagakit.bounded_http import HttpClient
from sagakit.decider import Effect
from sagakit.effects.http_gateway import HttpGateway, asks_first, is_identifier, wire_key
from sagakit.errors import EffectFailed
from sagakit.privacy.key_service_client import KeyServiceClient
from sagakit.privacy.sealed_text import KeyErased
from sagakit.web.ledger_pages import Row
from services.shipping.decide import (
    CANCEL,
    LABEL,
    Cancelled,
    Labelled,
    PickedUp,
    Refused,
    TooLate,
)

CODES = ("cancelled", "created", "label_not_found", "label_not_named", "picked_up", "refused")
"""Statuses and error codes of the carrier that errors may show."""
REFUSALS: Mapping[str, str] = {
    "no_delivery": "the carrier does not deliver to this address",
    "bad_address": "the carrier does not understand the address",
    "too_heavy": "the parcel is too heavy for the carrier",
    "cancelled": "cancelled before it was made",
}
"""Why the carrier refuses a label, by its code. Its own words may hold the address: they are not
kept."""
KEPT = ("in_transit", "not_cancellable")
"""Codes of a label that the carrier never cancels: the parcel goes its way."""
GONE = ("already_cancelled", "label_expired")
"""Codes of a label that nobody can use any more."""
FINAL_REFUSALS = tuple((status, code) for status in (400, 409, 410, 422) for code in KEPT + GONE)
OTHER_REFUSAL = "the carrier refuses it, for a reason that is not known here"
MAX_PARCELS = 10_000
LabelAnswer = Labelled | Refused | PickedUp
CancelAnswer = Cancelled | TooLate


class Carrier(Protocol):
    """The port to a carrier. Both methods raise EffectFailed when the outcome is unknown."""

    async def label(self, effect: Effect) -> LabelAnswer:
        """Make a label, or return the state of the one made under the idempotency key before.

        payload: `order_id`, `order` (an OrderFacts record).
        """
        ...

    async def cancel(self, effect: Effect) -> CancelAnswer:
        """Cancel the label; a label that was never made is refused from now on.

        payload: `label_id` (None if never learned).
        """
        ...


class LabelStatement(Protocol):
    """The port to a carrier's list of labels, for reconciliation."""

    async def labels(self, offset: int, limit: int) -> tuple[Sequence[Row], int | None]:
        """Return a page of valid labels and the offset of the next page, None at the end.

        A page has at most `limit` rows: `saga`, `label_id`, `gone` (picked up). Raises
        EffectFailed.
        """
        ...


class HttpCarrier:
    """Calls the carrier over HTTP. The caller closes `client`; `base_url` has no path; `vault`
    opens sealed addresses."""

    def __init__(self, client: HttpClient, base_url: str, vault: KeyServiceClient) -> None:
        self._http = HttpGateway("carrier", client, base_url, CODES)
        self._vault = vault

    async def label(self, effect: Effect) -> LabelAnswer:
        """See `Carrier`."""
        payload: Mapping[str, Any] = effect.payload
        sealed = (payload["order"]["ship_to"], payload["order"]["email"])
        try:
            ship_to, email = await self._vault.open(*sealed)
        except KeyErased as error:
            return await self._never_labelled(effect, str(error))
        return await self._label(effect, ship_to, email)

    async def _never_labelled(self, effect: Effect, reason: str) -> Refused:
        """Refuse a label whose address is erased, so that nobody can ask for it again. A label made
        before, its answer lost, is cancelled by its key; one never made is refused from now on.
        Raises EffectFailed if the parcel is picked up."""
        cancel = Effect(CANCEL, CANCEL, {"label_id": None}, effect.saga)
        if isinstance(await self.cancel(cancel), TooLate):
            parcel = f"the parcel of {effect.saga}"
            raise EffectFailed(f"{reason}, and {parcel} is picked up; ask a person")
        return Refused(reason)

    async def _label(self, effect: Effect, ship_to: str, email: str) -> LabelAnswer:
        payload: Mapping[str, Any] = effect.payload
        order = payload["order"]
        body = {
            "reference": effect.saga,
            "ship_to": ship_to,
            "email": email,
            "lines": [{"sku": x["sku"], "quantity": x["quantity"]} for x in order["lines"]],
        }
        answer = None
        if asks_first(effect):
            answer = await self._http.made_before("/v1/labels", effect)
        if answer is None:
            answer = await self._http.call("POST", "/v1/labels", effect.idempotency_key, body)
        about = answer.get("reference") == effect.saga
        read = label_answer(str(payload["order_id"]), answer) if about else None
        if read is None:
            raise self._http.unusable(f"label {effect.idempotency_key}", answer)
        return read

    async def cancel(self, effect: Effect) -> CancelAnswer:
        """See `Carrier`."""
        body = {
            "reference": effect.saga,
            "label_id": effect.payload["label_id"],
            "label_key": wire_key(effect.key_of(LABEL)),
        }
        if asks_first(effect) and (ended := await self._ended(effect)):
            return ended
        answer = await self._http.call(
            "POST",
            "/v1/cancellations",
            effect.idempotency_key,
            body,
            refusals=FINAL_REFUSALS,
        )
        read = cancel_answer(answer) if _is_about(answer, body) else None
        if read is None:
            raise self._http.unusable(f"cancellation {effect.idempotency_key}", answer)
        return read

    async def _ended(self, effect: Effect) -> CancelAnswer | None:
        """Return how the label that is to be cancelled has ended, None if it has not."""
        key = effect.key_of(LABEL)
        match await self._http.made_before("/v1/labels", effect, key):
            case {"status": "cancelled"}:
                return Cancelled()
            case {"status": "picked_up"}:
                return TooLate()
        return None

    async def labels(self, offset: int, limit: int) -> tuple[Sequence[Row], int | None]:
        """See `LabelStatement`."""
        rows, more = await self._http.page("/v1/labels", offset, limit)
        valid = [row for row in rows if row.get("status") in ("created", "picked_up")]
        return [self._line(row) for row in valid], more

    def _line(self, row: Row) -> Row:
        match row:
            case {"reference": str(saga), "id": str(label_id), "status": status}:
                return {"saga": saga, "label_id": label_id, "gone": status == "picked_up"}
        raise self._http.unusable("a row of the ledger", row)


def label_answer(order_id: str, label: Mapping[str, Any]) -> LabelAnswer | None:
    """Return what a label of the carrier's API says, None if it says nothing."""
    named = is_identifier(label.get("id")) and is_identifier(label.get("tracking"))
    match label:
        case {"status": "created" | "picked_up"} if not named:
            return None
        case {"status": "created", "id": str(label_id), "tracking": str(tracking)}:
            parcels = label.get("parcels", 1)
            known = is_number_of_parcels(parcels)
            return Labelled(label_id, tracking, parcels) if known else None
        case {"status": "picked_up", "id": str(label_id), "tracking": str(tracking)}:
            return PickedUp(order_id, label_id, tracking)
        case {"status": "refused"}:
            return Refused(REFUSALS.get(str(label.get("code")), OTHER_REFUSAL))
        case {"status": "cancelled"}:
            return Refused("cancelled at the carrier")
    return None


def is_number_of_parcels(value: object) -> TypeGuard[int]:
    """Return True for a number of parcels that a label may have; JSON's `true` is none."""
    return type(value) is int and 1 <= value <= MAX_PARCELS


def _is_about(cancellation: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Return True if a cancellation is of the order, and of no other label than was asked for."""
    label_id = asked["label_id"]
    if "error" in cancellation:
        return True
    return (
        cancellation.get("reference") == asked["reference"]
        and cancellation.get("label_key", asked["label_key"]) == asked["label_key"]
        and (label_id is None or cancellation.get("label_id") in (None, label_id))
    )


def cancel_answer(cancellation: Mapping[str, Any]) -> CancelAnswer | None:
    """Return what a cancellation of the carrier's API says, None if it says nothing."""
    match cancellation:
        case {"error": {"code": code}}:
            return TooLate() if code in KEPT else Cancelled()
        case {"status": "cancelled"}:
            return Cancelled()
        case {"status": "too_late"}:
            return TooLate()
    return None
