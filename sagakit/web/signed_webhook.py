"""Takes signed webhooks: the signature scheme, and the route that submits a provider's reports.

A webhook is signed with the header `Saga-Signature: t=<unix seconds>,v1=<hex>[,v1=<hex>...]`. `v1`
is the HMAC-SHA256 over `<t>.<body>`. The scheme is Stripe's
(https://docs.stripe.com/webhooks#verify-manually): while a secret is rotated, a sender may sign
with several secrets, and a receiver may accept several. The body is a JSON object:

    {"id": "evt_...", "type": "visit.booked", "data": {...}}
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar
from uuid import UUID, uuid5

import orjson
import structlog
from fastapi import APIRouter, Request, Response

from sagakit.decider import Callback, Trigger
from sagakit.errors import BadKey, ConfigurationError, SagaError
from sagakit.identity import is_plain, split_key
from sagakit.messages.codec import record_saga_id
from sagakit.messages.envelope import NAMESPACE
from sagakit.shared_secret import shared_secret
from sagakit.store.ports import Clock
from sagakit.web.app import problem
from sagakit.web.identity.requires import open_to_all

log = structlog.get_logger(__name__)
TOLERANCE_S = 300
HEADER = "Saga-Signature"
RETRY_AFTER_S = 1
EARLY_FOR = timedelta(hours=6)
"""How long a report of a saga that is not known is refused. A sender that is refused for days sends
nothing any more, and reports of known sagas are lost as well."""
MAX_TEXT = 255
Secrets = tuple[str, ...] | list[str]
"""The keys of a webhook's signature. No `Sequence[str]`, because one text is such a sequence."""
S_co = TypeVar("S_co", covariant=True)
S = TypeVar("S")
ReadReport = Callable[[Mapping[str, Any]], tuple[str, Any]]
"""Reads a webhook's `data`: -> saga key, the report for `Callback`. Raises ValueError."""


class BadSignature(SagaError):
    """The caller does not hold a valid secret, or replays an old call. Answered with 401."""


class WebhookPort(Protocol[S_co]):
    """The part of `service.definition.TriggerPort` that a webhook needs."""

    async def submit(self, key: str, trigger: Trigger, message_id: UUID) -> Any:
        """Handle a trigger in a transaction, once per message id."""
        ...

    async def state(self, key: str) -> S_co:
        """Return the committed state of a saga, with its effects in flight."""
        ...

    async def early_for(self, key: str, message_id: UUID) -> timedelta:
        """Note a report that comes too early, and return since when it is delivered."""
        ...


# --- the signature --------------------------------------------------------------------------------


def sign(secret: str, body: bytes, at: int) -> str:
    """Return the header for a body sent at Unix second `at`."""
    return f"t={at},v1={_mac(secret, body, at)}"


def verify(secrets: Secrets, body: bytes, signature: str | None, now: datetime) -> None:
    """Verify that a header signs the body with one of the secrets.

    Raises BadSignature that says what is wrong, and ConfigurationError for unusable secrets.
    """
    check_secrets(secrets)
    if not signature:
        raise BadSignature(f"the header {HEADER} is missing; sign the body with the shared secret")
    parts = [_named(part) for part in signature.split(",")]
    sent = next((value for name, value in parts if name == "t"), "")
    if not (sent.isascii() and sent.isdigit() and len(sent) < 16):
        raise BadSignature(f"{HEADER} has no time; send t=<unix seconds>")
    if abs(now.timestamp() - int(sent)) > TOLERANCE_S:
        raise BadSignature(
            f"{HEADER} was made more than {TOLERANCE_S} s ago or in the future; sign again, and "
            "compare the clocks"
        )
    # as bytes: compare_digest takes no text beyond ASCII
    given = [value.encode() for name, value in parts if name == "v1"]
    expected = [_mac(secret, body, int(sent)).encode() for secret in secrets]
    if not any(hmac.compare_digest(e, g) for e in expected for g in given):
        raise BadSignature(f"{HEADER} does not match the body; check the shared secret")


def check_secrets(secrets: Secrets) -> None:
    """Raise ConfigurationError unless there are secrets, none short, in a tuple or list."""
    if isinstance(secrets, str):  # each of its letters would be a key
        raise ConfigurationError(
            "the secrets of a signed webhook are one text; pass a tuple, such as (secret,)"
        )
    try:
        for secret in secrets or ("",):
            shared_secret(secret)
    except ValueError as error:
        raise ConfigurationError(
            f"a secret of a signed webhook {error}, share it with the sender and set "
            "SAGA_WEBHOOK_SECRET"
        ) from None


