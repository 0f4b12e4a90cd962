"""Sealed texts: what they are, who lets them pass, and how the outside world gets to read them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import orjson
import pytest

from sagakit.decider import Do, Effect, Observed
from sagakit.errors import EffectFailed
from sagakit.privacy import key_service_client
from sagakit.privacy.key_service_client import MAX_ANSWER_BYTES, KeyServiceClient
from sagakit.privacy.sealed_text import KeyErased, is_sealed, parts_of, sealed_text
from sagakit.testing import NOW, InMemoryHttp
from schemas.events import ShipmentCreated
from schemas.rules import MAX_SHIP_TO, problems
from services.notification import decide as notification
from services.notification.gateway import SmtpMailer
from services.order.vault import open_text, seal_text
from services.shipping import decide as shipping
from services.shipping.gateway import OTHER_REFUSAL, HttpCarrier
from tests.order_facts import TWO_TEAS

KEY_ID, KEY = UUID(int=7), bytes(range(64))
EMAIL, ADDRESS = "ada@customer.example", "1 Main Street\nSpringfield"
FACTS = replace(
    TWO_TEAS, email=seal_text(KEY_ID, KEY, EMAIL), ship_to=seal_text(KEY_ID, KEY, ADDRESS)
)


def test_a_sealed_text_opens_to_the_same_text() -> None:
    for text in (EMAIL, ADDRESS, "ü", "x" * MAX_SHIP_TO, "\N{GRINNING FACE}" * MAX_SHIP_TO):
        found = seal_text(KEY_ID, KEY, text)
        assert is_sealed(found)
        assert found == seal_text(KEY_ID, KEY, text), "the same order placed twice is the same"
        assert open_text({KEY_ID: KEY}, found) == text
    assert seal_text(KEY_ID, KEY, "") == ""


def test_a_sealed_text_does_not_open_without_its_key_or_after_a_change() -> None:
    found = seal_text(KEY_ID, KEY, EMAIL)
    parts = parts_of(found)
    assert parts is not None
    other = UUID(int=8)
    assert open_text({}, found) is None
    assert open_text({KEY_ID: bytes(64)}, found) is None
    assert open_text({other: KEY}, sealed_text(other, parts[1])) is None, "bound to its key's id"
    changed = "A" if found[-10] != "A" else "B"
    assert open_text({KEY_ID: KEY}, found[:-10] + changed + found[-9:]) is None
    for text in (EMAIL, "", "sealed:1:", found + "=", found + "\n"):
        assert not is_sealed(text)
        assert open_text({KEY_ID: KEY}, text) is None


def test_the_rules_accept_sealed_text_and_refuse_what_only_looks_like_it() -> None:
    assert problems("o1", FACTS) == ()
    for wrong in ("sealed:1:abc", FACTS.email + " "):
        assert problems("o1", replace(FACTS, email=wrong))


def test_decisions_pass_sealed_text_on_unchanged() -> None:
    event = ShipmentCreated(order_id="o1", order=FACTS, label_id="l", tracking="t")
    trigger = Observed("ShipmentCreated", event)
    (effect,) = notification.decide(notification.Mailing(), trigger, NOW).effects
    assert effect.payload["to"] == FACTS.email
    (label,) = shipping.decide(shipping.Shipment(), Do(event), NOW).effects
    assert EMAIL not in str(label.payload)


# --- at the edge ----------------------------------------------------------------------------------

Answer = Callable[[httpx2.Request], httpx2.Response]


def vault(answer: Answer) -> KeyServiceClient:
    return KeyServiceClient("http://order/", InMemoryHttp(httpx2.MockTransport(answer)))


def keeper(keys: dict[UUID, bytes]) -> KeyServiceClient:
    """Answers as the order API does with these keys."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url == "http://order/sealed/open"
        texts = orjson.loads(request.content)["texts"]
        return httpx2.Response(200, json={"texts": [open_text(keys, text) for text in texts]})

    return vault(answer)


WITH_KEY, WITHOUT = {KEY_ID: KEY}, dict[UUID, bytes]()


def test_only_sealed_texts_need_a_key() -> None:
    texts = asyncio.run(keeper(WITH_KEY).open("in clear", FACTS.email, FACTS.ship_to))
    assert texts == ["in clear", EMAIL, ADDRESS]
    nobody = KeyServiceClient(None)
    assert asyncio.run(nobody.open("in clear")) == ["in clear"]
    with pytest.raises(EffectFailed, match="SAGA_VAULT_URL"):
        asyncio.run(nobody.open(FACTS.email))
    with pytest.raises(KeyErased):
        asyncio.run(keeper(WITHOUT).open(FACTS.email))


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(503),
        httpx2.Response(200, content=b"garbage"),
        httpx2.Response(200, json=[]),
        httpx2.Response(200, json={"texts": None}),
        httpx2.Response(200, json={"texts": []}),
        httpx2.Response(200, json={"texts": [5]}),
        httpx2.Response(200, content=b"[" * 100_000),
        httpx2.Response(200, content=b" " * (MAX_ANSWER_BYTES + 1)),
        httpx2.Response(
            200, headers={"Content-Encoding": "gzip"}, stream=httpx2.ByteStream(b"bomb")
        ),
    ],
)
def test_a_vault_that_does_not_answer_is_asked_again(answer: httpx2.Response) -> None:
    with pytest.raises(EffectFailed, match="will be retried"):
        asyncio.run(vault(lambda _: answer).open(FACTS.email))


