"""What a web page sends on its visitor's behalf is refused: foreign names, changes cross-site."""

import re

import pytest
from fastapi import APIRouter

from sagakit.web.access import Access, access_of
from sagakit.web.app import make_app
from sagakit.web.identity.requires import open_to_all
from tests.in_memory_app import ask

LOCAL, OPEN = access_of("127.0.0.1", []), access_of("0.0.0.0", ["Shop.example"])


def status(access: Access, host: str, method: str = "GET", **headers: str) -> int:
    router = APIRouter(dependencies=open_to_all("a test"))
    router.add_api_route("/act", lambda: "done", methods=["GET", "POST"])
    given = {"Host": host, **{k.replace("_", "-"): v for k, v in headers.items()}}
    return ask(
        make_app("shop", {}, router, access=access), method, "/act", headers=given
    ).status_code


@pytest.mark.parametrize(
    ("access", "host", "expected"),
    [
        (LOCAL, "127.0.0.1:18010", 200),
        (LOCAL, "localhost", 200),
        (LOCAL, "[::1]:8080", 200),
        (LOCAL, "LOCALHOST.:1", 200),
        (LOCAL, "evil.example", 421),
        (LOCAL, "127.0.0.1.evil.example:18010", 421),
        (LOCAL, "10.0.0.7", 421),
        (LOCAL, "", 421),
        (OPEN, "order:8080", 200),
        (OPEN, "10.0.0.7:8080", 200),
        (OPEN, "[fd00::7]", 200),
        (OPEN, "shop.example:443", 200),
        (OPEN, "evil.example", 421),
        (OPEN, "x.shop.example", 421),
        (access_of("::1", []), "order", 421),
    ],
)
def test_an_app_answers_to_its_own_names(access: Access, host: str, expected: int) -> None:
    assert status(access, host) == expected


def test_a_page_of_another_site_reads_but_changes_nothing() -> None:
    assert status(LOCAL, "localhost", "POST", Sec_Fetch_Site="cross-site") == 403
    assert status(LOCAL, "localhost", "POST", Sec_Fetch_Site="same-origin") == 200
    assert status(LOCAL, "localhost", "GET", Sec_Fetch_Site="cross-site") == 200


def test_no_page_of_an_app_runs_scripts_of_other_sites() -> None:
    app = make_app("shop", {})
    for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
        assert ask(app, "GET", path).status_code == 404
    answer = ask(app, "GET", "/openapi.json")
    assert answer.status_code == 200
    assert not re.search("<script|cdn", answer.text)
