"""The privacy API seals, opens and erases personal data.

Expose it inside the network only, like `/admin`.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Protocol

from fastapi import APIRouter, Body, Header, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sagakit.actors import personal_actor
from sagakit.store.ports import Clock
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope
from sagakit.web.login import LoggedIn, actor_of, address_of
from schemas.events import OrderFacts
from schemas.rules import MAX_CUSTOMER_ID, printable
from services.order.decide import digest, is_in_clear
from services.order.problem import Problem, ProblemError, ProblemRoute
from services.order.vault import CustomerTexts, Erasure, Opener

MAX_TEXTS = 100
ITSELF = Opener("order", "")
"""Opens what another publisher sealed, to compare it."""
CONTENT = {"application/problem+json": {"schema": Problem.model_json_schema()}}
PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]+$"
CustomerId = Annotated[str, Field(min_length=1, max_length=MAX_CUSTOMER_ID, pattern=PRINTABLE)]
Clear = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]
CallerName = Annotated[str, Header(max_length=200, description="Who opens them, for the audit.")]
Texts = Annotated[list[str], Field(max_length=MAX_TEXTS)]


class CustomerKeys(Protocol):
    """The port to the customers' keys; see `vault.Vault`."""

    def seal(self, wanted: Sequence[CustomerTexts], now: datetime) -> list[list[str]]:
        """Return the texts, sealed with their customers' keys."""
        ...

    def open(self, texts: Sequence[str], by: Opener) -> list[str | None]:
        """Return the texts in clear; None where the key is gone. Keeps who opened them."""
        ...

    def kept(self, texts: Sequence[str]) -> list[bool]:
        """Tell of each sealed text whether its key is kept."""
        ...

    def erase(
        self, customer: str, actor: str, reason: str, now: datetime, *, force: bool = False
    ) -> Erasure:
        """Delete the customer's key."""
        ...


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SealRequest(_Request):
    """Texts to seal with a customer's key."""

    customer_id: CustomerId
    texts: Annotated[list[Clear], Field(max_length=MAX_TEXTS)]


class OpenRequest(_Request):
    """Sealed texts to open."""

    texts: Texts


class ErasureRequest(_Request):
    """The customer whose data to erase, with the actor and the reason."""

    customer_id: CustomerId
    actor: Annotated[
        str, Field(min_length=1, max_length=200, examples=["ada"]), AfterValidator(personal_actor)
    ]
    reason: str = Field(min_length=1, max_length=500, examples=["asked for by mail, ticket 4711"])
    force: bool = Field(False, description="Also while orders are in flight: they are undone.")


class SealedTexts(BaseModel):
    """The sealed texts, in the sequence of the request."""

    texts: list[str]


class OpenedTexts(BaseModel):
    """The opened texts, in the sequence of the request; null where the key is gone."""

    texts: list[str | None]


class ErasureResult(BaseModel):
    """The result of an erasure."""

    customer_id: str
    erased_at: datetime | None = Field(description="Null where nothing of the customer was sealed.")
    in_flight: list[str] = Field(description="Orders that needed the data, and are undone (some).")
    in_clear: list[str] = Field(
        description="Orders that somebody published without sealing them (some): these stay."
    )


def seal_facts(keys: CustomerKeys, orders: Sequence[OrderFacts], now: datetime) -> list[OrderFacts]:
    """Return the facts of orders with the personal ones, `email` and `ship_to`, sealed."""
    sealed = keys.seal([(facts.customer_id, (facts.email, facts.ship_to)) for facts in orders], now)
    return [
        replace(facts, email=email, ship_to=ship_to)
        for facts, (email, ship_to) in zip(orders, sealed, strict=True)
    ]


def has_digest(keys: CustomerKeys, wanted: str, facts: OrderFacts, now: datetime) -> bool:
    """Tell whether facts have a digest, as they are, sealed, or opened."""
    if is_in_clear(facts):
        (other,) = seal_facts(keys, [facts], now)
    else:
        email, ship_to = keys.open([facts.email, facts.ship_to], ITSELF)
        other = replace(facts, email=email or facts.email, ship_to=ship_to or facts.ship_to)
    return wanted in (digest(facts), digest(other))


def privacy_routes(router: APIRouter, keys: CustomerKeys, clock: Clock) -> None:
    """Add the privacy routes to `router`, whose route class must be ProblemRoute."""
    assert router.route_class is ProblemRoute

    @router.post(
        "/sealed",
        summary="Seal texts about a customer",
        tags=["privacy"],
        dependencies=requires(Scope.PLACE),
    )
    def seal(asked: Annotated[SealRequest, Body()]) -> SealedTexts:
        """Seal `email` and `ship_to`, for those who publish OrderPlaced without this service."""
        (texts,) = keys.seal([(asked.customer_id, asked.texts)], clock())
        return SealedTexts(texts=texts)

    @router.post(
        "/sealed/open",
        summary="Open sealed texts",
        tags=["privacy"],
        dependencies=requires(Scope.VAULT),
    )
    def open_(
        asked: Annotated[OpenRequest, Body()],
        request: Request,
        user: LoggedIn,
        saga_caller: CallerName = "",
    ) -> OpenedTexts:
        """Open texts, for the participants that pass them to the outside world.

        Who opened which customers' texts is kept: `GET /admin/audit` lists it.
        """
        by = Opener(printable(actor_of(saga_caller, user)), address_of(request))
        return OpenedTexts(texts=keys.open(asked.texts, by))

    @router.post(
        "/erasures",
        summary="Erase a customer's personal data",
        tags=["privacy"],
        dependencies=requires(Scope.ERASE),
        responses={409: {"description": "Orders are in flight.", "content": CONTENT}},
    )
    def erase(asked: Annotated[ErasureRequest, Body()], user: LoggedIn) -> ErasureResult:
        """Erase the data by deleting the customer's key, for good and everywhere at once. Without
        the key, texts sealed with it are unreadable in every topic and database. Safe to repeat."""
        actor, reason = printable(actor_of(asked.actor, user)), printable(asked.reason)
        done = keys.erase(asked.customer_id, actor, reason, clock(), force=asked.force)
        if done.in_flight and not asked.force:
            raise _in_flight(done.in_flight)
        return ErasureResult(
            customer_id=asked.customer_id,
            erased_at=done.erased_at,
            in_flight=list(done.in_flight),
            in_clear=list(done.in_clear),
        )


def _in_flight(orders: Sequence[str]) -> ProblemError:
    detail = (
        f"orders in flight need the data: {', '.join(orders)}; wait until they have ended, or "
        "set `force` to undo them"
    )
    return ProblemError(Problem(title="Conflict", status=409, code="in_flight", detail=detail))
