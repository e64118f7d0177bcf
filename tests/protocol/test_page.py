"""The page at `/`, in a real browser: Debian's Chromium without a window."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import threading
from typing import TYPE_CHECKING, Any, Literal

import httpx
import pytest
from envport_extraction import ExtractionEnv
from envport_protocol import BaseEnv, EnvTask, RewardResult, RewardSpec, ToolError, ToolResult, tool
from envport_protocol.config import ServeConfig, Tokens
from envport_protocol.server.page import the_page
from playwright.sync_api import Error, Locator, Page, expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Route

    Visit = Callable[..., "Guest"]

MARKUP = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'
TRAINER, AGENT = "trainer-token-of-the-test", "agent-token-of-the-test"


class Counter(BaseEnv):
    """Adds up; the reward is for the right total in few calls."""

    deterministic = True

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.calls = 0

    def splits(self) -> list[str]:
        return ["train", "eval"]

    def tasks(self, split: str) -> list[EnvTask]:
        size = {"train": 20, "eval": 3}[split]
        return [EnvTask(prompt=f"Count to {index + 5}.", ground_truth=index + 5) for index in range(size)]

    def rewards(self) -> list[RewardSpec]:
        return [
            RewardSpec(name="right", weight=2.0, description="1 for the right total."),
            RewardSpec(name="haste", weight=-0.25, max=4.0),
            RewardSpec(name="style", weight=1.0),
        ]

    def start_rollout(self, rollout_id: str, task: EnvTask) -> None:
        self.totals[rollout_id] = 0

    @tool
    async def add(self, rollout_id: str, amount: int) -> ToolResult:
        """Adds to the total.

        Args:
            amount: How much.
        """
        self.calls += 1
        if amount > 100:
            raise ToolError("That is too much; add at most 100.")
        if amount < 0:
            raise ValueError("the counter broke")
        self.totals[rollout_id] += amount
        return ToolResult(f"The total is {self.totals[rollout_id]}.", rewards={"haste": 0.5}, done=amount == 100)

    def compute_reward(self, messages: list[dict[str, Any]], completion: str, ground_truth: int) -> dict[str, Any]:
        calls = sum(message["role"] == "tool" for message in messages)
        return {"right": float(completion == str(ground_truth)), "haste": calls, "style": None}


class Typed(BaseEnv):
    @tool
    async def order(
        self,
        item: str,
        count: int,
        price: float,
        gift: bool,
        colour: Literal["red", "blue"],
        sizes: list[int],
        note: str | None = None,
        fast: bool = False,
        extra: dict[str, int] | None = None,
    ) -> dict[str, Any]:
        """Orders.

        Args:
            item: What to order.
        """
        return {name: value for name, value in locals().items() if name != "self"}


class Slow(BaseEnv):
    """Starts when it may, and has a tool that never answers."""

    def __init__(self) -> None:
        self.may_start, self.waits = threading.Event(), threading.Event()

    def system_prompt(self) -> str:
        self.may_start.wait(30)
        return ""

    @tool
    async def wait(self) -> str:
        self.waits.set()
        await asyncio.sleep(60)
        return ""


class Hostile(BaseEnv):
    """All that an environment can say is markup."""

    def list_tools(self) -> list[dict[str, Any]]:
        properties = {MARKUP: {"type": "string", "description": MARKUP, "enum": [MARKUP], "default": MARKUP}}
        parameters = {"type": "object", "properties": properties, "required": [MARKUP]}
        return [{"name": "shout", "description": MARKUP, "parameters": parameters}]

    def splits(self) -> list[str]:
        return [MARKUP]

    def tasks(self, split: str) -> list[EnvTask]:
        return [EnvTask(prompt=MARKUP, task_id=MARKUP, ground_truth=1)]

    def rewards(self) -> list[RewardSpec]:
        return [RewardSpec(name=MARKUP, description=MARKUP)]

    async def run_tool(self, rollout_id: str, tool_name: str, **args: str) -> str:
        if self.__dict__.setdefault("said", []):
            raise ToolError(MARKUP)
        self.said.append(1)
        return MARKUP

    async def compute_reward(self, completion: str, ground_truth: Any) -> dict[str, RewardResult]:
        return {MARKUP: RewardResult(1.0, reason=MARKUP)}


class Guest:
    """Somebody at the page, with what the browser complained of and asked for meanwhile."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.set_default_timeout(15_000)
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(url)

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and "the server responded with a status of" not in text:
            self.complaints.append(text)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def fill(self, label: str, text: str) -> None:
        self.page.get_by_label(label, exact=True).and_(self.page.locator("main :visible")).fill(text)

    def start(self, index: int = 0, split: str = "train") -> None:
        self.press(f"Start a rollout on task {index} of {split}")
        expect(self.page.get_by_text("open", exact=True).first).to_be_visible()

    def answer(self, text: str) -> None:
        self.fill("What the model would say at the end", text)
        self.press("Submit answer")

    def calls(self) -> Locator:
        return self.page.locator(".calls:visible > li")

    def reward(self) -> dict[str, list[str]]:
        """The table of the reward: score, weight and what it gives by component; the total under "total"."""
        total = self.page.locator(".total:visible b").inner_text()
        rows = self.page.locator(".reward:visible tbody tr")
        names = [row.locator("th").inner_text().strip().partition("\n")[0] for row in rows.all()]
        table = {name: row.locator("td").all_inner_texts() for name, row in zip(names, rows.all(), strict=True)}
        return {**table, "total": [total]}

    def reasons(self) -> list[str]:
        """What stands under the components' names."""
        return self.page.locator(".reward:visible tbody .why").all_inner_texts()

    def overflow(self) -> int:
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


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