def _named(part: str) -> tuple[str, str]:
    """Return name and value of a part of the header, without spaces and in lower case."""
    name, _, value = part.partition("=")
    return name.strip().lower(), value.strip().lower()


def _mac(secret: str, body: bytes, at: int) -> str:
    return hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


# --- the route ------------------------------------------------------------------------------------


def signed_webhook(
    sender: str,
    secrets: Secrets,
    clock: Clock,
    reports: Mapping[str, ReadReport],
    too_early: Callable[[S, Any], str | None],
) -> Callable[[WebhookPort[S]], APIRouter]:
    """Return the builder of `POST /webhooks/<sender>`.

    `reports`: reader of `data` by event type; other types are ignored. `too_early`: what a saga's
    state has to have before this report is taken, None if it has it.

    Answers 200: taken before or now, or ignored, or of a saga that did not come to be known within
    EARLY_FOR; that is noted in the table `early_webhook`, and logged. 400: not understood. 401: not
    signed by the sender. 503 with Retry-After: not taken, deliver it again. Raises
    ConfigurationError for secrets that anybody could guess.
    """
    check_secrets(secrets)

    def routes(port: WebhookPort[S]) -> APIRouter:
        router = APIRouter(tags=["webhooks"], dependencies=open_to_all("the sender signs it"))

        @router.post(f"/webhooks/{sender}")
        async def take(request: Request) -> Response:
            body = await request.body()
            try:
                verify(secrets, body, request.headers.get(HEADER), clock())
            except BadSignature as error:
                return problem(401, "bad signature", str(error))
            try:
                read = read_event(sender, body, reports)
            except ValueError as error:
                return problem(400, "webhook not understood", str(error))
            if read is None:
                return Response(status_code=200)
            event_id, saga, report = read
            message_id = uuid5(NAMESPACE, f"{sender}:{event_id}")
            if missing := too_early(await port.state(saga), report):
                since = await port.early_for(saga, message_id)
                if since >= EARLY_FOR:
                    log.warning("webhook of an unknown saga", saga=saga, sender=sender)
                    return Response(status_code=200)
                detail = f"{saga!r}: {missing}; deliver it again"
                answer = problem(503, "webhook too early", detail)
                answer.headers["Retry-After"] = str(RETRY_AFTER_S)
                return answer
            await port.submit(saga, Callback(report), message_id)
            return Response(status_code=200)

        return router

    return routes


def read_event(
    sender: str, body: bytes, reports: Mapping[str, ReadReport]
) -> tuple[str, str, Any] | None:
    """Return event id, saga key and report of a webhook's body; None for an ignored type.

    Raises ValueError that says what is missing.
    """
    try:
        event: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the body is no JSON ({error}); send an event of the {sender}") from error
    if not isinstance(event, dict):
        raise ValueError(f"an event of the {sender} is a JSON object with id, type and data")
    if not isinstance(event.get("type"), str):
        raise ValueError(f"type is missing; an event of the {sender} has id, type and data")
    kind, data = event["type"], event.get("data")
    if kind not in reports:
        return None
    if not isinstance(data, dict):
        raise ValueError(f"{kind}: data is missing; send the object that the event is about")
    event_id = text_of(event, "id", "the event")
    return event_id, *reports[kind](data)


def text_of(data: Mapping[str, Any], name: str, where: str = "data") -> str:
    """Return a text field of 1 to 255 printable characters. Raises ValueError."""
    value = data.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT or not is_plain(value):
        raise ValueError(f"{where}.{name} must be a text of 1 to {MAX_TEXT} printable characters")
    return value


def saga_of(data: Mapping[str, Any], name: str = "reference") -> str:
    """Return the saga key that a gateway sent as the reference. Raises ValueError."""
    key = text_of(data, name)
    try:
        record_saga_id(split_key(key)[1].encode())
    except (BadKey, ValueError) as error:
        raise ValueError(f"data.{name}: {error}; send back the reference of the call") from error
    return key


def minor_of(data: Mapping[str, Any], name: str) -> int:
    """Return an amount in minor units, 0 or more and below 2**53. Raises ValueError."""
    value = data.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError(f"data.{name} must be a whole number of minor units, 0 or more")
    return value
