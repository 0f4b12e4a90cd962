"""The dashboard in a real browser, on a real monitor."""

import re
import uuid
from collections.abc import Iterator

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import Visitor, wcag_violations
from tests.monitor import (
    EventPublisher,
    MonitorProcess,
    monitor,
    placed,
    reserved,
    review,
    whole,
)
from tests.stack import PATIENCE_S, TestInfra, fresh_database, until

PAGES = (
    "overview",
    "sagas",
    "interventions",
    "unreadable",
    "flows",
    "services",
    "audit",
    "you",
)
PATIENCE_MS = PATIENCE_S * 1000
MARKUP = "<img src=x onerror=alert(1)>'\"&{{7*7}}"
"""Markup, quotes, a template."""
HIDDEN = "\u202egnp.\u200b"
"""Text turned around, and a character that nobody sees."""


@pytest.fixture(scope="module")
def running(infra: TestInfra, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MonitorProcess]:
    """One monitor for all tests of this module; each has sagas of its own."""
    log = tmp_path_factory.mktemp("dashboard") / "monitor.log"
    group = f"saga-monitor-{uuid.uuid4().hex[:8]}"
    with monitor(infra, fresh_database(infra), log, group=group) as process:
        yield process.start()


@pytest.fixture
def visitor(chromium: Browser, running: MonitorProcess) -> Iterator[Visitor]:
    context = chromium.new_context(timezone_id="Europe/Vienna", locale="en-GB")
    visitor = Visitor(context, running.url)
    yield visitor
    context.close()
    assert visitor.complaints == []


def fresh_order() -> str:
    return f"o-{uuid.uuid4().hex[:8]}"


def known(running: MonitorProcess, key: str) -> bool:
    """Whether the monitor has the saga of a key, whatever characters it has."""
    url = httpx2.URL(f"{running.url}/ui/saga", params={"key": key})
    return httpx2.get(url, timeout=PATIENCE_S).status_code == 200


def saga_path(order: str) -> str:
    return f"/ui/saga?key=order/{order}"


def until_shown(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.locator("#live")).to_contain_text(text, timeout=PATIENCE_MS)


def test_the_root_leads_to_the_overview_and_every_page_is_quiet_and_accessible(
    visitor: Visitor, running: MonitorProcess, publisher: EventPublisher
) -> None:
    # Given an order that has ended, one that waits for a person, and one in flight
    ended, waiting, order = (fresh_order() for _ in range(3))
    publisher.publish_events(*whole(ended))
    publisher.publish_events(placed(waiting), reserved(waiting), review(waiting))
    publisher.publish_events(placed(order))
    until(lambda: running.status(ended) == "completed", "the order has ended")
    until(lambda: running.status(waiting) == "waiting", "the order waits")
    # When the root is opened
    page = visitor.open("/")
    # Then it is the overview
    assert page.url.endswith("/ui/overview")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    # And every page is accessible by WCAG 2.2 AA, light and dark
    paths = [f"/ui/{name}" for name in PAGES]
    for path in [*paths, saga_path(ended), saga_path(waiting)]:
        page.goto(f"{running.url}{path}")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert wcag_violations(page) == [], (path, scheme)


def test_a_saga_page_moves_with_the_saga_in_eight_tabs_at_once(
    visitor: Visitor, running: MonitorProcess, publisher: EventPublisher
) -> None:
    # Given an order in flight that eight tabs show
    order = fresh_order()
    publisher.publish_events(placed(order))
    until(lambda: running.types(order), "the start is read")
    tabs = [visitor.open(saga_path(order)) for _ in range(8)]
    for tab in tabs:
        until_shown(tab, "OrderPlaced")
    # When it goes on, and each tab is looked at
    publisher.publish_events(reserved(order))
    # Then each shows it without being loaded again
    for tab in tabs:
        tab.bring_to_front()
        tab.evaluate("window.same = true")
        until_shown(tab, "InventoryReserved")
        assert tab.evaluate("window.same")


