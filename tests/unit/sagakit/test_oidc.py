"""JWTs of an issuer: which are believed, and what happens while the issuer does not answer."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from fastapi import APIRouter
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from starlette.requests import Request

from sagakit.bounded_http import HttpClient
from sagakit.web.app import make_app
from sagakit.web.identity.authenticator import (
    Authenticator,
    LoginUnavailable,
    NotLoggedIn,
    ReservedSubject,
)
from sagakit.web.identity.oidc import (
    AGAIN_S,
    FRESH_S,
    RETRY_S,
    STALE_S,
    IssuerKeys,
    OidcLogin,
)
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Principal, Scope
from tests.in_memory_app import ask
from tests.unit.sagakit.issuer_double import AUDIENCE, NOW, Issuer, Key, an_issuer, public


@pytest.fixture(scope="module")
def shared() -> Iterator[Issuer]:
    with an_issuer() as issuer:
        yield issuer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with an_issuer() as issuer:
        yield issuer


class Login:
    """A process's way to log in with JWTs of the issuer, at a time that the test moves."""

    def __init__(self, issuer: Issuer, client: HttpClient, claim: str = "sub") -> None:
        self.at = 0.0
        keys = IssuerKeys(issuer.url, client, lambda: self.at)
        self.way = OidcLogin(keys, issuer.url, AUDIENCE, lambda: NOW, claim)

    async def __call__(self, token: str) -> Principal | None:
        return await self.way.principal(Request({"type": "http", "headers": []}), token)


def play(issuer: Issuer, story: Callable[[Login], Awaitable[Any]], claim: str = "sub") -> Any:
    """Play a story in one event loop, as a process does."""

    async def run() -> Any:
        client = HttpClient(proxies=False)
        try:
            return await story(Login(issuer, client, claim))
        finally:
            await client.close()

    return asyncio.run(run())


def refusal(issuer: Issuer, token: str) -> str:
    """Why a token is refused."""
    with pytest.raises(NotLoggedIn) as refused:
        play(issuer, lambda login: login(token))
    return str(refused.value)


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in (header, claims)
    )


# --- what is believed -----------------------------------------------------------------------------


def test_a_token_of_the_issuer_says_who_it_is_and_what_they_may_do(shared: Issuer) -> None:
    token = shared.token()
    found = play(shared, lambda login: login(token))
    assert found == Principal("ada", frozenset({Scope.READ, Scope.DECIDE}))


@pytest.mark.parametrize(
    ("scope", "wanted"),
    [
        (..., set()),
        ("openid profile", set()),
        (["read", 5], {Scope.READ}),
        (7, set()),
    ],
)
def test_scopes_of_others_are_left_out(shared: Issuer, scope: Any, wanted: set[Scope]) -> None:
    token = shared.token(scope=scope)
    assert play(shared, lambda login: login(token)).scopes == wanted


def test_another_claim_may_name_the_caller(shared: Issuer) -> None:
    token = shared.token(sub="7f3a", email="ada@shop.example")
    found = play(shared, lambda login: login(token), claim="email")
    assert found.subject == "ada@shop.example"


def test_a_token_for_several_audiences_is_taken(shared: Issuer) -> None:
    token = shared.token(aud=["other", AUDIENCE])
    assert play(shared, lambda login: login(token)) is not None


@pytest.mark.parametrize("alg", ["RS512", "PS256", "ES256", "Ed25519"])
def test_each_kind_of_asymmetric_key_is_taken(issuer: Issuer, alg: str) -> None:
    key: Key = RSAKey.generate_key(2048, {"kid": "k"})
    if alg == "ES256":
        key = ECKey.generate_key("P-256", {"kid": "k"})
    elif alg == "Ed25519":
        key = OKPKey.generate_key("Ed25519", {"kid": "k"})
    issuer.published = [public(key)]
    token = issuer.token(key, alg)
    assert play(issuer, lambda login: login(token)) is not None