@asynccontextmanager
async def key_service(*answer: bytes) -> AsyncIterator[str]:
    """The URL of a real server that sends these chunks, one each 0.1 s, and then nothing."""

    ended = asyncio.Event()

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            for chunk in answer:
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(0.1)
            while await reader.read(1024):
                pass
        writer.close()
        ended.set()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await ended.wait()


def test_an_answer_that_comes_in_drops_has_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_service_client, "TIMEOUT_S", 0.5)
    drops = (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", *[b" "] * 9999)

    async def ask() -> None:
        async with key_service(*drops) as url:
            client = KeyServiceClient(url)
            with pytest.raises(EffectFailed, match=r"TimeoutError: no answer within 0\.5 s"):
                await client.open(FACTS.email)
            await client.close()

    asyncio.run(ask())


def test_clear_texts_pass_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"texts":["x"]}'

    async def ask() -> list[str]:
        async with key_service(answer) as url:
            client = KeyServiceClient(url)
            opened = await client.open(FACTS.email)
            await client.close()
            return opened

    assert asyncio.run(ask()) == ["x"]


def carrier(keys: dict[UUID, bytes], **answers: dict[str, Any] | int) -> tuple[HttpCarrier, Any]:
    """A carrier with one answer a route, and what it was asked."""
    asked: dict[str, Any] = {}

    def answer(request: httpx2.Request) -> httpx2.Response:
        route = request.url.path.rpartition("/")[2]
        asked[route] = orjson.loads(request.content)
        answer = answers[route]
        if isinstance(answer, int):
            echo = {"text": "x" * 230, "asked": asked[route]}
            return httpx2.Response(answer, json=echo, headers={"Retry-After": "600"})
        return httpx2.Response(200, json=answer)

    client = InMemoryHttp(httpx2.MockTransport(answer))
    return HttpCarrier(client, "http://carrier", keeper(keys)), asked


LABEL = Effect("label", "label", {"order_id": "o1", "order": FACTS.to_dict()}, "order/o1")


def test_the_carrier_gets_the_opened_address_and_its_words_are_not_kept() -> None:
    words = {"code": f"no_way_to_{ADDRESS}", "reason": f"no way to {ADDRESS}"}
    sent = {"reference": "order/o1", "status": "refused", **words}
    it, asked = carrier(WITH_KEY, labels=sent)
    assert asyncio.run(it.label(LABEL)) == shipping.Refused(OTHER_REFUSAL)
    assert (asked["labels"]["ship_to"], asked["labels"]["email"]) == (ADDRESS, EMAIL)
    it, _ = carrier(WITH_KEY, labels=500)
    with pytest.raises(EffectFailed) as error:
        asyncio.run(it.label(LABEL))
    assert ADDRESS[:5] not in str(error.value)
    assert error.value.retry_after == timedelta(seconds=600)


def test_no_label_is_made_or_kept_for_an_erased_address() -> None:
    it, asked = carrier(WITHOUT, cancellations={"reference": "order/o1", "status": "cancelled"})
    assert asyncio.run(it.label(LABEL)) == shipping.Refused("the person's data was erased")
    assert asked == {
        "cancellations": {
            "reference": "order/o1",
            "label_id": None,
            "label_key": "order/o1:label",
        }
    }
    it, _ = carrier(WITHOUT, cancellations={"reference": "order/o1", "status": "too_late"})
    with pytest.raises(EffectFailed, match="picked up; ask a person"):
        asyncio.run(it.label(LABEL))


def mail(to: str) -> Effect:
    payload = {"order_id": "o1", "kind": "confirmed", "to": to}
    return Effect("mail", "mail:confirmed", payload, "order/o1")


def test_no_mail_goes_to_an_erased_or_unfit_address() -> None:
    mailer = SmtpMailer("127.0.0.1", 9, keeper(WITHOUT))
    kind = notification.MailKind.CONFIRMED
    refused = notification.MailRefused(kind, FACTS.email, "the person's data was erased")
    assert asyncio.run(mailer.mail(mail(FACTS.email))) == refused
    unfit = seal_text(KEY_ID, KEY, "a@b.example\nBcc: c@d.example")
    answer = asyncio.run(SmtpMailer("127.0.0.1", 9, keeper(WITH_KEY)).mail(mail(unfit)))
    assert answer == notification.MailRefused(kind, unfit, notification.NO_ADDRESS)