@pytest.fixture
def visit(browser: Browser, serve_env: Callable[..., str]) -> Iterator[Visit]:
    """`visit(env, config=None, **context)` -> Guest; afterwards nothing was complained of, and nobody else asked."""
    guests: list[Guest] = []

    def come(env: BaseEnv, config: ServeConfig | None = None, **context: Any) -> Guest:
        url = serve_env(env, config)
        guests.append(Guest(browser.new_context(**context).new_page(), f"{url}/"))
        return guests[-1]

    yield come
    for guest in guests:
        assert guest.complaints == []
        assert [url for url in guest.asked if not url.startswith((guest.url, "data:"))] == []
        guest.page.context.close()


def test_the_environment_is_told_as_its_manifest_has_it(visit: Visit):
    guest = visit(
        Counter(), ServeConfig(name="counter", version="2.1", summary="Counts.", licence="MIT", digest="sha256:ab")
    )
    page = guest.page
    expect(page).to_have_title("counter · envport")
    expect(page.get_by_role("heading", level=1)).to_have_text("counter")
    facts = dict(zip(page.locator("dt").all_inner_texts(), page.locator("dd").all_inner_texts(), strict=True))
    assert facts == {"Version": "2.1", "Licence": "MIT", "Protocol": "1.0 to 1.1", "Digest": "sha256:ab"}
    manifest = httpx.get(f"{guest.url}v1/manifest").json()
    assert page.locator("#capabilities li").all_inner_texts() == manifest["capabilities"]
    rows = page.locator("#rewards tbody tr").all_inner_texts()
    assert [re.split(r"\s*[\n\t]\s*", row) for row in rows] == [
        ["right", "1 for the right total.", "2", "0 to 1"],
        ["haste", "-0.25", "0 to 4"],
        ["style", "1", "0 to 1"],
    ]
    page.locator("#tools summary", has_text="add").click()
    assert json.loads(page.locator("#tools pre").inner_text()) == manifest["tools"][0]["parameters"]


def test_the_tasks_are_paged_and_a_split_can_be_chosen(visit: Visit):
    guest = visit(Counter())
    rows, told = guest.page.locator("#tasks .excerpt"), guest.page.locator("#tasks .pager .hint")
    expect(told).to_have_text("0 to 7 of 20")
    assert rows.all_inner_texts() == [f"Count to {number}." for number in range(5, 13)]
    guest.press("Next")
    expect(told).to_have_text("8 to 15 of 20")
    guest.press("Next")
    expect(told).to_have_text("16 to 19 of 20")
    assert rows.all_inner_texts() == [f"Count to {number}." for number in range(21, 25)]
    expect(guest.page.get_by_role("button", name="Next")).to_be_disabled()
    guest.page.get_by_label("Go to task number").fill("3")
    guest.press("Go")
    expect(told).to_have_text("3 to 10 of 20")
    guest.page.get_by_label("Split").select_option("eval")
    expect(told).to_have_text("0 to 2 of 3")


