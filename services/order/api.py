"""The order API places, reads, waits for and cancels orders over HTTP."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol
from uuid import uuid4, uuid5

from fastapi import APIRouter, Body, Header, Path, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sagakit.actors import personal_actor
from sagakit.decider import Command
from sagakit.errors import EventTooLarge
from sagakit.gathering import Gatherer
from sagakit.identity import id_fault, saga_key
from sagakit.messages.envelope import NAMESPACE
from sagakit.service.definition import TriggerPort
from sagakit.store.ports import Clock
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope
from sagakit.web.login import LoggedIn, Subject, actor_of
from schemas import FLOWS
from schemas.events import OrderFacts, OrderLine, OrderPlaced
from schemas.rules import MAX_LINES, MAX_ORDER_ID, id_problems, printable, problems
from services.order.decide import (
    CANCEL,
    ENDED,
    PLACE,
    CancelOrder,
    Order,
    Phase,
    PlaceOrder,
    digest,
)
from services.order.privacy import CustomerKeys, privacy_routes, seal_facts
from services.order.problem import (
    FieldProblem,
    Problem,
    ProblemError,
    ProblemRoute,
    field_problems,
    invalid_request,
)
from services.order.store import KeyedRequest

_flow, _default_version = FLOWS.find(None, OrderPlaced.type)
FLOW = _flow.name
DEFAULT_LABEL = _flow.label(_default_version)
FLOW_LABELS = [_flow.label(version) for version in _flow.versions]
MAX_WAIT_S = 60
ERASED = "the customer's data was erased while the order was placed"
MOST_AT_ONCE = 200
"""The most orders of one transaction."""


class IdempotencyStore(Protocol):
    """Remembers which request used an Idempotency-Key; see `store.IdempotencyKeys`."""

    def claim(self, requests: Sequence[KeyedRequest], now: datetime) -> list[bool]:
        """Bind keys to requests; tell of each whether its key is not bound to another one."""
        ...


# --- request and response models ------------------------------------------------------------------


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Line(_Request):
    """One line of an order."""

    sku: str = Field(description="The stock-keeping unit.", examples=["TEA-100"])
    quantity: int = Field(strict=True, description="Units, 1 to 1000000.", examples=[2])
    unit_price_minor: int = Field(
        strict=True,
        description="Price of one unit in minor units of the currency: 1250 is 12.50 EUR.",
        examples=[1250],
    )


class NewOrder(_Request):
    """An order to place. Its total is computed from the lines."""

    order_id: str = Field(
        description="Yours to choose, unique for ever: 1 to 128 printable characters (NFC). "
        "Placing the same order again under it changes nothing.",
        examples=["2026-000123"],
    )
    customer_id: str = Field(examples=["c-42"])
    email: str = Field(description="Where the order's mails go.", examples=["ada@customer.example"])
    currency: str = Field(description="ISO 4217 code.", examples=["EUR"])
    lines: list[Line] = Field(description=f"1 to {MAX_LINES}.")
    card_token: str = Field(
        description="The payment provider's token of the card; never a card number.",
        examples=["tok_ok"],
    )
    ship_to: str = Field(description="Postal address.", examples=["1 Main Street, Springfield"])
    fraud_score: float = Field(0.0, description="0 (harmless) to 1, as scored by the shop.")
    loyalty_card: str | None = Field(
        None, description="The card that gets the points, on a flow with a loyalty step."
    )
    caused_by: str | None = Field(
        None,
        description="The order that led to this one, such as the one it replaces. It counts when "
        "the order is first placed.",
        examples=["2026-000122"],
    )
    flow: str | None = Field(
        None,
        description="Name and version of the flow, which is the order of its steps. Left out: "
        f"{DEFAULT_LABEL}. It counts when the order is first placed.",
        json_schema_extra={"enum": [*FLOW_LABELS, None]},
    )

    def facts(self) -> OrderFacts:
        """Return the order in the form that events carry, with its total."""
        return OrderFacts(
            customer_id=self.customer_id,
            email=self.email,
            currency=self.currency,
            total_minor=sum(line.quantity * line.unit_price_minor for line in self.lines),
            lines=tuple(OrderLine(**line.model_dump()) for line in self.lines),
            card_token=self.card_token,
            ship_to=self.ship_to,
            fraud_score=self.fraud_score,
            loyalty_card=self.loyalty_card,
        )


class Cancellation(_Request):
    """The actor and reason of a cancellation; OrderCancelRequested carries both."""

    actor: Annotated[
        str,
        Field(min_length=1, max_length=200, examples=["customer c-42"]),
        AfterValidator(personal_actor),
    ]
    reason: str = Field(min_length=1, max_length=500, examples=["ordered twice by mistake"])


class OrderStatus(BaseModel):
    """The status of an order."""

    order_id: str
    status: Phase = Field(description="placed (still running), completed or cancelled.")
    placed_at: datetime | None = Field(description="Null where only the end has been heard of.")
    reason: str | None = Field(None, description="Why it was cancelled.")
    taken: bool | None = Field(
        None,
        description="True where another publisher's order came first in the log under this id: the "
        "one that this API had taken is not carried out, and this is the other's status.",
    )
    cancel_requested: str | None = Field(
        None, description="Why somebody asked to cancel it; honoured until the carrier has it."
    )


def _status(order_id: str, state: Order) -> OrderStatus:
    return OrderStatus(
        order_id=order_id,
        status=state.phase,
        placed_at=state.placed_at,
        reason=state.reason or None,
        taken=state.taken or None,
        cancel_requested=state.cancel_reason or None,
    )


# --- the routes -----------------------------------------------------------------------------------

OrderId = Annotated[str, Path(description="The order; a slash in it is written as %2F.")]
TimeoutS = Annotated[
    float, Query(ge=0, le=MAX_WAIT_S, description=f"How long to wait, 0 to {MAX_WAIT_S} seconds.")
]
Key = Annotated[
    str | None,
    Header(
        max_length=255,
        description="Optional. A key used before with another request is refused with 409; kept "
        "for 30 days. Without it repeats are recognised by order id and content.",
    ),
]


def _answers(*codes: int) -> dict[int | str, dict[str, Any]]:
    texts = {
        404: "No such order.",
        409: "It contradicts what is known: see `code`.",
        422: "Not valid: see `problems`.",
    }
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {code: {"description": texts[code], "content": content} for code in codes}


def routes(
    keys: IdempotencyStore, vault: CustomerKeys, clock: Clock
) -> Callable[[TriggerPort[Order]], APIRouter]:
    """Return the builder of the order and privacy routes for the kit's HTTP app."""

    def build(port: TriggerPort[Order]) -> APIRouter:
        router = APIRouter(tags=["orders"], route_class=ProblemRoute)
        _place_route(router, OrderPlacement(port, keys, vault, clock))
        privacy_routes(router, vault, clock)
        _read_routes(router, port)
        _cancel_route(router, port)
        return router

    return build


