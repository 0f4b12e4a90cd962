"""Logging in to the dashboard of a monitor that takes tokens."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from sagakit.web.identity.scopes import Scope
from sagakit.web.identity.tokens import StoredToken, edited_tokens, new_token, token_hash
from tests.browser import Visitor, wcag_violations
from tests.monitor import EventPublisher, MonitorProcess, monitor, placed
from tests.stack import PATIENCE_S, TestInfra, fresh_database, until

READ, DECIDE = frozenset({Scope.READ}), frozenset({Scope.READ, Scope.DECIDE})


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A file of tokens, and the tokens by the names of their owners."""
    path, made = tmp_path_factory.mktemp("tokens") / "tokens.jsonl", {}
    until_ = datetime.now(UTC) + timedelta(hours=1)
    with edited_tokens(path) as kept:
        for name, scopes in (("ada", DECIDE), ("bob", READ)):
            made[name] = new_token()
            kept.append(StoredToken(name, token_hash(made[name]), scopes, until_))
    return path, made


@pytest.fixture(scope="module")
def running(
    infra: TestInfra,
    tokens: tuple[Path, dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[MonitorProcess]:
    log = tmp_path_factory.mktemp("login") / "monitor.log"
    settings = {"SAGA_HTTP_AUTH": "tokens", "SAGA_HTTP_TOKENS_FILE": str(tokens[0])}
    group = f"saga-monitor-{uuid.uuid4().hex[:8]}"
    url = fresh_database(infra)
    with monitor(infra, url, log, group=group, settings=settings) as process:
        yield process.start()


@pytest.fixture
def visitor(chromium: Browser, running: MonitorProcess) -> Iterator[Visitor]:
    context = chromium.new_context()
    yield Visitor(context, running.url)
    context.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_nobody_sees_a_page_before_a_log_in_and_lands_where_they_wanted_to_go(
    visitor: Visitor, running: MonitorProcess, tokens: tuple[Path, dict[str, str]]
) -> None:
    # When somebody opens a page without a session
    page = visitor.open("/ui/sagas?q=is:stuck")
    # Then it is the log-in
    expect(page.locator("h1")).to_have_text("Log in")
    assert wcag_violations(page) == []
    # And a token that is none is refused, with the reason
    page.get_by_label("Token").fill("saga_no")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("token")
    # When they log in with theirs
    page.get_by_label("Token").fill(tokens[1]["bob"])
    page.get_by_role("button", name="Log in").click()
    # Then they see the page that they wanted, under their name
    expect(page.locator("#query")).to_have_value("is:stuck")
    page.get_by_role("link", name="bob").click()
    # And what they may do, and why not the rest
    expect(page.locator("main")).to_contain_text("your log-in has not the scope decide")
    # When they log out
    page.get_by_role("button", name="Log out").click()
    page.goto(f"{running.url}/ui/overview")
    # Then they have to log in again
    expect(page.locator("h1")).to_have_text("Log in")


def test_a_link_logs_in_once_and_only_when_its_button_is_pressed(
    chromium: Browser, running: MonitorProcess, tokens: tuple[Path, dict[str, str]]
) -> None:
    # Given a link that ada's token made
    made = httpx2.post(f"{running.url}/ui/login-links", headers=bearer(tokens[1]["ada"]))
    path = made.raise_for_status().json()["path"]
    # When something only fetches it
    for _ in range(2):
        assert "ada" in httpx2.get(f"{running.url}{path}", timeout=PATIENCE_S).text
    # Then it still logs in, once
    first, second = (chromium.new_context() for _ in range(2))
    page = Visitor(first, running.url).open(path)
    page.get_by_role("button", name="Log in as ada").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page = Visitor(second, running.url).open(path)
    expect(page.get_by_role("alert")).to_contain_text("was used")
    # And the audit says so
    audit = httpx2.get(f"{running.url}/audit", headers=bearer(tokens[1]["ada"])).json()
    assert next(row["actor"] for row in audit if row["action"] == "log_in") == "ada"
    first.close()
    second.close()


def test_who_is_logged_in_is_the_actor_and_who_may_not_decide_is_refused(
    chromium: Browser,
    running: MonitorProcess,
    publisher: EventPublisher,
    tokens: tuple[Path, dict[str, str]],
) -> None:
    # Given an order, and a session of each
    order = f"o-{uuid.uuid4().hex[:8]}"
    publisher.publish_events(placed(order))
    for name in ("bob", "ada"):
        link = httpx2.post(f"{running.url}/ui/login-links", headers=bearer(tokens[1][name]))
        context = chromium.new_context()
        page = Visitor(context, running.url).open(link.json()["path"])
        page.get_by_role("button", name=f"Log in as {name}").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        until(
            lambda: page.goto(f"{running.url}/ui/saga?key=order/{order}").ok,  # type: ignore[union-attr]  # noqa: B023
            "the order is read",
        )
        # When they cancel it
        page.locator("[data-open=do-cancel]").click()
        page.get_by_role("dialog").get_by_label("Reason").fill("asked for it")
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        # Then only ada may, and is the actor without saying so
        wanted = {"bob": "has not the scope decide", "ada": "by ada"}[name]
        expect(page.locator("main")).to_contain_text(wanted, timeout=PATIENCE_S * 1000)
        context.close()


def test_another_app_of_the_host_changes_nothing_with_the_cookie(
    running: MonitorProcess, tokens: tuple[Path, dict[str, str]]
) -> None:
    # Given a session
    with httpx2.Client(base_url=running.url, timeout=PATIENCE_S) as client:
        answer = client.post(
            "/ui/login",
            data={"token": tokens[1]["ada"], "next": "https://example.org/"},
            headers={"Sec-Fetch-Site": "same-origin"},
        )
        # Then it leads to no other site
        assert (answer.status_code, answer.headers["location"]) == (303, "/ui/overview")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        # When a page on another port of the host sends a change with its cookie
        for site in ("same-site", "cross-site"):
            refused = client.post(
                "/ui/commands/cancel",
                data={"saga": "order/x", "reason": "r"},
                headers={"Sec-Fetch-Site": site},
            )
            # Then it is refused
            assert refused.status_code in (401, 403), site
        # And so it is without that header, from another origin
        foreign = {"Origin": "http://127.0.0.1:1"}
        assert client.post("/ui/logout", headers=foreign).status_code == 401
        # And the page's own change is taken
        assert client.post("/ui/logout", headers={"Origin": running.url}).status_code == 303
        assert client.get("/ui/you").status_code == 401
