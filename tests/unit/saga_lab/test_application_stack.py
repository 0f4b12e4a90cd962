"""The stack of an application that is not the order application: ports, links, environments."""

import json
import os
from pathlib import Path

import pytest

from saga_lab.application import Application, OutsideSpec, ParticipantSpec
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.home import assign_ports, check_application
from saga_lab.devstack.manifest import manifest
from saga_lab.devstack.options import StackOptions
from saga_lab.devstack.processes import StackAddresses, declare, selected
from saga_lab.devstack.stack_file import operator_token, token_secret
from saga_lab.devstack.tokens import scopes_by_name, tokens_of, write_tokens
from sagakit.web.identity.scopes import EVERYTHING, Scope
from sagakit.web.identity.tokens import (
    StoredToken,
    edited_tokens,
    new_token,
    read_tokens,
    token_hash,
)

LINKED = StackOptions(links=True)


def errand(folder: Path, reconciliation: str | None = None) -> Application:
    """Two participants, of which one calls a fake that has a port more."""
    calls = {"SAGA_SHOP_URL": "{shop.url}", "SAGA_TILL": "{till.host}:{till.port}"}
    return Application(
        name="errand",
        folder=folder,
        contract=("one", "two.events"),
        participants={
            "runner": ParticipantSpec(
                "runner", "errand.runner", calls, scopes=frozenset({Scope.VAULT})
            ),
            "clerk": ParticipantSpec("clerk", "errand.clerk", replicas=False),
        },
        outside={
            "shop": OutsideSpec(
                "shop",
                "errand.shop",
                {"SANDBOX_URL": "{runner.url}/shop", "SANDBOX_KEY": "{shop.secret}"},
                ports=("till",),
            )
        },
        reconciliation=reconciliation,
    )


def around(application: Application, options: StackOptions = LINKED) -> StackAddresses:
    _, ports = assign_ports(application, options, {})
    databases = {name: f"postgresql://saga@h:1/saga_{name}" for name in application.databases}
    secrets = {**dict.fromkeys(application.secrets(), "drawn"), **tokens_of(application, {})}
    return StackAddresses(application, Path("data"), ports, "k:1", databases, secrets)


def test_participants_and_fakes_have_ports_in_the_order_of_the_manifest(tmp_path: Path) -> None:
    ports = around(errand(tmp_path)).ports
    named = {name: ports[name] for name in ("runner", "clerk", "monitor", "shop", "till", "links")}
    assert list(named.values()) == [18010, 18011, 18015, 18020, 18021, 18029]
    assert ports["runner>shop"] == 18060
    assert "clerk>shop" not in ports


def test_many_participants_and_fakes_have_places_of_their_own(tmp_path: Path) -> None:
    # Given twenty participants, of which each calls each of five fakes
    listening = {f"f{n}": (f"f{n}_a", f"f{n}_b") for n in range(5)}
    fakes = {name: OutsideSpec(name, "many.fake", ports=of) for name, of in listening.items()}
    calls = {f"SAGA_{name.upper()}": f"{{{name}.url}}" for name in fakes}
    named = [f"p{n}" for n in range(20)]
    parts = {name: ParticipantSpec(name, "many.part", calls) for name in named}
    many = Application("many", tmp_path, ("many",), participants=parts, outside=fakes)
    # When their ports are assigned
    ports = around(many, StackOptions(links=True, brokers=3)).ports
    # Then the tenth has the first one's place, a thousand higher, and no two have the same
    assert [ports[name] for name in ("p0", "p8", "p9", "p18")] == [18010, 18019, 19010, 20010]
    assert ports["p9>postgres"] == 19030
    assert len(set(ports.values())) == len(ports) > 200


def test_a_participant_gets_contract_folder_and_its_own_settings(tmp_path: Path) -> None:
    (process,) = declare(["runner"], around(errand(tmp_path)), {})
    assert process.command[-2:] == ("sagakit", "errand.runner")
    assert process.env["SAGA_CONTRACT"] == "one,two.events"
    assert process.env["PYTHONPATH"].split(os.pathsep)[0] == str(tmp_path)
    assert process.env["SAGA_SHOP_URL"] == "http://127.0.0.1:18060", "through the link"
    assert process.env["SAGA_TILL"] == "127.0.0.1:18021"


