"""Who acts: no name of the machine's own, and who is logged in where a proxy says so."""

from typing import Any

import httpx2
import pytest
from fastapi import APIRouter

from sagakit.actors import personal_actor
from sagakit.web.access import Access
from sagakit.web.app import make_app
from sagakit.web.login import LoggedIn, actor_of
from tests.in_memory_app import ask


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


def acts(header: str | None, headers: list[tuple[str, str]]) -> httpx2.Response:
    """The answer of an app that tells who acts, for a request that claims to come from eve."""
    router = APIRouter()

    @router.post("/act")
    def act(user: LoggedIn) -> dict[str, Any]:
        return {"actor": actor_of("eve", user)}

    raw = [(name.encode(), value.encode()) for name, value in headers]
    return ask(
        make_app("shop", {}, router, access=Access(user_header=header)), "POST", "/act", headers=raw
    )


def test_without_a_login_the_caller_is_believed() -> None:
    assert acts(None, [("X-User", "ada")]).json() == {"actor": "eve"}


@pytest.mark.parametrize("name", ["ada", "Zoë"])
def test_who_is_logged_in_is_the_actor_whatever_the_caller_claims(name: str) -> None:
    assert acts("X-User", [("x-user", name)]).json() == {"actor": name}


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
    answer = acts("X-User", headers)
    assert answer.status_code == status
    assert "X-User" in answer.json()["detail"]