def _place_route(router: APIRouter, placement: "OrderPlacement") -> None:
    @router.post(
        "/orders",
        status_code=201,
        summary="Place an order",
        dependencies=requires(Scope.PLACE),
        response_model=OrderStatus,
        response_model_exclude_none=True,
        responses={
            200: {"model": OrderStatus, "description": "This very order had been placed before."},
            **_answers(409, 422),
        },
    )
    async def place(
        asked: Annotated[NewOrder, Body()],
        response: Response,
        who: Subject,
        idempotency_key: Key = None,
    ) -> OrderStatus:
        """Place an order. Repeating the same order under the same id is safe: it is placed once.

        Prices, `fraud_score` and `flow` are believed, so the scope `place` is for the shop's own
        systems alone. Answers 201 the first time, 200 for a repeat, 409 when the id or the
        Idempotency-Key was used with other content (for an order id, an OrderRejected event is
        emitted as well).
        """
        response.status_code, status = await placement.place(
            asked, key=own_key(who, idempotency_key) if idempotency_key else None
        )
        return status


def own_key(who: str | None, key: str) -> str:
    """Return an idempotency key of one caller: another's with the same text is another key.

    No subject and no key holds a line feed, so no two are the same.
    """
    return key if who is None else f"of\n{who}\n{key}"


