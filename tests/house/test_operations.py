"""docs/operations.md beside a real server: its metrics, its settings, its log."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import sys
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from envport_protocol import BaseEnv, tool
from envport_protocol.config import ServeConfig
from envport_protocol.server.app import create_app
from envport_protocol.server.logs import configure_logging
from envport_protocol.server.loop_watch import BLOCKED_S, TICK_S

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/operations.md").read_text("utf-8")
GATHERING = (ROOT / "protocol/envport_protocol/server/gathering.py").read_text("utf-8")
"""Where several workers' metrics are put together, with those that only they have."""
EXAMPLES: list[dict[str, Any]] = [json.loads(line) for line in PAGE.splitlines() if line.startswith('{"ts"')]
HEADERS = {"X-Request-Id": "request-1", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
NOT_LIMITS = {
    "name",
    "version",
    "summary",
    "licence",
    "digest",
    "reward_weights",
    "tokens",
    "rollout_secret",
    "journal",
    "options_digest",
}


class SearchEnv(BaseEnv):
    @tool
    async def search(self, query: str) -> str:
        """Searches."""
        logging.getLogger("search_env").info("searching")
        if query == "hang":
            await asyncio.Event().wait()
        if query == "crash":
            raise KeyError("index")
        if query == "block":
            time.sleep(BLOCKED_S + TICK_S + 0.2)
        return query

    def compute_reward(self, completion: str, ground_truth: str) -> dict[str, float]:
        return {"correctness": 1.0}


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The log of the process as JSON, from DEBUG on."""
    loggers = [logging.getLogger(name) for name in (None, "envport", "httpx", "mcp")]
    before = [(logger, logger.level, [*logger.handlers]) for logger in loggers]
    written = io.StringIO()
    configure_logging("json", "debug", stream=written)
    yield written
    logging.captureWarnings(False)
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


async def play(http: httpx.AsyncClient) -> str:
    """Plays every kind of event; what it left in /metrics."""
    for rollout_id in ("r1", "r2"):
        messages = [{"role": "user", "content": "?"}]
        await http.post("/v1/start_rollout", json={"rollout_id": rollout_id, "messages": messages})
    for number, query in enumerate(["q", "hang", "crash", "block"]):
        call = {"rollout_id": "r1", "call_id": str(number), "tool_name": "search", "arguments": {"query": query}}
        await http.post("/v1/run_tool", json={**call, "timeout_s": 0.1 if query == "hang" else 10})
    return (await http.get("/metrics")).text


@asynccontextmanager
async def running() -> AsyncGenerator[httpx.AsyncClient]:
    """A client of a server of SearchEnv that has room for one rollout."""
    config = ServeConfig(name="search", version="1.4.0", max_rollouts=1, max_queued=0, idle_timeout_s=1.5)
    app = create_app(SearchEnv(), config=config)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://server", timeout=20, headers=HEADERS) as http,
    ):
        yield http


@pytest.fixture
async def metrics() -> str:
    """What /metrics says after a session."""
    async with running() as http:
        return await play(http)


def labels_of(metrics: str) -> dict[str, set[str]]:
    """The labels of each sample, by its name."""
    labels: dict[str, set[str]] = defaultdict(set)
    for name, pairs in re.findall(r"^(envport_\w+)(?:\{(.*)\})? ", metrics, re.MULTILINE):
        labels[name] |= set(re.findall(r'(\w+)="', pairs))
    return labels


@pytest.mark.skipif(sys.platform != "linux", reason="the figures of the process come from /proc")
def test_the_table_of_metrics_is_what_a_server_shows(metrics: str):
    labels = labels_of(metrics)
    shown = {
        (name, kind, frozenset((labels[name] | labels[f"{name}_count"]) - {"le"}))
        for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", metrics, re.MULTILINE)
    }
    rows = re.findall(r"^\| `(envport_\w+)` \| (\w+) \| ([^|]*)\|", PAGE, re.MULTILINE)
    shown |= {(name, kind, frozenset[str]()) for name, kind in re.findall(r"# TYPE (\w+) (\w+)\\n", GATHERING)}
    assert shown == {(name, kind, frozenset(re.findall(r"`(\w+)`", cell))) for name, kind, cell in rows}
    assert set(re.findall(r"\benvport_\w+", PAGE)) <= {*labels, *(name for name, _, _ in rows)}


def test_the_alerts_ask_for_labels_that_there_are(metrics: str):
    labels = labels_of(metrics)
    asked = [
        (name, label)
        for name, pairs in re.findall(r"(envport_\w+)\{([^}]*)\}", PAGE)
        for label in re.findall(r"(\w+)=", pairs)
    ]
    assert len(asked) > 5
    assert [(name, label) for name, label in asked if label not in labels[name]] == []


def test_each_alert_has_its_reason():
    table = PAGE.split("| alert |")[1].split("\n\n")[0]
    alerts = re.findall(r"^ +- alert: (\w+)$", PAGE, re.MULTILINE)
    assert alerts == re.findall(r"^\| (\w+) \|", table, re.MULTILINE)


def test_the_table_of_limits_is_what_can_be_set():
    limits = {(name, f"{field.default}") for name, field in ServeConfig.model_fields.items() if name not in NOT_LIMITS}
    table = PAGE.split("| setting |")[1].split("\n\n")[0]
    assert limits == set(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", table, re.MULTILINE))


def alike(fields: dict[str, Any]) -> tuple[Any, ...]:
    """What two log lines of one kind have in common: all but numbers and places in the code."""
    message = re.sub(r"\d+(\.\d+)?", "0", re.sub(r" \(/.*?:\d+\)", "", fields["message"]))
    return fields["level"], fields["logger"], message, tuple(fields)


async def logged(stream: io.StringIO, message: str) -> None:
    async with asyncio.timeout(20):
        while message not in stream.getvalue():
            await asyncio.sleep(0.05)


async def test_the_log_lines_of_the_page_are_what_a_server_writes(stream: io.StringIO):
    async with running() as http:
        await asyncio.create_task(play(http))  # a request's ids stay in its own task
        await logged(stream, "the event loop was blocked")
        await logged(stream, "ended for idling")
    written = {alike(json.loads(line)) for line in stream.getvalue().splitlines()}
    assert [line for line in EXAMPLES if alike(line) not in written] == []


def test_every_kind_of_line_has_its_level_on_the_page():
    table = PAGE.split("| level |")[1].split("\n\n")[0]
    assert {line["level"] for line in EXAMPLES} == set(re.findall(r"^\| `([A-Z]+)` \|", table, re.MULTILINE))


def test_the_fields_of_the_page_are_those_of_its_lines():
    table = PAGE.split("| field |")[1].split("\n\n")
    named = {
        name for row in re.findall(r"^\| (`.*?) \|", table[0], re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    more = set(re.findall(r"`(\w+)`", table[1]))
    assert {name for line in EXAMPLES for name in line} == named | more