def test_a_rollout_by_hand_on_extraction_shows_what_the_server_scores(visit: Visit):
    env = ExtractionEnv(train_tasks=30, eval_tasks=10)
    guest = visit(env)
    guest.start(2, "train")
    task = env.tasks("train")[2]
    said = guest.page.locator(".said pre").all_inner_texts()
    assert said[-1].split() == str(task.messages[-1].content).split()
    guest.page.locator("main summary", has_text="lookup_province").click()
    guest.fill("name text", "Kandhar")
    guest.press("Run lookup_province")
    expect(guest.calls().locator("pre")).to_have_text("No such province. Nearest: kandahar, nangarhar, kunar.")
    expect(guest.calls().locator(".badge")).to_have_text("ok")
    guest.answer(env.oracle(task))
    expect(guest.page.locator(".total b")).to_have_text("1")
    assert guest.reward() == {
        "valid_json": ["1", "0.1", "0.1"],
        "fields": ["1", "0.35", "0.35"],
        "no_invention": ["1", "0.25", "0.25"],
        "province": ["1", "0.15", "0.15"],
        "counts": ["1", "0.15", "0.15"],
        "all_fields_right": ["1", "0", "0"],
        "total": ["1"],
    }
    assert guest.reasons()[:3] == [
        "one JSON object with fields of an event",
        "13 of 13 fields right",
        "13 of 13 fields right; nothing wrong",
    ]


def test_a_reward_is_shown_by_component_with_bars_for_what_each_gives(visit: Visit):
    guest = visit(Counter())
    guest.start()
    for amount in ("2", "3"):
        guest.fill("amount whole number", amount)
        guest.press("Run add")
    expect(guest.calls()).to_have_count(2)
    expect(guest.calls().last).to_contain_text("The total is 5.")
    expect(guest.calls().last).to_contain_text("Step rewards: haste 0.5")
    expect(guest.calls().last).to_contain_text(" ms")
    guest.answer("5")
    expect(guest.page.locator(".total b")).to_have_text("1.5")
    assert guest.reward() == {
        "right": ["1", "2", "2"],
        "haste": ["2", "-0.25", "-0.5"],
        "style": ["not scored", "1", "–"],
        "total": ["1.5"],
    }
    expect(guest.page.locator(".total")).to_contain_text("-1 to 3 are possible")
    bars = guest.page.locator(".bar i")
    assert [bar.evaluate("bar => bar.style.width") for bar in bars.all()] == ["100%", "25%", "0%"]
    expect(bars.nth(1)).to_have_class("minus")
    expect(guest.page.get_by_role("button", name="Submit answer")).to_be_disabled()


def test_a_task_of_ones_own_is_started_with_its_ground_truth(visit: Visit):
    guest = visit(Counter())
    guest.page.locator("#own summary").click()
    guest.page.get_by_label("Message of the user").fill("Count to 1.")
    guest.page.get_by_label("System message").fill("Be brief.")
    guest.page.get_by_label("Ground truth").fill("1")
    guest.press("Start rollout")
    expect(guest.page.locator(".said pre")).to_have_text(["Be brief.", "Count to 1."])
    guest.answer("1")
    expect(guest.page.locator(".total b")).to_have_text("2")


def test_each_kind_of_argument_has_its_control_and_arrives_as_it_should(visit: Visit):
    guest = visit(Typed())
    guest.page.get_by_label("Message of the user").fill("Order.")
    guest.press("Start rollout")
    guest.fill("item text", "a <b>\nboot")
    guest.fill("count whole number", "3")
    guest.fill("price number", "2.5")
    guest.page.get_by_label("gift yes or no").check()
    guest.page.get_by_label("colour choice").select_option("blue")
    guest.fill("sizes JSON array", "[41, 42]")
    guest.page.get_by_label("fast yes or no, optional").select_option("true")
    guest.press("Run order")
    expect(guest.calls()).to_have_count(1)
    expect(guest.calls().locator(".badge")).to_have_text("ok")
    assert json.loads(guest.calls().locator("pre").inner_text()) == {
        "item": "a <b>\nboot",
        "count": 3,
        "price": 2.5,
        "gift": True,
        "colour": "blue",
        "sizes": [41, 42],
        "note": None,
        "fast": True,
        "extra": None,
    }


def test_arguments_that_do_not_fit_are_told_beside_their_field_and_not_sent(visit: Visit):
    guest = visit(Typed())
    guest.page.get_by_label("Message of the user").fill("Order.")
    guest.press("Start rollout")
    guest.fill("count whole number", "1.5")
    guest.fill("sizes JSON array", "[1,")
    guest.press("Run order")
    count = guest.page.get_by_label("count whole number")
    expect(count).to_be_focused()
    expect(count).to_have_accessible_description("1.5 is no whole number.")
    expect(guest.page.get_by_label("price number")).to_have_accessible_description("This one is needed.")
    expect(guest.page.locator(".problem:visible")).to_have_count(3)
    assert not any(url.endswith("/v1/run_tool") for url in guest.asked)