class OrderPlacement:
    """Places orders, for `POST /orders` and for batches.

    Orders that come at once share each of the transactions: their keys, their seals, themselves.
    """

    def __init__(
        self, port: TriggerPort[Order], keys: IdempotencyStore, vault: CustomerKeys, clock: Clock
    ) -> None:
        self._port, self._clock = port, clock
        self._sealed: Gatherer[OrderFacts, OrderFacts] = Gatherer(
            lambda orders: asyncio.to_thread(seal_facts, vault, orders, clock()), MOST_AT_ONCE
        )
        self._kept: Gatherer[str, bool] = Gatherer(
            lambda texts: asyncio.to_thread(vault.kept, texts), MOST_AT_ONCE
        )
        self.claimed: Gatherer[tuple[str, str], bool] = Gatherer(
            lambda requests: asyncio.to_thread(keys.claim, requests, clock()), MOST_AT_ONCE
        )
        """Binds an Idempotency-Key; tells whether it is not bound to another request."""

    async def place(
        self, asked: NewOrder, *, key: str | None = None, batch_id: str | None = None
    ) -> tuple[int, OrderStatus]:
        """Place an order; return its status and 201, or 200 for a repeat. Raises ProblemError."""
        label, clear = _check_order(asked)
        facts = await self._sealed(clear)
        order_id, mark = asked.order_id, digest(facts)
        if key:
            request = hashlib.sha256(f"{mark} {label} {order_id}".encode()).hexdigest()
            if not await self.claimed((key, request)):
                detail = "this Idempotency-Key was used with another request; use a new key"
                raise _conflict("idempotency_key_reuse", detail, order_id, None)
        data = PlaceOrder(order_id, facts, self._clock(), digest(clear), batch_id, asked.caused_by)
        verdict = Command(PLACE, "api", "placed", data)
        message_id = uuid5(NAMESPACE, f"place:{mark}:{order_id}")
        try:
            receipt = await self._port.submit(
                saga_key(FLOW, order_id), verdict, message_id, flow=label
            )
        except EventTooLarge as error:
            reason = f"has {len(facts.lines)} entries, and its event would be too large ({error})"
            too_large = FieldProblem(field="lines", reason=reason, remedy="split the order")
            raise ProblemError(invalid_request([too_large])) from error
        if not data.is_same(receipt.state):
            detail = f"order {order_id} exists with other content; place this one under another id"
            raise _conflict("conflict", detail, order_id, receipt.state)
        repeated = receipt.repeat or not receipt.events
        if not repeated and not await self._kept(facts.email):
            cancel = Command(CANCEL, "order", ERASED, CancelOrder(order_id))
            await self._port.submit(saga_key(FLOW, order_id), cancel, uuid4())
            raise _conflict("erased", f"{ERASED}; place it again", order_id, receipt.state)
        return 200 if repeated else 201, _status(order_id, receipt.state)


