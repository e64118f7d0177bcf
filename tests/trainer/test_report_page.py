"""The report in a real browser: Debian's Chromium without a window, light and dark, wide and narrow."""

from __future__ import annotations

import os
import shutil
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from envport_trainer.report.page import report_html
from envport_trainer.report.run_data import read_run
from playwright.sync_api import Page, expect, sync_playwright

from ..protocol.test_page import CONTRASTS
from .made_run import make_run
from .test_report import HOSTILE, hostile_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        if os.environ.get("CI") and not os.environ.get("NO_CHROMIUM"):
            pytest.fail("there is no chromium, which .ci/run installs, or says that it cannot")
        pytest.skip("there is no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a made run."""
    folder = make_run(tmp_path_factory.mktemp("runs") / "made")
    file = folder / "report.html"
    file.write_text(report_html(read_run(folder)), encoding="utf-8")
    return file


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """`visit(file, **context)` -> its page, all parts open; afterwards nothing was complained of or asked for."""
    heard: list[str] = []
    asked: list[str] = []
    pages: list[Page] = []

    def come(file: Path, **context: object) -> Page:
        page = browser.new_context(**context).new_page()  # type: ignore[arg-type]
        page.set_default_timeout(15_000)
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
        pages.append(page)
        return page

    yield come
    assert heard == []
    assert [url for url in asked if not url.startswith("data:")] == [page.url for page in pages]
    for page in pages:
        page.context.close()


def overflow(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def test_the_page_tells_the_run(visit: Visit, report: Path):
    page = visit(report)
    expect(page).to_have_title("made · envport")
    expect(page.get_by_role("heading", level=1)).to_have_text("made")
    expect(page.get_by_role("img", name="Reward", exact=True)).to_be_visible()
    headings = page.get_by_role("heading", level=2).all_inner_texts()
    assert headings == [
        "Reward",
        "Components",
        "Lengths",
        "Every other metric",
        "Alarms",
        "Before and after",
        "Training rollouts",
        "Configuration, digests, versions",
    ]
    expect(page.locator("article h3").first).to_have_text("Task held-0 +0.750")
    expect(page.locator("tr", has_text="entropy fell below 0.3")).to_have_count(1)


def test_before_and_after_stand_side_by_side_and_below_each_other_on_a_phone(visit: Visit, report: Path):
    wide = visit(report, viewport={"width": 1280, "height": 800})
    before, after = (wide.locator("article .rollout").nth(n).bounding_box() for n in (0, 1))
    assert before is not None
    assert after is not None
    assert (before["y"] == after["y"], before["x"] + before["width"] <= after["x"]) == (True, True)
    narrow = visit(report, viewport={"width": 390, "height": 800})
    before, after = (narrow.locator("article .rollout").nth(n).bounding_box() for n in (0, 1))
    assert before is not None
    assert after is not None
    assert (before["x"] == after["x"], before["y"] + before["height"] <= after["y"]) == (True, True)


@pytest.mark.parametrize("width", [390, 768, 1320])
def test_nothing_is_wider_than_the_screen(visit: Visit, report: Path, width: int):
    assert overflow(visit(report, viewport={"width": width, "height": 800})) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_in_light_and_in_dark(visit: Visit, report: Path, scheme: str):
    page = visit(report, color_scheme=scheme)
    assert page.evaluate(CONTRASTS) == []
    ground, axis = (
        [int(part) for part in page.evaluate(script).removeprefix("rgb(").removesuffix(")").split(",")]
        for script in (
            "getComputedStyle(document.body).backgroundColor",
            "getComputedStyle(document.querySelector('svg text')).fill",
        )
    )
    assert (sum(ground) > 3 * 128, sum(axis) > 3 * 128) == (scheme == "light", scheme == "dark")


def test_nothing_that_others_wrote_runs_or_leaves_its_place(visit: Visit, tmp_path: Path):
    file = tmp_path / "report.html"
    file.write_text(report_html(read_run(hostile_run(tmp_path))), encoding="utf-8")
    page = visit(file, viewport={"width": 390, "height": 800})
    assert page.evaluate("window.pwned") is None
    assert page.locator("script, img, iframe, object, form, [onload], [onerror]").count() == 0
    assert page.locator("a").evaluate_all("all => all.every(one => one.hash && one.pathname === location.pathname)")
    assert overflow(page) == 0
    expect(page.locator("pre", has_text=HOSTILE[:60]).first).to_be_visible()


def test_every_part_can_be_reached_by_its_name(visit: Visit, report: Path):
    page = visit(report)
    assert page.locator("svg:not([aria-hidden])").evaluate_all(
        "all => all.every(one => one.getAttribute('role') === 'img' && ['aria-labelledby', 'aria-describedby']"
        ".map(name => one.getAttribute(name)).every(id => document.querySelectorAll('#' + id).length === 1))"
    )
    assert page.locator("th:not([scope])").count() == 0
    levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    targets = page.locator("nav a").evaluate_all("all => all.map(one => document.querySelectorAll(one.hash).length)")
    assert set(targets) == {1}
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Reward"