def test_arguments_written_as_json_may_be_wrong_and_the_tool_says_so(visit: Visit):
    guest = visit(Typed())
    guest.page.get_by_label("Message of the user").fill("Order.")
    guest.press("Start rollout")
    guest.page.get_by_label("Write the arguments as JSON").check()
    guest.fill("Arguments as JSON", '{"colour": "green"}')
    guest.press("Run order")
    expect(guest.calls().locator(".badge")).to_have_text("tool_error")
    expect(guest.calls().locator("pre")).to_contain_text("The arguments do not fit order")


def test_a_failure_of_the_environment_is_blamed_on_it(visit: Visit):
    guest = visit(Counter())
    guest.start()
    guest.fill("amount whole number", "-1")
    guest.press("Run add")
    error = guest.calls().get_by_role("alert")
    expect(error).to_contain_text("env_error · HTTP 500")
    expect(error).to_contain_text("tool 'add' raised ValueError")
    expect(error).to_contain_text("The environment's own code is at fault.")
    guest.fill("amount whole number", "101")
    guest.press("Run add")
    expect(guest.calls().last.locator(".badge")).to_have_text("tool_error")
    expect(guest.calls().last.locator("pre")).to_have_text("That is too much; add at most 100.")
    guest.fill("amount whole number", "100")
    guest.press("Run add")
    expect(guest.calls().last).to_contain_text("The environment says that the rollout is over")


def test_a_lost_answer_is_asked_for_again_and_the_tool_runs_once(visit: Visit):
    env = Counter()
    guest = visit(env)
    guest.start()

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    guest.page.route("**/v1/run_tool", lose, times=1)
    guest.fill("amount whole number", "7")
    guest.press("Run add")
    expect(guest.calls().get_by_role("alert")).to_contain_text("No answer came")
    guest.complaints.clear()  # the browser's own word on the connection that broke
    guest.press("Try again")
    expect(guest.calls().locator("pre")).to_have_text("The total is 7.")
    assert env.calls == 1


def test_a_call_that_hangs_can_be_cancelled(visit: Visit):
    env = Slow()
    guest = visit(env)
    env.may_start.set()
    guest.page.get_by_label("Message of the user").fill("Wait.")
    guest.press("Start rollout")
    guest.press("Run wait")
    expect(guest.calls().locator(".badge")).to_have_text("running")
    assert env.waits.wait(10)
    guest.press("Cancel")
    expect(guest.calls().locator(".badge")).to_have_text("cancelled")
    expect(guest.calls().get_by_role("alert")).to_contain_text("The call was cancelled.")


def test_an_environment_that_is_starting_is_waited_for(visit: Visit):
    env = Slow()
    guest = visit(env)
    expect(guest.page.locator("#boot")).to_contain_text("not_ready · HTTP 503")
    env.may_start.set()
    expect(guest.page.get_by_role("heading", level=1)).to_have_text("Slow")
    expect(guest.page.locator("#boot")).to_be_empty()


def test_a_fork_goes_its_own_way(visit: Visit):
    guest = visit(Counter())
    guest.start()
    guest.fill("amount whole number", "2")
    guest.press("Run add")
    expect(guest.calls()).to_have_count(1)
    guest.press("Fork")
    expect(guest.page.get_by_role("heading", name="Rollout 2")).to_be_focused()
    expect(guest.calls()).to_have_count(1)
    guest.fill("amount whole number", "3")
    guest.press("Run add")
    expect(guest.calls().last).to_contain_text("The total is 5.")
    guest.answer("5")
    expect(guest.page.locator(".total b")).to_have_text("1.5")
    guest.press("Rollout 1")
    expect(guest.calls()).to_have_count(1)
    guest.fill("amount whole number", "1")
    guest.press("Run add")
    expect(guest.calls().last).to_contain_text("The total is 3.")


def test_an_ended_rollout_is_ended_at_the_server_and_closed_here(visit: Visit):
    guest = visit(Counter())
    guest.start()
    rollout_id = guest.page.locator(".head code").inner_text()
    guest.press("End rollout")
    expect(guest.page.locator(".head .badge")).to_have_text("ended")
    expect(guest.page.get_by_role("button", name="Run add")).to_be_disabled()
    gone = httpx.post(f"{guest.url}v1/list_tools", json={"rollout_id": rollout_id})
    assert (gone.status_code, gone.json()["error"]["code"]) == (410, "rollout_ended")


