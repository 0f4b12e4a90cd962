"""Unit tests of the HTTP gateway's plumbing and of the signature of webhooks."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from sagakit.effects.http_gateway import (
    MAX_ANSWER_BYTES,
    MAX_RETRY_AFTER,
    MAX_TEXT_CHARS,
    HttpGateway,
    retry_after,
    wire_key,
)
from sagakit.errors import ConfigurationError, EffectFailed
from sagakit.store.json_rows import as_json
from sagakit.testing import InMemoryHttp
from sagakit.web.signed_webhook import TOLERANCE_S, BadSignature, sign, signed_webhook, verify

NOW = datetime(2026, 1, 2, tzinfo=UTC)
REFUSED = (409, "already_done")


def call(answer: httpx2.Response | Exception, **how: Any) -> dict[str, Any]:
    """Return what a call gets when the provider sends `answer`."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def run() -> dict[str, Any]:
        client = InMemoryHttp(httpx2.MockTransport(handle))
        gateway = HttpGateway("bank", client, "http://bank/")
        return await gateway.call("POST", "/v1/things", "thing:o1", {"n": 1}, **how)

    return asyncio.run(run())


def test_an_object_and_a_named_refusal_are_answers() -> None:
    assert call(httpx2.Response(201, json={"id": "x"})) == {"id": "x"}
    refusal = {"error": {"code": "already_done"}}
    assert call(httpx2.Response(409, json=refusal), refusals=[REFUSED]) == refusal
    for status in (200, 409, 500):
        with pytest.raises(EffectFailed, match=f"{status} error unknown_code"):
            call(httpx2.Response(status, json=refusal))


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (httpx2.Response(200, content=b"<html>"), "200 no JSON object"),
        (httpx2.Response(200, json=[]), "200 no JSON object"),
        (httpx2.Response(500, json={}), "500"),
        (httpx2.Response(200, content=b" " * (MAX_ANSWER_BYTES + 1)), "200 and more than"),
        (httpx2.ReadTimeout("10 s"), "ReadTimeout: 10 s"),
        (httpx2.ConnectError("nobody"), "ConnectError: nobody"),
    ],
)
def test_what_is_no_answer_says_so_and_what_happens_next(
    answer: httpx2.Response | Exception, detail: str
) -> None:
    with pytest.raises(
        EffectFailed, match=f"bank, POST /v1/things, key thing:o1: {detail}"
    ) as error:
        call(answer)
    assert "asking again under the same key" in str(error.value)
    assert error.value.retry_after is None


def test_a_compressed_answer_is_not_unpacked() -> None:
    packed = httpx2.Response(
        200, headers={"Content-Encoding": "gzip"}, stream=httpx2.ByteStream(b"bomb")
    )
    with pytest.raises(EffectFailed, match="compressed body, which is not unpacked"):
        call(packed)


@pytest.mark.parametrize(
    "echo",
    ["Münster", "M\u00dcNSTER", "Main\nMünster", "x" * 600_000 + "Münster", "Mu\u0308nster"],
)
@pytest.mark.parametrize("where", ["code", "status", "text", "name", "no JSON"])
def test_words_of_a_provider_are_never_quoted(where: str, echo: str) -> None:
    """Given a provider that echoes an address in any form, then no error shows it."""
    answers: dict[str, Any] = {
        "code": {"error": {"code": echo, "message": echo}},
        "status": {"id": "x", "status": echo, "error": None},
        "text": {"text": [echo]},
        "name": {echo: 1},
    }
    content = json.dumps(answers[where]) if where in answers else f"<p>{echo}</p>"
    with pytest.raises(EffectFailed) as error:
        call(httpx2.Response(503, text=content, headers={"Retry-After": "7"}))
    assert "NSTER" not in str(error.value).upper()
    assert len(str(error.value)) < 300
    assert error.value.retry_after == timedelta(seconds=7)


def test_a_known_code_is_shown() -> None:
    async def run() -> None:
        answer = httpx2.Response(409, json={"error": {"code": "sold_out", "message": "?"}})
        client = InMemoryHttp(httpx2.MockTransport(lambda _: answer))
        await HttpGateway("bank", client, "http://bank", ["sold_out"]).call("POST", "/", "k")

    with pytest.raises(EffectFailed, match="409 error sold_out"):
        asyncio.run(run())


