"""`GET /metrics`: what was counted after calls that are known, and that no label is what a client sent."""

from __future__ import annotations

import asyncio
import random
import string
import timeit

import httpx
import pytest
from envport_protocol import BaseEnv, ToolError
from envport_protocol.config import ServeConfig, Tokens
from envport_protocol.messages import Outcome
from envport_protocol.server.metrics import MAX_TOOLS, Metrics, merge
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

TOKENS = Tokens.model_validate({scope: f"the-{scope}-is-here-{scope}" for scope in ("trainer", "agent", "admin")})
TRAINER = {"Authorization": "Bearer the-trainer-is-here-trainer"}


class Shop(BaseEnv):
    """One tool for each way in which a call ends."""

    def list_tools(self):
        return [{"name": name, "parameters": {}} for name in ("look", "refuse", "hang", "crash")]

    async def run_tool(self, rollout_id: str, tool_name: str):
        if tool_name == "refuse":
            raise ToolError("no")
        if tool_name == "crash":
            raise RuntimeError("broken")
        if tool_name == "hang":
            await asyncio.Event().wait()
        return "seen"

    def compute_reward(self, completion: str, ground_truth: str):
        return {"correctness": float(completion == ground_truth)}


def samples(exposition: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_text(exposition)
        for sample in family.samples
    }


