"""`saga token`, and which token the command line sends to whom."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from saga_cli.client import RequestRefused, Unreachable, call, token_for
from saga_cli.lab.token import token
from sagakit.web.identity.scopes import Scope
from sagakit.web.identity.tokens import TOKEN, read_tokens, token_hash
from tests.unit.saga_cli.http_double import answering


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAGA_HOME", str(tmp_path))
    for name in ("SAGA_TOKEN", "SAGA_MONITOR_URL", "SAGA_HTTP_TOKENS_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(token, words)


def test_a_token_is_printed_once_and_kept_by_its_hash(home: Path) -> None:
    done = run("add", "ada", "--scopes", "read,decide", "--expires", "90d")
    assert done.exit_code == 0
    made = done.stdout.strip()
    assert TOKEN.fullmatch(made)
    (kept,) = read_tokens(home / "tokens.jsonl")
    assert (kept.name, kept.sha256) == ("ada", token_hash(made))
    assert kept.scopes == frozenset({Scope.READ, Scope.DECIDE})
    assert made not in run("ls").stdout


def test_tokens_are_listed_and_revoked_by_name_or_id(home: Path) -> None:
    for name in ("ada", "ada", "bob"):
        run("add", name, "--scopes", "read")
    ids = re.findall(r"^([0-9a-f]{8}) +ada", run("ls").stdout, re.MULTILINE)
    assert len(ids) == 2
    assert run("revoke", "ada", "--id", ids[0]).exit_code == 0
    assert ids[0] not in run("ls").stdout
    assert ids[1] in run("ls").stdout
    assert run("revoke", "ada").exit_code == 0
    assert [kept.name for kept in read_tokens(home / "tokens.jsonl")] == ["bob"]
    again = run("revoke", "ada")
    assert again.exit_code == 1
    assert "has no token of ada; `saga token ls`" in again.output


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("add", "ada", "--scopes", "write"), "'write' is no scope; use place"),
        (("add", "ada", "--scopes", ","), "--scopes names none"),
        (("add", "saga_monitor", "--scopes", "read"), "this name is reserved"),
        (("add", "ada", "--scopes", "read", "--expires", "0s"), "is too short"),
        (("add", "ada"), "Missing option '--scopes'"),
    ],
)
def test_a_wrong_token_is_not_made(home: Path, words: tuple[str, ...], reason: str) -> None:
    done = run(*words)
    assert done.exit_code == 2
    assert reason in done.output
    assert not (home / "tokens.jsonl").exists()


def test_a_file_may_be_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("add", "ada", "--scopes", "read", "--file", str(home / "a.jsonl"))
    monkeypatch.setenv("SAGA_HTTP_TOKENS_FILE", str(home / "b.jsonl"))
    run("add", "bob", "--scopes", "read")
    assert [kept.name for kept in read_tokens(home / "a.jsonl")] == ["ada"]
    assert [kept.name for kept in read_tokens(home / "b.jsonl")] == ["bob"]


def test_a_broken_file_is_named_and_left_as_it_is(home: Path) -> None:
    (home / "tokens.jsonl").write_text("{")
    for words in (("ls",), ("add", "ada", "--scopes", "read"), ("revoke", "ada")):
        done = run(*words)
        assert done.exit_code == 1
        assert "tokens.jsonl: line 1: it is no JSON" in done.output
    assert (home / "tokens.jsonl").read_text() == "{"


# --- what the command line sends ------------------------------------------------------------------


def stack_of(home: Path, operator: str) -> None:
    content = json.loads((home / "stack.json").read_text())
    content["secrets"] = {"token of operator": operator}
    (home / "stack.json").write_text(json.dumps(content))


def test_a_stacks_token_goes_to_the_stack_and_to_no_other_address(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(home, 200, b"[]") as double:
        stack_of(home, "saga_operators")
        assert token_for("monitor") == "saga_operators"
        assert run("show").stdout == "saga_operators\n"
        monkeypatch.setenv("SAGA_MONITOR_URL", double.url)
        assert token_for("monitor") is None
        assert token_for("order") == "saga_operators"
        monkeypatch.setenv("SAGA_TOKEN", "saga_mine")
        assert token_for("monitor") == token_for("order") == "saga_mine"


def test_without_a_token_the_remedy_is_said(home: Path) -> None:
    body = json.dumps({"detail": "nobody is logged in: send the header"}).encode()
    with answering(home, 401, body), pytest.raises(RequestRefused) as refused:
        call("monitor", "GET", "/sagas", None)
    assert "nobody is logged in: send the header" in str(refused.value)
    assert "SAGA_TOKEN is not set" in str(refused.value)
    shown = run("show")
    assert shown.exit_code == 1
    assert "make one with `saga token add`" in shown.output


def test_a_token_that_no_header_can_hold_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGA_TOKEN", "two words\n")
    with pytest.raises(Unreachable, match="SAGA_TOKEN is no token"):
        token_for("monitor")
