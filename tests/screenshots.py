"""Makes the screenshots of the documentation: `python -m tests.screenshots SAGA`.

It opens the dashboard of the home's running stack as `saga ui` does, and writes
`docs/images/*.png`, each in light and in dark. Look at them before you commit them.
"""

from pathlib import Path

import click
from playwright.sync_api import expect, sync_playwright

from saga_cli.client import MONITOR, address, dashboard_link
from tests.browser import CHROMIUM

IMAGES = Path(__file__).parents[1] / "docs" / "images"
WIDTH, HEIGHT = 1280, 900


@click.command()
@click.argument("saga")
def main(saga: str) -> None:
    """Make the screenshots, with the page of SAGA, such as order/o-1."""
    pages = {
        "overview": "/ui/overview",
        "sagas": "/ui/sagas?q=is:open",
        "saga": f"/ui/saga?key={saga}",
    }
    IMAGES.mkdir(exist_ok=True)
    link = dashboard_link()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
        page = context.new_page()
        page.goto(link)
        page.get_by_role("button", name="Log in as").click()
        page.get_by_role("heading", name="Overview").wait_for()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for name, path in pages.items():
                page.goto(address(MONITOR) + path)
                expect(page.locator("#live-state")).to_have_text("Live")
                file = IMAGES / f"{name}-{scheme}.png"
                page.screenshot(path=file)
                click.echo(str(file))
        browser.close()


if __name__ == "__main__":
    main()