class Scrape:
    """One exposition: the value of each sample by its name and labels."""

    def __init__(self, exposition: str) -> None:
        self.samples = samples(exposition)

    def __call__(self, name: str, **labels: str) -> float:
        return self.samples[f"envport_{name}", frozenset(labels.items())]

    def all(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Every sample of the name, by the values of these labels."""
        return {
            tuple(dict(pairs)[label] for label in labels): value
            for (found, pairs), value in self.samples.items()
            if found == f"envport_{name}"
        }


def scrape(api) -> Scrape:
    return Scrape(api.get("/metrics").raise_for_status().text)


def test_a_known_sequence_of_calls_is_counted(api):
    shop = api(Shop(), ServeConfig(name="shop", version="1.2.3", max_rollouts=1, max_queued=0, max_threads=7))
    assert shop.start("r1").status_code == 200
    assert shop.start("r2").status_code == 503
    statuses = [shop.run_tool(name, f"c-{name}").status_code for name in ("look", "look", "refuse", "crash", "unheard")]
    assert statuses == [200, 200, 200, 500, 200]
    assert shop.post("run_tool", rollout_id="r1", call_id="h", tool_name="hang", timeout_s=0.05).status_code == 504
    calls = [
        {"id": str(number), "verb": "run_tool", "body": {"rollout_id": "r1", "call_id": call, "tool_name": "look"}}
        for number, call in enumerate(["b1", "b2", "c-look"])
    ]
    assert len(shop.post("batch", calls=calls).text.splitlines()) == 3
    assert shop.score("42").status_code == 200

    counted = scrape(shop)
    assert counted.all("requests_total", "verb", "status") == {
        ("start_rollout", "200"): 1,
        ("start_rollout", "503"): 1,
        ("run_tool", "200"): 7,
        ("run_tool", "500"): 1,
        ("run_tool", "504"): 1,
        ("batch", "200"): 1,
        ("compute_reward", "200"): 1,
    }
    assert counted.all("call_execution_seconds_count", "verb", "tool", "outcome") == {
        ("start_rollout", "", "ok"): 1,
        ("run_tool", "look", "ok"): 3,
        ("run_tool", "other", "tool_error"): 2,
        ("run_tool", "crash", "env_error"): 1,
        ("run_tool", "hang", "timeout"): 1,
        ("compute_reward", "", "ok"): 1,
    }
    hang = {"verb": "run_tool", "tool": "hang", "outcome": "timeout"}
    assert counted("call_execution_seconds_sum", **hang) >= 0.05
    assert counted("call_execution_seconds_bucket", **hang, le="0.025") == 0
    assert counted("call_execution_seconds_bucket", **hang, le="+Inf") == 1
    assert counted.all("request_seconds_count", "verb") == {
        ("start_rollout",): 2,
        ("run_tool",): 9,
        ("batch",): 1,
        ("compute_reward",): 1,
    }
    gauges = {
        "rollouts_open": 1,
        "rollouts_limit": 1,
        "rollouts_queued": 0,
        "rollouts_queued_limit": 0,
        "calls_running": 0,
        "threads_busy": 0,
        "threads_limit": 7,
        "journal_bytes": 0,
        "rollouts_expired_total": 0,
    }
    assert {name: counted(name) for name in gauges} == gauges
    assert counted.all("rollouts_replayed_total", "result") == {("rebuilt",): 0, ("lost",): 0}
    assert counted("build_info", environment="shop", version="1.2.3", digest="", protocol="1.1") == 1
    assert counted("process_resident_memory_bytes") > 10 * 2**20

    shop.end("r1")
    assert scrape(shop)("rollouts_open") == 0


def test_a_tool_that_ran_keeps_its_label_for_errors():
    metrics = Metrics()
    for tool, outcome in (("search", Outcome.OK), ("search", Outcome.TOOL_ERROR), ("made-up", Outcome.TOOL_ERROR)):
        metrics.executed("run_tool", tool, outcome, 0.1)
    counted = Scrape(metrics.render()[0].decode())
    assert counted.all("call_execution_seconds_count", "tool", "outcome") == {
        ("search", "ok"): 1,
        ("search", "tool_error"): 1,
        ("other", "tool_error"): 1,
    }


def test_what_only_the_server_knows_is_counted_too():
    metrics = Metrics()
    metrics.expired(3)
    metrics.expired(1)
    metrics.replayed(is_rebuilt=True)
    metrics.replayed(is_rebuilt=False)
    metrics.replayed(is_rebuilt=False)
    metrics.lagged(0.2)
    metrics.lagged(0.004)
    counted = Scrape(metrics.render()[0].decode())
    assert counted("rollouts_expired_total") == 4
    assert counted.all("rollouts_replayed_total", "result") == {("rebuilt",): 1, ("lost",): 2}
    assert counted("event_loop_lag_last_seconds") == 0.004
    lags = counted.all("event_loop_lag_seconds_bucket", "le")
    assert [lags[le,] for le in ("0.0025", "0.005", "0.1", "0.25", "+Inf")] == [0, 1, 1, 2, 2]


def test_openmetrics_is_given_where_it_is_asked_for(api):
    shop = api(Shop())
    plain = shop.get("/metrics")
    asked = shop.http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0,*/*;q=0.1"})
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert asked.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert asked.text.endswith("# EOF\n")
    assert {family.name for family in parse_openmetrics(asked.text)} >= {"envport_requests", "envport_build"}


def test_ten_thousand_made_up_names_make_no_label(api):
    shop = api(Shop())
    shop.start()
    dice = random.Random(3)

    def made_up() -> str:
        return "".join(dice.choices(string.ascii_letters, k=12))

    def many(number: int) -> dict[str, object]:
        bodies = [{"rollout_id": "r1", "call_id": made_up(), "tool_name": made_up()} for _ in range(number)]
        return {"calls": [{"id": str(i), "verb": "run_tool", "body": body} for i, body in enumerate(bodies)]}

    for _ in range(40):
        assert len(shop.post("batch", **many(250)).text.splitlines()) == 250
    for _ in range(100):
        assert shop.post(made_up()).status_code == 404
        assert shop.get(f"/{made_up()}").status_code == 404
        assert shop.http.request(made_up().upper(), "/v1/run_tool").status_code in (400, 405)
    counted = scrape(shop)
    assert counted.all("call_execution_seconds_count", "verb", "tool", "outcome") == {
        ("start_rollout", "", "ok"): 1,
        ("run_tool", "other", "tool_error"): 10_000,
    }
    assert {verb for verb, _ in counted.all("requests_total", "verb", "status")} <= {
        "start_rollout",
        "run_tool",
        "batch",
        "other",
    }


def test_labels_stay_bounded_whatever_an_observer_is_told():
    metrics = Metrics()
    for number in range(10_000):
        metrics.executed(f"verb-{number}", f"tool-{number}", Outcome.OK, 0.1)
        metrics.executed("run_tool", f"tool-{number}", Outcome.OK, 0.1)
        metrics.answered(f"verb-{number}", 200, 0.1)
    counted = Scrape(metrics.render()[0].decode())
    calls = counted.all("call_execution_seconds_count", "verb", "tool")
    assert {verb for verb, _ in calls} == {"run_tool", "other"}
    assert len({tool for _, tool in calls}) == MAX_TOOLS + 1
    assert calls["run_tool", "other"] == 10_000 - MAX_TOOLS
    assert counted.all("requests_total", "verb", "status") == {("other", "200"): 10_000}


def test_no_secret_and_nothing_of_a_rollout_is_shown(api):
    shop = api(Shop(), ServeConfig(tokens=TOKENS, rollout_secret="the-key-of-all-rollouts-of-this-server"))
    shop.http.headers.update(TRAINER)
    started = shop.start("rollout-hush", messages=[{"role": "user", "content": "q-hush"}], ground_truth="truth-hush")
    shop.run_tool("look", "call-hush", "rollout-hush", argument="argument-hush")
    shop.run_tool("tool-hush", "call-hush-2", "rollout-hush")
    shop.score("completion-hush", "rollout-hush")
    shop.http.get("/v1/tasks", params={"split": "split-hush"}, headers={"Authorization": "Bearer hush-hush"})
    shop.http.get("/v1/manifest", headers={"X-Request-Id": "request-hush"})
    told = shop.get("/metrics", trap="hush").text
    assert "hush" not in told
    hidden = [started.json()["token"], "the-key-of", *(f"the-{scope}-is" for scope in ("trainer", "agent", "admin"))]
    assert [secret for secret in hidden if secret in told] == []


def test_metrics_need_no_token(api):
    shop = api(Shop(), ServeConfig(tokens=TOKENS))
    assert httpx.get(f"{shop.url}/metrics").status_code == 200
    assert httpx.post(f"{shop.url}/v1/end_rollout", json={"rollout_id": "r"}).status_code == 401
    assert scrape(shop).all("requests_total", "verb", "status") == {("end_rollout", "401"): 1}


def test_two_servers_of_one_process_count_apart(api):
    one, other = api(Shop()), api(Shop())
    one.start()
    assert scrape(one)("rollouts_open") == 1
    assert scrape(other)("rollouts_open") == 0


@pytest.mark.parametrize(("accept", "parse"), [("", parse_text), ("application/openmetrics-text", parse_openmetrics)])
def test_the_expositions_of_workers_are_merged(accept, parse):
    workers = [Metrics(), Metrics()]
    for number, worker in enumerate(workers):
        worker.executed("run_tool", "search", Outcome.OK, 0.1)
        for _ in range(number + 1):
            worker.answered("run_tool", 200, 0.1)
    workers[1].answered("end_rollout", 200, 0.1)
    merged, content_type = merge({str(n): worker.render()[0] for n, worker in enumerate(workers)}, accept)
    assert content_type.startswith(accept or "text/plain")
    families = list(parse(merged.decode()))
    assert len({family.name for family in families}) == len(families)
    found = {
        (sample.labels["worker"], sample.labels["verb"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name == "envport_requests_total"
    }
    assert found == {("0", "run_tool"): 1, ("1", "run_tool"): 2, ("1", "end_rollout"): 1}
    (calls,) = [family for family in families if family.name == "envport_call_execution_seconds"]
    assert calls.type == "histogram"
    assert sum(sample.value for sample in calls.samples if sample.labels.get("le") == "+Inf") == 2


def test_a_call_costs_the_metrics_less_than_two_microseconds():
    metrics = Metrics()

    def call() -> None:
        metrics.executed("run_tool", "search", Outcome.OK, 0.012)
        metrics.answered("run_tool", 200, 0.012)

    assert min(timeit.repeat(call, number=2000, repeat=50)) / 2000 < 2e-6