def test_markup_in_names_tasks_tools_and_errors_stays_text(visit: Visit):
    guest = visit(Hostile(), ServeConfig(name=MARKUP, summary=MARKUP, licence=MARKUP, version=MARKUP, digest=MARKUP))
    page = guest.page
    expect(page.get_by_role("heading", level=1)).to_have_text(MARKUP)
    page.get_by_role("button", name="Start a rollout on task 0").click()
    expect(page.locator(".said pre")).to_have_text(MARKUP)
    guest.press("Run shout")
    expect(guest.calls().locator("pre")).to_have_text(MARKUP)
    guest.press("Run shout")
    expect(guest.calls().last.locator("pre")).to_have_text(MARKUP)
    guest.answer(MARKUP)
    expect(page.locator(".reward tbody th")).to_have_text(MARKUP * 2)
    assert guest.reasons() == [MARKUP]
    page.route("**/v1/end_rollout", lambda route: route.fulfill(status=500, json=_error(MARKUP)))
    guest.press("End rollout")
    expect(page.get_by_role("alert")).to_contain_text(MARKUP)
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("[document.images.length, document.scripts.length]") == [0, 1]
    expect(page).to_have_title(f"{MARKUP} · envport")


def _error(message: str) -> dict[str, Any]:
    return {"error": {"code": message, "message": message, "outcome": message, "trainable": False, "details": {}}}


def test_the_policy_stops_markup_foreign_scripts_and_foreign_hosts(visit: Visit):
    guest = visit(Counter())
    with pytest.raises(Error, match="TrustedHTML"):
        guest.page.evaluate("document.body.innerHTML = '<p>'")
    with pytest.raises(Error, match="Failed to fetch"):
        guest.page.evaluate("fetch('http://127.0.0.2:9/')")
    with pytest.raises(Error, match="TrustedScript"):
        guest.page.evaluate("document.createElement('a').setAttribute('onclick', 'window.pwned = 1')")
    assert len(guest.complaints) >= 3
    guest.complaints.clear()
    guest.asked.clear()


