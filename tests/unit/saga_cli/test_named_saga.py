"""Which saga a name on the command line means."""

from typing import Any

import pytest
from click.testing import CliRunner

from saga_cli import client
from saga_cli.monitor.sagas import cancel, ls, show

WHY = ["--actor", "ada", "--reason", "asked"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Requests to a monitor that knows order/7, trip/7 and trip/8."""
    requests: list[tuple[Any, ...]] = []

    def ask(method: str, path: str, _: object, **more: Any) -> Any:
        if path == "/candidates":
            name = more["params"]["name"]
            known = ("order/7", "trip/7", "trip/8")
            return [{"saga": key} for key in known if name in (key, key.partition("/")[2])]
        requests.append((method, path, *more.values()))
        return {"event": "CompensationRequested", "id": "e-1"} if method == "POST" else []

    monkeypatch.setattr(client, "ask", ask)
    return requests


@pytest.mark.parametrize("name", ["8", "trip/8"])
def test_an_id_of_one_flow_alone_needs_no_flow(name: str, asked: list[tuple[Any, ...]]) -> None:
    assert CliRunner().invoke(cancel, [name, *WHY]).exit_code == 0
    body = {"saga": "trip/8", "actor": "ada", "reason": "asked"}
    assert asked == [("POST", "/cancellations", body)]


def test_an_id_of_several_flows_is_refused_with_their_keys(asked: list[tuple[Any, ...]]) -> None:
    result = CliRunner().invoke(cancel, ["7", *WHY])
    assert result.exit_code == 2
    assert "'7' may be order/7 or trip/7; name one of them" in result.output
    assert asked == []


def test_a_saga_that_was_never_read_is_said_so(asked: list[tuple[Any, ...]]) -> None:
    result = CliRunner().invoke(show, ["order/9"])
    assert result.exit_code == 1
    assert "no event of saga 'order/9' was read yet; check the id, or try again" in result.output
    assert asked == []


@pytest.mark.parametrize(
    ("key", "path"),
    [("order/7", "/sagas/order/7"), ("order/a/b c?", "/sagas/order/a%2Fb%20c%3F")],
)
def test_the_path_of_a_saga_keeps_every_character_of_its_id(key: str, path: str) -> None:
    assert client.saga_path(key) == path


def test_ls_asks_for_one_flow(asked: list[tuple[Any, ...]]) -> None:
    CliRunner().invoke(ls, ["--flow", "trip"])
    assert asked == [("GET", "/sagas", {"limit": 50, "flow": "trip"})]
