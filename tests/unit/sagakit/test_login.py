"""Who acts: no name of the machine's own, and who is logged in where somebody logs in."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI

from sagakit.actors import personal_actor
from sagakit.errors import ConfigurationError
from sagakit.web.app import make_app
from sagakit.web.identity.authenticator import Authenticator, HeaderLogin, LoginWay, TokenLogin
from sagakit.web.identity.requires import RefusedRequest, requires
from sagakit.web.identity.scopes import Scope
from sagakit.web.identity.tokens import StoredToken, TokenFile, edited_tokens, new_token, token_hash
from sagakit.web.login import LoggedIn, Subject, actor_of
from tests.in_memory_app import ask

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HERE = (ip_network("127.0.0.0/8"),)


@pytest.mark.parametrize(
    "name",
    [
        "system_timeout",
        "System Timeout",
        "system-timeout",
        "SYSTEM",
        "\uff53\uff59\uff53\uff54\uff45\uff4d_timeout",
        "systemtimeout",
        "saga_monitor",
        " saga-monitor ",
        "system_\u200btimeout",
        "",
        " ",
        "a\nb",
        "x" * 201,
    ],
)
def test_a_name_of_the_machine_or_that_cannot_be_read_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"reserved|printable"):
        personal_actor(name)


@pytest.mark.parametrize("name", ["ada", "Zoë Müller", "Systemhaus Maier", "customer c-42"])
def test_people_act_under_their_names(name: str) -> None:
    assert personal_actor(name) == name


class Refusals:
    """The refusals that an app notes."""

    def __init__(self) -> None:
        self.noted: list[RefusedRequest] = []

    def note(self, refusal: RefusedRequest) -> None:
        self.noted.append(refusal)


def an_app(*ways: LoginWay, refusals: Refusals | None = None) -> FastAPI:
    """An app that tells who acts, for a request that claims to come from eve."""
    router = APIRouter(prefix="/people")

    @router.post("/{name}/act", dependencies=requires(Scope.DECIDE))
    def act(user: LoggedIn, subject: Subject) -> dict[str, Any]:
        return {"actor": actor_of("eve", user), "subject": subject}

    login = Authenticator(ways) if ways else None
    return make_app("shop", {}, router, authenticator=login, refusals=refusals)


def acts(app: FastAPI, *headers: tuple[str, str]) -> httpx2.Response:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    return ask(app, "POST", "/people/eve/act", headers=raw)


def by_header(header: str = "X-User", scopes: Sequence[Scope] = (Scope.ADMIN,)) -> FastAPI:
    return an_app(HeaderLogin(header, HERE, frozenset(scopes)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.jsonl"


def issued(file: Path, name: str, *scopes: Scope, valid_for: timedelta = timedelta(days=1)) -> str:
    """A new token in the file."""
    token = new_token()
    with edited_tokens(file) as tokens:
        tokens.append(StoredToken(name, token_hash(token), frozenset(scopes), NOW + valid_for))
    return token


def by_token(file: Path, refusals: Refusals | None = None) -> FastAPI:
    return an_app(TokenLogin(TokenFile(file, lambda: NOW)), refusals=refusals)


def bearer(token: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {token}")


# --- without a log-in, and by a proxy's header ----------------------------------------------------


def test_without_a_login_the_caller_is_believed() -> None:
    assert acts(an_app(), ("X-User", "ada")).json() == {"actor": "eve", "subject": None}


@pytest.mark.parametrize("name", ["ada", "Zoë"])
def test_who_is_logged_in_is_the_actor_whatever_the_caller_claims(name: str) -> None:
    assert acts(by_header(), ("x-user", name)).json() == {"actor": name, "subject": name}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 401),
        ([("X-User", " ")], 401),
        ([("X-User", "ada"), ("X-User", "eve")], 401),
        ([("X-User", "system_timeout")], 403),
    ],
)
def test_nobody_acts_without_one_login(headers: list[tuple[str, str]], status: int) -> None:
    answer = acts(by_header(), *headers)
    assert answer.status_code == status
    assert "X-User" in answer.json()["detail"]


def test_a_header_is_believed_from_the_proxys_network_alone() -> None:
    # Given an app that believes another network, when this machine names a user
    app = an_app(HeaderLogin("X-User", (ip_network("10.0.0.0/8"),), frozenset({Scope.ADMIN})))
    answer = acts(app, ("X-User", "ada"))
    # Then it is refused, and the answer names address and remedy
    assert answer.status_code == 401
    assert "127.0.0.1" in answer.json()["detail"]
    assert "SAGA_USER_HEADER_FROM" in answer.json()["detail"]


# --- by a token -----------------------------------------------------------------------------------


def test_a_token_with_the_scope_acts_under_its_own_name(file: Path) -> None:
    token = issued(file, "ada", Scope.DECIDE)
    assert acts(by_token(file), bearer(token)).json() == {"actor": "ada", "subject": "ada"}


def test_only_with_act_as_a_token_acts_under_another_name(file: Path) -> None:
    admin, lab = issued(file, "ada", Scope.ADMIN), issued(file, "lab", Scope.DECIDE, Scope.ACT_AS)
    app = by_token(file)
    assert acts(app, bearer(admin)).json() == {"actor": "ada", "subject": "ada"}
    assert acts(app, bearer(lab)).json() == {"actor": "eve", "subject": "lab"}


def test_a_request_without_a_token_is_told_how_to_log_in(file: Path) -> None:
    issued(file, "ada", Scope.DECIDE)
    answer = acts(by_token(file))
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="saga"'
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "saga token add" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ([bearer(new_token())], "is not known here"),
        ([bearer("saga_short")], "of no kind that is taken here"),
        ([bearer("")], "no token after Bearer"),
        ([bearer("a"), bearer("b")], "several headers"),
        ([("Authorization", "Basic YTpi")], "nobody is logged in"),
    ],
)
def test_a_wrong_token_is_refused_with_the_reason(
    file: Path, headers: list[tuple[str, str]], words: str
) -> None:
    issued(file, "ada", Scope.DECIDE)
    answer = acts(by_token(file), *headers)
    assert answer.status_code == 401
    assert words in answer.json()["detail"]
    presented = headers[0][1].startswith("Bearer")
    assert ('error="invalid_token"' in answer.headers["WWW-Authenticate"]) == presented


def test_an_expired_token_is_refused_by_its_name(file: Path) -> None:
    token = issued(file, "ada", Scope.DECIDE, valid_for=timedelta(0))
    answer = acts(by_token(file), bearer(token))
    assert answer.status_code == 401
    assert "ada has expired" in answer.json()["detail"]


def test_a_missing_scope_is_named_and_noted(file: Path) -> None:
    # Given a token that may only read, when it decides
    token, refusals = issued(file, "ada", Scope.READ), Refusals()
    answer = acts(by_token(file, refusals), bearer(token))
    # Then the answer names the scope, as RFC 6750 wants it
    assert answer.status_code == 403
    challenge = 'Bearer realm="saga", error="insufficient_scope", scope="decide"'
    assert answer.headers["WWW-Authenticate"] == challenge
    assert "ada has not the scope decide" in answer.json()["detail"]
    # And the refusal is noted under the route, not under what is in its path
    (noted,) = refusals.noted
    assert (noted.status, noted.subject, noted.address) == (403, "ada", "127.0.0.1")
    assert noted.route == "POST /people/{name}/act"


def test_a_refused_stranger_is_noted_without_a_name(file: Path) -> None:
    issued(file, "ada", Scope.READ)
    refusals = Refusals()
    acts(by_token(file, refusals))
    assert [(one.status, one.subject) for one in refusals.noted] == [(401, "")]


# --- the app --------------------------------------------------------------------------------------


def test_an_app_with_a_route_that_names_no_scope_is_not_built() -> None:
    router = APIRouter()
    router.add_api_route("/forgotten", lambda: None)
    with pytest.raises(ConfigurationError, match=r"shop: GET /forgotten .*requires\(Scope.READ\)"):
        make_app("shop", {}, router)


def test_an_app_with_a_route_that_names_two_scopes_is_not_built() -> None:
    router = APIRouter(dependencies=requires(Scope.READ))
    router.add_api_route("/both", lambda: None, dependencies=requires(Scope.DECIDE))
    with pytest.raises(ConfigurationError, match="GET /both declares the scopes read, decide"):
        make_app("shop", {}, router)


def test_figures_are_for_those_who_may_read_and_health_is_for_all(file: Path) -> None:
    token = issued(file, "ada", Scope.READ)
    app = by_token(file)
    assert ask(app, "GET", "/health/live").status_code == 200
    assert ask(app, "GET", "/metrics").status_code == 401
    assert ask(app, "GET", "/metrics", headers=dict([bearer(token)])).status_code == 200


def test_the_description_of_the_app_names_the_scope_of_each_route(file: Path) -> None:
    issued(file, "ada", Scope.READ)
    described = by_token(file).openapi()
    assert described["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    act = described["paths"]["/people/{name}/act"]["post"]
    assert act["security"] == [{"bearer": ["decide"]}]
    assert "security" not in described["paths"]["/health/live"]["get"]