def test_each_process_takes_the_tokens_of_the_stack_and_sends_its_own(tmp_path: Path) -> None:
    where = around(errand(tmp_path))
    runner, monitor = declare(["runner", "monitor"], where, {})
    for process in (runner, monitor):
        assert process.env["SAGA_HTTP_AUTH"] == "tokens"
        assert process.env["SAGA_HTTP_TOKENS_FILE"] == str(where.tokens_file)
        assert process.env["SAGA_TOKEN"] == where.secrets[token_secret(process.name)]
    assert runner.env["SAGA_TOKEN"] != monitor.env["SAGA_TOKEN"]


def test_tokens_of_a_stack_have_the_scopes_of_the_manifest(tmp_path: Path) -> None:
    assert scopes_by_name(errand(tmp_path)) == {
        "operator": EVERYTHING,
        "monitor": {Scope.READ},
        "runner": {Scope.VAULT},
        "clerk": frozenset(),
    }


def test_a_stack_that_starts_again_keeps_its_tokens_and_those_that_were_added(
    tmp_path: Path,
) -> None:
    # Given a stack that has started, and a token of a person
    application = errand(tmp_path)
    first = tokens_of(application, {})
    write_tokens(tmp_path, application, first)
    file = tmp_path / "tokens.jsonl"
    with edited_tokens(file) as tokens:
        ada = StoredToken(
            "ada", token_hash(new_token()), frozenset({Scope.READ}), tokens[0].expires
        )
        tokens.append(ada)
    # When it starts again, and when its secrets were lost
    again = tokens_of(application, first)
    write_tokens(tmp_path, application, again)
    assert again == first
    assert operator_token({"secrets": again}) == first[token_secret("operator")]
    lost = tokens_of(application, {})
    write_tokens(tmp_path, application, lost)
    # Then ada's token counts still, and of the stack's own the new ones alone
    kept = {token.sha256 for token in read_tokens(file)}
    assert kept == {ada.sha256, *map(token_hash, lost.values())}


def test_a_file_of_tokens_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "tokens.jsonl").write_text("{")
    application = errand(tmp_path)
    with pytest.raises(StackError, match=r"tokens.jsonl cannot be used: line 1: it is no JSON"):
        write_tokens(tmp_path, application, tokens_of(application, {}))


def test_a_fake_gets_the_participants_address_and_the_secret(tmp_path: Path) -> None:
    (process,) = declare(["shop"], around(errand(tmp_path)), {})
    assert process.command[-1] == "errand.shop"
    assert process.env["SANDBOX_URL"] == "http://127.0.0.1:18010/shop"
    assert process.env["SANDBOX_KEY"] == "drawn"


def test_the_monitor_gets_the_participants_and_the_rules_if_there_are_any(tmp_path: Path) -> None:
    (without,) = declare(["monitor"], around(errand(tmp_path)), {})
    assert json.loads(without.env["SAGA_PARTICIPANTS"]).keys() == {"runner", "clerk"}
    assert "SAGA_RECONCILIATION" not in without.env
    (with_rules,) = declare(["monitor"], around(errand(tmp_path, "errand.rules:RULES")), {})
    assert with_rules.env["SAGA_RECONCILIATION"] == "errand.rules:RULES"


def test_only_participants_that_may_have_replicas_get_them(tmp_path: Path) -> None:
    names = selected(errand(tmp_path), StackOptions(replicas=2))
    assert names == ["shop", "runner-1", "runner-2", "clerk", "monitor"]


def test_stack_json_names_the_application_its_fakes_and_their_ports(tmp_path: Path) -> None:
    content = manifest(StackOptions(), 18000, around(errand(tmp_path)), {}, {})
    assert content["application"] == str(tmp_path)
    assert content["outside"] == ["shop"]
    assert content["urls"]["shop"] == "http://127.0.0.1:18020"
    assert content["urls"]["till"] == "127.0.0.1:18021"


def test_a_home_refuses_another_application_unless_the_first_one_was_moved(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    before = {"application": str(first)}
    check_application(errand(second), {})
    check_application(errand(first), before)
    check_application(errand(second), before)
    (first / "saga.toml").write_text("")
    with pytest.raises(StackError, match=rf"application in {first}, not .*another SAGA_HOME"):
        check_application(errand(second), before)