def test_what_is_no_jwt_is_left_to_the_other_ways(shared: Issuer) -> None:
    assert play(shared, lambda login: login("saga_abc")) is None


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iss": "https://other.example"}, "iss"),
        ({"iss": ...}, "iss"),
        ({"aud": "another-system"}, "aud"),
        ({"aud": ["another-system"]}, "aud"),
        ({"aud": ...}, "aud"),
        ({"exp": int(NOW.timestamp()) - 61}, "expired"),
        ({"exp": ...}, "exp"),
        ({"exp": "never"}, "exp"),
        ({"nbf": int(NOW.timestamp()) + 61}, "not yet valid"),
        ({"sub": ...}, "sub"),
        ({"sub": 5}, "sub"),
    ],
)
def test_a_token_for_others_or_for_another_time_is_refused(
    shared: Issuer, changes: dict[str, Any], words: str
) -> None:
    assert words in refusal(shared, shared.token(**changes))


def test_a_reserved_name_is_refused_also_from_the_issuer(shared: Issuer) -> None:
    token = shared.token(sub="saga_monitor")
    with pytest.raises(ReservedSubject, match="reserved"):
        play(shared, lambda login: login(token))


def test_a_token_without_a_signature_is_refused(shared: Issuer) -> None:
    for alg in ("none", "None", "NONE"):
        token = unsigned({"alg": alg, "kid": "first"}, shared.claims()) + "."
        assert "sign it with one of RS256" in refusal(shared, token)


def test_a_token_that_takes_the_public_key_for_a_shared_secret_is_refused(shared: Issuer) -> None:
    """Whoever reads the published key could make it."""
    for form in (shared.key.as_pem(private=False), json.dumps(shared.published[0]).encode()):
        signed = unsigned({"alg": "HS256", "kid": "first"}, shared.claims())
        mac = hmac.new(form, signed.encode(), hashlib.sha256).digest()
        token = f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        assert "sign it with one of RS256" in refusal(shared, token)


def test_a_token_that_another_signed_under_the_id_of_the_key_is_refused(shared: Issuer) -> None:
    other = RSAKey.generate_key(2048, {"kid": "first"})
    assert "is not valid" in refusal(shared, shared.token(other))


def test_an_algorithm_that_does_not_fit_the_key_is_refused(shared: Issuer) -> None:
    other = ECKey.generate_key("P-256", {"kid": "first"})
    assert "is not valid" in refusal(shared, shared.token(other, "ES256"))


def test_changed_claims_are_refused(shared: Issuer) -> None:
    header, _, signature = shared.token().split(".")
    claims = unsigned({}, shared.claims(sub="eve")).split(".")[1]
    assert "is not valid" in refusal(shared, f"{header}.{claims}.{signature}")


def test_a_key_inside_the_token_is_not_believed(shared: Issuer) -> None:
    own = RSAKey.generate_key(2048, {"kid": "own"})
    token = shared.token(own)
    header = {"alg": "RS256", "kid": "first", "jwk": public(own)}
    changed = unsigned(header, {}).split(".")[0]
    assert "is not valid" in refusal(shared, ".".join([changed, *token.split(".")[1:]]))


@pytest.mark.parametrize(
    "token", ["a.b.c", "..", f"{'a' * 20_000}.b.c", unsigned({"alg": 5}, {}) + ".x"]
)
def test_what_only_looks_like_a_token_is_refused(shared: Issuer, token: str) -> None:
    assert refusal(shared, token)


# --- the issuer's keys ----------------------------------------------------------------------------


def test_keys_are_read_once_for_many_tokens(issuer: Issuer) -> None:
    async def story(login: Login) -> None:
        for _ in range(5):
            assert await login(issuer.token())

    play(issuer, story)
    assert len(issuer.asked) == 2