def test_a_person_approves_and_the_page_shows_that_it_acts(
    visitor: Visitor, running: MonitorProcess, publisher: EventPublisher
) -> None:
    # Given an order that waits for a person
    order = fresh_order()
    publisher.publish_events(placed(order), reserved(order), review(order))
    until(lambda: running.status(order) == "waiting", "the order waits")
    page = visitor.open(saga_path(order))
    until_shown(page, "payments-reviewer")
    # When somebody approves it
    page.get_by_role("button", name="Approve payment").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Who you are").fill("ada")
    dialog.get_by_label("Reason").fill("known customer")
    dialog.get_by_role("button", name="Approve").click()
    # Then the page says so, and the verdict appears when it is read back
    until_shown(page, "was accepted")
    until_shown(page, "VerdictGiven")
    until_shown(page, "known customer")
    # And what cannot be done is disabled, with the reason
    resume = page.get_by_role("button", name="Resume")
    expect(resume).to_be_disabled()
    reason = resume.get_attribute("aria-describedby")
    assert "is not paused" in (page.locator(f"#{reason}").text_content() or "")


def test_hostile_content_does_nothing_and_is_seen(
    visitor: Visitor, running: MonitorProcess, publisher: EventPublisher
) -> None:
    # Given an order whose id is markup, and a person's words that are turned around
    order = f"{fresh_order()}{MARKUP}"
    publisher.publish_events(placed(order))
    key = f"order/{order}"
    until(lambda: known(running, key), "the order is read")
    words = {"saga": key, "actor": "eve", "reason": f"{MARKUP}{HIDDEN}"}
    answer = running.post("/interventions/open", words)
    assert answer.status_code == 202, answer.text
    # When its page is opened
    page = visitor.open("/ui/overview")
    page.goto(str(httpx2.URL(f"{running.url}/ui/saga", params={"key": key})))
    # Then nothing of it runs, and each hidden character is shown by its code point
    expect(page.locator("h1")).to_contain_text(MARKUP)
    until_shown(page, "{{7*7}}[U+202E]gnp.[U+200B]")
    assert page.locator("img").count() == 0
    # And the link in the list leads to it
    page.goto(f"{running.url}/ui/sagas")
    page.locator("a.row", has_text=order[:10]).click()
    expect(page.locator("h1")).to_contain_text(MARKUP)


def test_everything_can_be_done_by_keyboard_alone(
    visitor: Visitor, running: MonitorProcess, publisher: EventPublisher
) -> None:
    # Given two orders
    first, second = fresh_order(), fresh_order()
    publisher.publish_events(placed(first))
    publisher.publish_events(placed(second))
    until(lambda: running.types(first) and running.types(second), "both are read")
    page = visitor.open("/ui/overview")
    # When somebody searches for one
    page.keyboard.press("/")
    page.keyboard.type(first)
    page.keyboard.press("Enter")
    # Then its page is shown
    expect(page.locator("h1")).to_contain_text(first)
    # When somebody goes to the list, moves down and opens a row
    page.keyboard.press("g")
    page.keyboard.press("i")
    expect(page.locator("h1")).to_have_text("Interventions")
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page.locator("h1")).to_have_text("Sagas")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    chosen = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    # Then that saga is shown
    expect(page.locator("h1")).to_contain_text(chosen)
    # When somebody cancels it
    page.locator("[data-open=do-cancel]").focus()
    page.keyboard.press("Enter")
    for text in ("ada", "asked for it"):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").focus()
    page.keyboard.press("Enter")
    # Then it is being undone
    until_shown(page, "CompensationRequested")


def test_a_list_says_what_blocks_each_saga_and_keeps_saying_it(
    visitor: Visitor, running: MonitorProcess, publisher: EventPublisher
) -> None:
    # Given an order that waits for a person
    order = fresh_order()
    publisher.publish_events(placed(order), reserved(order), review(order))
    until(lambda: running.status(order) == "waiting", "the order waits")
    # When it is searched for
    page = visitor.open(f"/ui/sagas?q=status:waiting+{order}")
    row = page.locator("tr", has_text=order)
    # Then its row says what blocks it
    expect(row).to_contain_text("asks payments-reviewer", timeout=PATIENCE_MS)
    # And still does when the list has moved
    publisher.publish_events(placed(fresh_order()))
    expect(page.locator("[data-causes][data-asked]")).to_have_count(1)
    page.evaluate("refresh()")
    expect(row).to_contain_text("asks payments-reviewer", timeout=PATIENCE_MS)