def test_texts_of_an_answer_can_be_stored() -> None:
    """Given texts that a database refuses or that are huge, then they come cut and written out."""
    sent = b'{"id": "a\\u0000b", "note": "' + b"x" * 600_000 + b'", "list": [{"n": "\\u001b[2J"}]}'
    answer = call(httpx2.Response(200, content=sent))
    assert answer == {
        "id": "a\\u0000b",
        "note": "x" * MAX_TEXT_CHARS,
        "list": [{"n": "\\u001b[2J"}],
    }
    as_json(answer).encode()


def test_a_lone_surrogate_is_no_answer() -> None:
    with pytest.raises(EffectFailed, match="200 no JSON object"):
        call(httpx2.Response(200, content=b'{"id": "\\ud800"}'))


def test_an_answer_nested_too_deeply_is_none() -> None:
    for depth in (30, 1000):
        deep = b'{"a":' * depth + b"1" + b"}" * depth
        with pytest.raises(EffectFailed, match="200 no JSON object"):
            call(httpx2.Response(200, content=deep))


def test_an_answer_about_something_else_names_the_field_not_the_value() -> None:
    client = InMemoryHttp(httpx2.MockTransport(lambda _: httpx2.Response(200)))
    gateway = HttpGateway("bank", client, "http://bank")
    gateway.check_echo("charge k", {"n": 1, "x": "y"}, {"n": 1})
    with pytest.raises(EffectFailed, match="another n than asked for") as error:
        gateway.check_echo("charge k", {"n": "Münster"}, {"n": 1})
    assert "nster" not in str(error.value)


def test_the_wait_that_a_provider_asks_for_is_handed_on() -> None:
    with pytest.raises(EffectFailed) as error:
        call(httpx2.Response(503, headers={"Retry-After": "7"}))
    assert error.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("0", timedelta()),
        ("90", timedelta(seconds=90)),
        ("999999999", MAX_RETRY_AFTER),
        ("1000000000000", MAX_RETRY_AFTER),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("Fri, 02 Jan 99999999999999999999 00:00:30 GMT", None),
        ("Fri, 02 Jan 2026 00:00:30 +99999999999999999999", None),
        ("Fri, 02 Jan 2026 00:00:30 GMT", timedelta(seconds=30)),
        ("Fri, 02 Jan 2026 00:00:30 -0000", timedelta(seconds=30)),
        ("Thu, 01 Jan 2026 00:00:30 GMT", timedelta()),
        ("Fri, 02 Jan 2099 00:00:30 GMT", MAX_RETRY_AFTER),
        ("soon", None),
        ("-1", None),
        ("9" * 5000, MAX_RETRY_AFTER),
        (None, None),
    ],
)
def test_a_retry_after_holds_seconds_or_a_date(header: str | None, wait: timedelta | None) -> None:
    sent = {"Date": "Fri, 02 Jan 2026 00:00:00 GMT"}
    assert retry_after(sent if header is None else {**sent, "Retry-After": header}) == wait


def test_a_retry_after_without_the_date_of_its_answer_is_not_known() -> None:
    assert retry_after({"Retry-After": "Fri, 02 Jan 2026 00:00:30 GMT"}) is None


def test_a_page_is_followed_by_the_next_until_all_rows_are_read() -> None:
    rows = [{"n": n} for n in range(5)]

    def handle(request: httpx2.Request) -> httpx2.Response:
        start, limit = (int(request.url.params[name]) for name in ("offset", "limit"))
        return httpx2.Response(200, json={"data": rows[start : start + limit], "total": 5})

    async def run() -> list[Any]:
        client = InMemoryHttp(httpx2.MockTransport(handle))
        gateway = HttpGateway("bank", client, "http://bank")
        return [await gateway.page("/v1/things", offset, 2) for offset in (0, 2, 4, 6)]

    assert asyncio.run(run()) == [(rows[:2], 2), (rows[2:4], 4), (rows[4:], None), ([], None)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"data": [], "total": null}',
        b'{"data": [{}], "total": true}',
        b'{"data": [1], "total": 1}',
        b'{"data": [], "total": 1}',
        b'{"data": [{}], "total": 0}',
        b'{"data": [{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}], "total": 11}',
    ],
)
def test_a_page_that_is_none_is_refused(body: bytes) -> None:
    async def run() -> None:
        answer = httpx2.MockTransport(lambda _: httpx2.Response(200, content=body))
        client = InMemoryHttp(answer)
        await HttpGateway("bank", client, "http://bank").page("/v1/things", 0, 10)

    with pytest.raises(EffectFailed, match="bank, GET /v1/things, offset 0: 200"):
        asyncio.run(run())


