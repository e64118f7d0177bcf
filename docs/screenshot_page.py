"""Write images/page.png: the page of `envs/extraction` in a browser without a window, after a rollout by hand.

`python docs/screenshot_page.py` runs this. It needs Debian's `chromium` and the development tools of `make dev`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Generator

    from playwright.sync_api import Page

DOCS = Path(__file__).parent
ENVIRONMENT = DOCS.parent / "envs/extraction"
WIDTH, HEIGHT = 1320, 900
TASK = 5
EVENT = """{
  "start_date": "2012-01-29",
  "province": "bamyan",
  "event_type": "detention",
  "target_group": "taliban",
  "captureq": true,
  "min_captured": 6
}"""


def main() -> None:
    """Serves the environment, does a rollout, takes the picture."""
    browser_path = shutil.which("chromium")
    if browser_path is None:
        sys.exit("error: there is no chromium; as root: apt-get install chromium")
    with served(ENVIRONMENT) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(url)
        roll_out(page)
        page.screenshot(path=DOCS / "images/page.png", full_page=True)
        browser.close()


@contextmanager
def served(folder: Path) -> Generator[str]:
    """The URL of a server of this environment, as `envport serve` gives it."""
    command = [sys.executable, "-m", "envport", "serve", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own command
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()


def roll_out(page: Page) -> None:
    """A rollout on one task: each tool once, then an answer that is right in part."""
    rollout = page.locator("main")
    page.get_by_label("Split").select_option("eval")
    page.get_by_role("button", name=f"Start a rollout on task {TASK} of eval").click()
    rollout.get_by_label("json text").fill(EVENT)
    rollout.get_by_role("button", name="Run validate_event").click()
    rollout.locator("summary", has_text="lookup_province").click()
    rollout.get_by_label("name text").fill("Yakawlang")
    rollout.get_by_role("button", name="Run lookup_province").click()
    rollout.locator(".calls .output").nth(1).wait_for()
    rollout.get_by_label("What the model would say at the end").fill(EVENT)
    rollout.get_by_role("button", name="Submit answer").click()
    rollout.locator(".total").wait_for()
    page.evaluate("scrollTo(0, 0)")


if __name__ == "__main__":
    main()