def _read_routes(router: APIRouter, port: TriggerPort[Order]) -> None:
    @router.get(
        "/orders/{order_id:path}/wait",
        summary="Wait until an order has ended",
        dependencies=requires(Scope.PLACE),
        response_model_exclude_none=True,
        responses=_answers(404, 422),
    )
    async def wait(order_id: OrderId, timeout_s: TimeoutS = 30.0) -> OrderStatus:
        """Answer as soon as the order is completed or cancelled, or after `timeout_s` seconds with
        its current status."""
        _check_readable(order_id)
        settled = {Phase.UNKNOWN, *ENDED}  # nobody waits for an order that is not known
        state = await port.watch(saga_key(FLOW, order_id), lambda s: s.phase in settled, timeout_s)
        return _status(order_id, _require_known(order_id, state))

    @router.get(
        "/orders/{order_id:path}",
        summary="What became of an order",
        dependencies=requires(Scope.PLACE),
        response_model_exclude_none=True,
        responses=_answers(404),
    )
    async def read_order(order_id: OrderId) -> OrderStatus:
        """Return the order's status. The monitor shows its single steps: `saga show order/ID`."""
        _check_readable(order_id)
        state = await port.state(saga_key(FLOW, order_id))
        return _status(order_id, _require_known(order_id, state))


def _cancel_route(router: APIRouter, port: TriggerPort[Order]) -> None:
    @router.post(
        "/orders/{order_id:path}/cancel",
        status_code=202,
        summary="Cancel an order",
        dependencies=requires(Scope.PLACE),
        response_model_exclude_none=True,
        responses=_answers(404, 409, 422),
    )
    async def cancel(
        order_id: OrderId, asked: Annotated[Cancellation, Body()], user: LoggedIn
    ) -> OrderStatus:
        """Request a cancellation: until the carrier has the parcel, steps are undone newest first.
        Wait for the order's end to see whether the request came in time."""
        _check_readable(order_id)
        saga = saga_key(FLOW, order_id)
        _require_known(order_id, await port.state(saga))
        actor = printable(actor_of(asked.actor, user))
        verdict = Command(CANCEL, actor, printable(asked.reason), CancelOrder(order_id))
        receipt = await port.submit(saga, verdict, uuid4())
        if not receipt.events:
            detail = (
                f"order {order_id} is {receipt.state.phase} already; there is nothing to cancel"
            )
            raise _conflict("ended", detail, order_id, receipt.state)
        return _status(order_id, receipt.state)


# --- checks ---------------------------------------------------------------------------------------


def _check_order(asked: NewOrder) -> tuple[str, OrderFacts]:
    """Return the flow's label and the order's facts of a request. Raises ProblemError (422)."""
    facts = asked.facts()
    found = field_problems(problems(asked.order_id, facts))
    if asked.caused_by is not None:
        found += field_problems(id_problems("caused_by", asked.caused_by))
    if asked.caused_by == asked.order_id:
        itself = FieldProblem(
            field="caused_by", reason="is the order itself", remedy="name another, or none"
        )
        found.append(itself)
    label = DEFAULT_LABEL if asked.flow is None else asked.flow
    if label not in FLOW_LABELS:
        reason = f"is {ascii(asked.flow)[:80]}, which is not a known flow"
        remedy = f"give one of {', '.join(FLOW_LABELS)}"
        found.append(FieldProblem(field="flow", reason=reason, remedy=remedy))
    if found:
        raise ProblemError(invalid_request(found))
    return label, facts


def _check_readable(order_id: str) -> None:
    """Raise ProblemError (404) for an id that no order can have, as for an unknown order."""
    if id_fault(order_id, MAX_ORDER_ID):
        raise _unknown_order(printable(order_id, MAX_ORDER_ID))


def _require_known(order_id: str, state: Order) -> Order:
    if state.phase is Phase.UNKNOWN:
        raise _unknown_order(order_id)
    return state


def _unknown_order(order_id: str) -> ProblemError:
    detail = f"there is no order {order_id}; check the id, or place it with POST /orders"
    problem = Problem(
        title="No such order", status=404, code="unknown_order", detail=detail, order_id=order_id
    )
    return ProblemError(problem)


def _conflict(code: str, detail: str, order_id: str, state: Order | None) -> ProblemError:
    return ProblemError(
        Problem(
            title="Conflict",
            status=409,
            code=code,
            detail=detail,
            order_id=order_id,
            order_status=state.phase if state else None,
        )
    )
