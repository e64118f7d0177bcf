"""Write a picture of a run's report, in a browser without a window: `python docs/screenshot_report.py RUN OUT.png`.

It needs Debian's `chromium` and the development tools of `make dev`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from envport_trainer.report.page import report_html
from envport_trainer.report.run_data import read_run
from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1320, 1800


def main(run: Path, out: Path) -> None:
    """Makes the report and takes the picture of its upper part."""
    browser_path = shutil.which("chromium")
    if browser_path is None:
        sys.exit("error: there is no chromium; as root: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "report.html"
        file.write_text(report_html(read_run(run)), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(file.as_uri())
        page.screenshot(path=out)
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("error: expected two arguments: python docs/screenshot_report.py RUN OUT.png")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