def test_keys_on_the_wire_are_short_visible_and_different() -> None:
    keys = ["label:o1", "label:o1 ", "label: o1", "label:ö1", "label:" + "x" * 300, "cancel:ö1"]
    keys += ["ö:1", "x" * 254 + " :1"]
    keys += [wire_key(key) for key in keys[1:]]  # an id that looks like the hash of another
    wired = [wire_key(key) for key in keys]
    assert wired[0] == "label:o1"
    assert len(set(wired)) == len(keys)
    assert all(len(w) <= 255 and w.isascii() and w.isprintable() and " " not in w for w in wired)


# --- signatures -----------------------------------------------------------------------------------

AT = int(NOW.timestamp())
OLD, NEW = "the old secret of bank and shop 1", "the new secret of bank and shop 2"


def test_while_a_secret_is_rotated_both_sides_may_be_first() -> None:
    old, new = sign(OLD, b"{}", AT), sign(NEW, b"{}", AT)
    both = f"{old},{new.partition(',')[2]}"
    verify([NEW, OLD], b"{}", old, NOW)
    verify([NEW, OLD], b"{}", new, NOW)
    verify([NEW], b"{}", both, NOW)
    verify([OLD], b"{}", both, NOW)
    with pytest.raises(BadSignature, match="does not match"):
        verify([NEW], b"{}", old, NOW)


@pytest.mark.parametrize(
    "header",
    [
        "t={t},v1={bad},v1={good}",
        "t={t},v1={good},v1={bad}",
        "t={t}, v1={good}, v1={bad}",
        " t = {t} ,\tv1 = {good} ",
        "v1={good},t={t}",
        "T={t},V1={upper}",
        "t={t},v1={upper},v0={bad},v2=",
        "t={t},v1={bad},v1={of_previous}",
        "t={t},,v1={good},",
    ],
)
def test_any_valid_signature_of_any_current_secret_is_enough(header: str) -> None:
    """Given what senders write while they rotate secrets, in any spelling, then it is taken."""
    current, previous = NEW, OLD
    good, of_previous = (sign(s, b"{}", AT).partition("v1=")[2] for s in (current, previous))
    forms = {"t": AT, "good": good, "upper": good.upper(), "bad": "0" * 64}
    sent = header.format(**forms, of_previous=of_previous)
    verify([current, previous], b"{}", sent, NOW)
    with pytest.raises(BadSignature, match="does not match"):
        verify(["another secret of bank and shop 3"], b"{}", sent, NOW)


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda _: "", "missing"),
        (lambda header: header.replace("t=", "x="), "no time"),
        (lambda header: header.replace("t=", "t=-"), "no time"),
        (lambda header: header.replace("v1=", "v0="), "does not match"),
        (lambda header: header + "é", "does not match"),
        (lambda _: sign(NEW, b"{}", AT - TOLERANCE_S - 1), "clocks"),
        (lambda _: sign(NEW, b"{}", AT + TOLERANCE_S + 1), "clocks"),
    ],
)
def test_a_forged_or_old_signature_is_refused(change: Callable[[str], str], detail: str) -> None:
    with pytest.raises(BadSignature, match=detail):
        verify([NEW], b"{}", change(sign(NEW, b"{}", AT)), NOW)


@pytest.mark.parametrize(
    ("secrets", "detail"),
    [
        ("shared-secret", r"one text; pass a tuple, such as \(secret,\)"),
        ((), "SAGA_WEBHOOK_SECRET"),
        ([""], "blank.*SAGA_WEBHOOK_SECRET"),
        ([NEW, " "], "blank.*SAGA_WEBHOOK_SECRET"),
        ([NEW, "s" * 31], "has 31 characters.*SAGA_WEBHOOK_SECRET"),
    ],
)
def test_secrets_that_anybody_could_guess_are_refused(secrets: Any, detail: str) -> None:
    with pytest.raises(ConfigurationError, match=detail):
        signed_webhook("bank", secrets, lambda: NOW, {}, lambda state, report: None)
    with pytest.raises(ConfigurationError, match=detail):
        verify(secrets, b"{}", sign("s", b"{}", AT), NOW)
