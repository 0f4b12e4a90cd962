"""Where a process listens and how its callers log in: what goes together, and what does not."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sagakit.service.settings import ServiceSettings, load
from sagakit.web.identity.scopes import Scope
from sagakit.web.identity.tokens import StoredToken, edited_tokens, new_token, token_hash

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
NEEDED = {
    "SAGA_BOOTSTRAP_SERVERS": "kafka:9092",
    "SAGA_DATABASE_URL": "postgresql://h/d",
    "SAGA_CONTRACT": "schemas",
}
ISSUER = {"SAGA_OIDC_ISSUER": "https://login.example", "SAGA_OIDC_AUDIENCE": "the-sagas"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.jsonl"
    with edited_tokens(path) as tokens:
        until = NOW + timedelta(days=1)
        tokens.append(StoredToken("ada", token_hash(new_token()), frozenset({Scope.READ}), until))
    return path


def loaded(monkeypatch: pytest.MonkeyPatch, **variables: Any) -> ServiceSettings:
    for name, value in {**NEEDED, **variables}.items():
        monkeypatch.setenv(name, str(value))
    return load(ServiceSettings)


def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **variables: Any
) -> str:
    """The line with which a process ends at its start, with status 2."""
    with pytest.raises(SystemExit) as ended:
        loaded(monkeypatch, **variables)
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_who_listens_on_this_machine_alone_needs_no_login(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    found = loaded(monkeypatch, SAGA_HTTP_HOST=host)
    assert found.http_auth == ("none",)
    assert found.authenticator(lambda: NOW) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "shop.example"])
def test_who_listens_to_others_does_not_start_without_a_login(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    line = refused(monkeypatch, capsys, SAGA_HTTP_HOST=host)
    assert line.startswith("SAGA_HTTP_AUTH ")
    assert f"SAGA_HTTP_HOST={host}" in line
    assert "write tokens, oidc or header, or none where everybody" in line


def test_everybody_may_be_let_in_on_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    found = loaded(monkeypatch, SAGA_HTTP_HOST="0.0.0.0", SAGA_HTTP_AUTH="none")
    assert found.authenticator(lambda: NOW) is None


def test_several_ways_go_together(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    found = loaded(
        monkeypatch,
        SAGA_HTTP_HOST="0.0.0.0",
        SAGA_HTTP_AUTH="tokens, oidc,header",
        SAGA_HTTP_TOKENS_FILE=file,
        SAGA_USER_HEADER="X-User",
        SAGA_USER_HEADER_FROM="10.0.0.0/8, fd00::/8",
        SAGA_USER_SCOPES="read, decide",
        **ISSUER,
    )
    assert found.user_scopes == {Scope.READ, Scope.DECIDE}
    assert [str(network) for network in found.user_header_from] == ["10.0.0.0/8", "fd00::/8"]
    assert found.authenticator(lambda: NOW) is not None


def test_a_header_of_a_proxy_is_a_login_and_is_believed_from_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = loaded(monkeypatch, SAGA_HTTP_HOST="0.0.0.0", SAGA_USER_HEADER="X-User")
    assert found.http_auth == ("header",)
    assert [str(network) for network in found.user_header_from] == ["127.0.0.0/8", "::1/128"]


@pytest.mark.parametrize(
    ("variables", "name", "words"),
    [
        ({"SAGA_HTTP_AUTH": "password"}, "SAGA_HTTP_AUTH", "'none', 'tokens', 'oidc' or 'header'"),
        ({"SAGA_HTTP_AUTH": "none,tokens"}, "SAGA_HTTP_AUTH", "none excludes every other way"),
        ({"SAGA_HTTP_AUTH": "tokens"}, "SAGA_HTTP_AUTH", "needs SAGA_HTTP_TOKENS_FILE"),
        ({"SAGA_HTTP_AUTH": "oidc"}, "SAGA_HTTP_AUTH", "needs SAGA_OIDC_ISSUER"),
        ({"SAGA_HTTP_AUTH": "header"}, "SAGA_HTTP_AUTH", "needs SAGA_USER_HEADER"),
        ({"SAGA_HTTP_TOKENS_FILE": "/no/such"}, "SAGA_HTTP_TOKENS_FILE", "saga token add"),
        ({"SAGA_OIDC_ISSUER": "http://login.example"}, "SAGA_OIDC_ISSUER", "is no https URL"),
        ({"SAGA_USER_HEADER_FROM": "ten"}, "SAGA_USER_HEADER_FROM", "write networks such as"),
        ({"SAGA_USER_SCOPES": "all"}, "SAGA_USER_SCOPES", "'all' is no scope"),
        ({"SAGA_TOKEN": "short"}, "SAGA_TOKEN", "at least 32 are needed"),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    name: str,
    words: str,
) -> None:
    lines = refused(monkeypatch, capsys, **variables).splitlines()
    assert any(line.startswith(name) and words in line for line in lines), lines


def test_a_token_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "short" not in refused(monkeypatch, capsys, SAGA_TOKEN="short")