def test_a_query_that_cannot_be_read_marks_the_place_and_leaves_the_list(
    visitor: Visitor, running: MonitorProcess, publisher: EventPublisher
) -> None:
    # Given a list with an order in it
    order = fresh_order()
    publisher.publish_events(placed(order))
    until(lambda: running.types(order), "the order is read")
    page = visitor.open("/ui/sagas?q=is:open")
    rows = page.locator("table.rows tbody tr")
    expect(page.locator("table.rows")).to_contain_text(order)
    # When somebody types a query with a fault
    page.get_by_label("Query").fill(f"{order} status:odd")
    # Then its place is marked, with what was expected, and the list is as it was
    expect(page.locator("#wrong mark")).to_have_text("odd")
    expect(page.locator("#wrong")).to_contain_text("one of unplaced, running")
    expect(page.locator("table.rows")).to_contain_text(order)
    # When it is corrected
    page.get_by_label("Query").fill(f"{order} status:running")
    # Then the list shows what fits, the fault is gone, and the address is a link to it
    expect(rows).to_have_count(1)
    expect(page.locator("#wrong mark")).to_have_count(0)
    expect(page).to_have_url(re.compile("status%3Arunning"))
    visitor.complaints = [c for c in visitor.complaints if "422" not in c]


def test_pages_fit_a_narrow_screen(
    chromium: Browser, running: MonitorProcess, publisher: EventPublisher
) -> None:
    # Given a narrow screen
    order = fresh_order()
    publisher.publish_events(*whole(order))
    until(lambda: running.status(order) == "completed", "the order has ended")
    context = chromium.new_context(viewport={"width": 375, "height": 700})
    narrow = Visitor(context, running.url)
    for path in ("/ui/overview", "/ui/sagas", "/ui/interventions", "/ui/flows", saga_path(order)):
        # When a page is opened
        page = narrow.open(path)
        # Then it is not wider than the screen
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, path
        page.close()
    context.close()


def test_a_past_moment_is_shown_by_the_slider(
    visitor: Visitor, running: MonitorProcess, publisher: EventPublisher
) -> None:
    # Given an order with two events
    order = fresh_order()
    publisher.publish_events(placed(order))
    until(lambda: running.types(order), "the start is read")
    publisher.publish_events(reserved(order))
    until(lambda: len(running.types(order)) == 2, "both are read")
    page = visitor.open(saga_path(order))
    # When the slider is moved to the first
    slider = page.get_by_label("Drag to an event")
    slider.focus()
    page.keyboard.press("Home")
    # Then the saga is shown as it was
    until_shown(page, "as the log knew it")
    expect(page.locator("#live")).not_to_contain_text("InventoryReserved, ")
    until_shown(page, "1 of 2 events")
    page.get_by_role("link", name="Back to the present").click()
    expect(page.locator("#live")).not_to_contain_text("Back to the present")


def test_what_is_not_there_says_what_to_do(visitor: Visitor) -> None:
    # When a saga is asked for that nobody knows
    page = visitor.context.new_page()
    answer = page.goto(f"{visitor.url}/ui/saga?key=order/nobody")
    # Then the page says so, and where was searched
    assert answer is not None
    assert answer.status == 404
    expect(page.locator("main")).to_contain_text("The flows here are order")


def test_pages_are_small_and_closed_to_other_sites(running: MonitorProcess) -> None:
    # When a page is fetched as a browser does
    answer = httpx2.get(f"{running.url}/ui/overview", timeout=PATIENCE_S)
    # Then it forbids scripts of others, and to be framed
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    # And with all its files it is below 150 KB
    files = set(re.findall(r'"(/ui/static/[^"]+)"', answer.text))
    sizes = [len(httpx2.get(f"{running.url}{file}", timeout=PATIENCE_S).content) for file in files]
    assert len(answer.content) + sum(sizes) < 150_000

    # And it is not sent again while nothing has changed
    def again() -> int:
        tag = httpx2.get(f"{running.url}/ui/overview", timeout=PATIENCE_S).headers["etag"]
        headers = {"If-None-Match": tag}
        answer = httpx2.get(f"{running.url}/ui/overview", headers=headers, timeout=PATIENCE_S)
        return answer.status_code

    until(lambda: again() == 304, "the same page is not sent again")
    # And another site's form changes nothing
    foreign = httpx2.post(
        f"{running.url}/ui/commands/cancel",
        data={"saga": "order/x", "actor": "eve", "reason": "r"},
        headers={"Sec-Fetch-Site": "cross-site"},
    )
    assert foreign.status_code == 403