def test_a_new_key_is_found_and_unknown_ones_do_not_burden_the_issuer(issuer: Issuer) -> None:
    new = RSAKey.generate_key(2048, {"kid": "second"})

    async def story(login: Login) -> None:
        assert await login(issuer.token())
        # When tokens name keys that there are not, the issuer is not asked
        for _ in range(3):
            with pytest.raises(NotLoggedIn, match="does not publish"):
                await login(issuer.token(new))
        assert len(issuer.asked) == 2
        # But once in AGAIN_S it is, and a key that it has changed to is taken
        issuer.published = [public(new)]
        login.at = AGAIN_S
        assert await login(issuer.token(new))
        assert len(issuer.asked) == 4
        with pytest.raises(NotLoggedIn, match="does not publish"):
            await login(issuer.token())

    play(issuer, story)


def test_keys_that_cannot_sign_tokens_are_left_out(issuer: Issuer) -> None:
    shared_secret = OctKey.import_key("0123456789abcdef" * 4, {"kid": "oct"})
    encrypting = RSAKey.generate_key(2048, {"kid": "enc"})
    odd: list[Any] = [
        {**shared_secret.as_dict(private=True), "kid": "oct"},
        public(encrypting, use="enc"),
        {"kty": "RSA", "kid": "half"},
        {"kty": "new", "kid": "new"},
        "text",
    ]
    issuer.published += odd

    async def story(login: Login) -> None:
        assert await login(issuer.token())
        with pytest.raises(NotLoggedIn, match="does not publish"):
            await login(issuer.token(encrypting))

    play(issuer, story)


def test_while_the_issuer_is_away_at_the_start_nobody_can_tell_and_then_it_is_asked_again(
    issuer: Issuer,
) -> None:
    async def story(login: Login) -> None:
        issuer.away = True
        for _ in range(3):
            with pytest.raises(LoginUnavailable, match=r"SAGA_OIDC_ISSUER.*answers 503"):
                await login(issuer.token())
        assert len(issuer.asked) == 1
        assert "answers 503" in (login.way.fault() or "")
        issuer.away = False
        login.at = RETRY_S
        assert await login(issuer.token())
        assert login.way.fault() is None

    play(issuer, story)


def test_known_keys_are_used_for_a_day_while_the_issuer_is_away(issuer: Issuer) -> None:
    async def story(login: Login) -> None:
        assert await login(issuer.token())
        issuer.away = True
        login.at = FRESH_S
        assert await login(issuer.token())
        assert "answers 503" in (login.way.fault() or "")
        login.at = STALE_S
        with pytest.raises(LoginUnavailable):
            await login(issuer.token())

    play(issuer, story)


def test_an_issuer_of_another_name_is_not_believed(issuer: Issuer) -> None:
    issuer.calls_itself = "https://other.example"
    with pytest.raises(LoginUnavailable, match=r"it calls itself https://other\.example"):
        play(issuer, lambda login: login(issuer.token()))


def test_a_request_is_answered_503_with_the_reason_while_the_issuer_is_away(
    issuer: Issuer,
) -> None:
    # Given an app that is ready, though its issuer is away
    issuer.away = True
    login = OidcLogin(
        IssuerKeys(issuer.url, HttpClient(proxies=False)), issuer.url, AUDIENCE, lambda: NOW
    )
    router = APIRouter(dependencies=requires(Scope.READ))
    router.add_api_route("/sagas", list)
    app = make_app("shop", {}, router, authenticator=Authenticator([login]))
    # When somebody calls it
    headers = {"Authorization": f"Bearer {issuer.token()}"}
    answer = ask(app, "GET", "/sagas", headers=headers)
    # Then the answer says why, and when to come again; readiness warns of it
    assert answer.status_code == 503
    assert "answers 503" in answer.json()["detail"]
    assert answer.headers["Retry-After"] == "2"
    ready = ask(app, "GET", "/health/ready")
    assert ready.status_code == 200
    assert "answers 503" in ready.json()["warnings"]["login"]