def test_the_policy_names_no_source_but_the_page_itself():
    policy = the_page().headers["Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("script-src").startswith("'sha256-")
    assert rules.pop("style-src").startswith("'sha256-")
    assert rules == {
        "default-src": "'none'",
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


def test_the_page_is_sent_once_and_then_told_to_be_the_same(serve_env: Callable[..., str]):
    url = serve_env(BaseEnv())
    first = httpx.get(url)
    assert (first.status_code, first.headers["content-type"]) == (200, "text/html; charset=utf-8")
    again = httpx.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert httpx.get(url, headers={"If-None-Match": '"other"'}).content == first.content
    assert httpx.head(url).headers["content-length"] == str(len(first.content))


def test_a_server_with_tokens_asks_for_one_and_the_page_keeps_it_to_itself(visit: Visit):
    config = ServeConfig(tokens=Tokens.model_validate({"trainer": TRAINER, "agent": AGENT}))
    guest = visit(Counter(), config)
    page, hint, told = guest.page, guest.page.locator("#token-hint"), guest.page.locator("#tasks").get_by_role("alert")
    expect(hint).to_contain_text("This server asks for a token. Enter the trainer's")
    expect(told).to_contain_text("unauthorized · HTTP 401")

    def use(token: str) -> None:
        page.get_by_label("Access token").fill(token)
        guest.press("Use token")

    use("a wrong one")
    expect(hint).to_contain_text("The server does not know this token.")
    use(AGENT)
    expect(told).to_contain_text("forbidden · HTTP 403")
    expect(told).to_contain_text("Enter the trainer's token")
    use(TRAINER)
    expect(page.locator("#tasks .excerpt")).to_have_count(8)
    expect(told).to_have_count(0)
    guest.start()
    guest.fill("amount whole number", "5")
    guest.press("Run add")
    guest.answer("5")
    expect(page.locator(".total b")).to_have_text("1.75")
    stored = "[localStorage.length, sessionStorage.length, document.cookie, location.href]"
    assert page.evaluate(stored) == [0, 0, "", guest.url]
    assert page.get_by_label("Access token").get_attribute("type") == "password"


def test_a_rollout_can_be_made_where_the_browser_has_no_random_uuid(visit: Visit):
    guest = visit(Counter())
    guest.page.evaluate("Crypto.prototype.randomUUID = undefined")
    guest.start()
    rollout_id = guest.page.locator(".head code").inner_text()
    assert len(rollout_id) == len("page-00000000-0000-4000-8000-000000000000.0")
    assert rollout_id[19] == "4"


def test_nothing_is_wider_than_a_small_screen(visit: Visit):
    config = ServeConfig(name="n" * 90, summary="s" * 200, digest="sha256:" + "a" * 64)
    guest = visit(ExtractionEnv(train_tasks=10, eval_tasks=10), config, viewport={"width": 360, "height": 740})
    guest.start()
    assert guest.overflow() == 0
    guest.page.locator("main summary", has_text="lookup_province").click()
    guest.fill("name text", "x" * 80)
    guest.press("Run lookup_province")
    expect(guest.calls()).to_have_count(1)
    guest.answer('{"' + "y" * 300 + '": 1}')
    expect(guest.page.locator(".total b")).to_have_text("0")
    guest.page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
    assert guest.overflow() == 0
    wide = "all => all.filter(one => one.offsetParent && one.getBoundingClientRect().right > 361).length"
    assert guest.page.locator("button, input, textarea, select, table, pre").evaluate_all(wide) == 0


CONTRASTS = """() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (channel) => (channel /= 255) <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  const luminance = ([red, green, blue]) => 0.2126 * light(red) + 0.7152 * light(green) + 0.0722 * light(blue);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parts(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const wanting = [];
  for (const node of document.querySelectorAll("body *")) {
    const isText = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!isText || node.disabled || !node.getClientRects().length) continue;
    const [one, other] = [luminance(parts(getComputedStyle(node).color)), luminance(behind(node))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) wanting.push(`${node.tagName}.${node.className} ${contrast.toFixed(2)}`);
  }
  return wanting;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_in_light_and_in_dark(visit: Visit, scheme: str):
    guest = visit(Counter(), color_scheme=scheme)
    guest.start()
    for amount in ("1", "-1", "101"):
        guest.fill("amount whole number", amount)
        guest.press("Run add")
    expect(guest.calls()).to_have_count(3)
    expect(guest.page.get_by_role("alert")).to_have_count(1)
    guest.answer("1")
    expect(guest.page.locator(".total b")).to_be_visible()
    guest.page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
    assert guest.page.evaluate(CONTRASTS) == []
    red, green, blue = guest.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (red + green + blue > 600) == (scheme == "light")


def test_every_control_has_a_name(visit: Visit):
    guest = visit(Typed())
    guest.page.get_by_label("Message of the user").fill("Order.")
    guest.press("Start rollout")
    expect(guest.page.get_by_role("button", name="Run order")).to_be_visible()
    nameless = "all => all.filter(one => !one.labels?.length && !one.ariaLabel).map(one => one.outerHTML)"
    assert guest.page.locator("input, select, textarea").evaluate_all(nameless) == []
    names = guest.page.locator("button").evaluate_all("all => all.map(one => one.ariaLabel || one.textContent)")
    assert all(names)
    assert len(set(names)) == len(names), "two buttons have one name"
    ids = guest.page.locator("[id]").evaluate_all("all => all.map(one => one.id)")
    assert len(set(ids)) == len(ids)
    assert guest.page.locator("html").get_attribute("lang") == "en"


def test_a_whole_rollout_needs_no_mouse(visit: Visit):
    guest = visit(Counter())
    page, keys = guest.page, guest.page.keyboard
    expect(page.locator("#tasks .excerpt")).to_have_count(8)

    def tab_to(target: Locator) -> None:
        for _ in range(60):
            keys.press("Tab")
            if target.evaluate("it => it === document.activeElement"):
                return
        raise AssertionError(f"{target} is not reached by Tab")

    tab_to(page.get_by_role("button", name="Start a rollout on task 1 of train"))
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Rollout 1")).to_be_focused()
    tab_to(page.locator("main").get_by_label("amount whole number"))
    keys.type("6")
    keys.press("Enter")
    expect(guest.calls()).to_contain_text("The total is 6.")
    tab_to(page.get_by_label("What the model would say at the end"))
    keys.type("6")
    tab_to(page.get_by_role("button", name="Submit answer"))
    keys.press("Space")
    expect(page.locator(".total b")).to_have_text("1.75")
