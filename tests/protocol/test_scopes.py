"""Who may ask for what: every route with every kind of token."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re

import httpx
import pytest
from envport_protocol import BaseEnv, RewardResult, ToolResult
from envport_protocol.config import ServeConfig, Tokens
from envport_protocol.errors import ForbiddenError, UnauthorizedError
from envport_protocol.hosting.rollout_key import RolloutKey
from envport_protocol.server.app import create_app
from envport_protocol.server.scopes import Caller, Gate, Scope

TOKENS = {"trainer": "trainer-token-0123456789", "agent": "agent-token-0123456789", "admin": "admin-token-0123456789"}
CONFIG = ServeConfig(tokens=Tokens.model_validate(TOKENS))
TRUTH = "the-ground-truth-4711"
STATUS = {
    "GET /": "anyone",
    "GET /livez": "anyone",
    "GET /readyz": "anyone",
    "GET /metrics": "anyone",
    "GET /openapi.json": "anyone",
    "GET /v1/manifest": "anyone",
    "POST /mcp": "rollout",
    "POST /v1/batch": "known",
    "POST /v1/list_tools": "rollout",
    "POST /v1/run_tool": "rollout",
    "POST /v1/cancel": "rollout",
    "GET /v1/tasks": "trainer",
    "POST /v1/start_rollout": "trainer",
    "POST /v1/fork_rollout": "trainer",
    "POST /v1/compute_reward": "trainer",
    "POST /v1/compute_group_reward": "trainer",
    "POST /v1/end_rollout": "trainer",
    "GET /v1/rollouts": "admin",
}
"""Whom a route answers with 200."""
MAY = {
    "anyone": {"anyone"},
    "other rollout": {"anyone", "known"},
    "own rollout": {"anyone", "known", "rollout"},
    "agent": {"anyone", "known", "rollout"},
    "trainer": {"anyone", "known", "rollout", "trainer"},
    "admin": {"anyone", "known", "rollout", "trainer", "admin"},
}
UNKNOWN = {
    "no token": None,
    "an unknown token": "Bearer unknown-token-0123456789",
    "an empty token": "Bearer ",
    "another scheme": f"Basic {TOKENS['trainer']}",
    "no scheme": TOKENS["trainer"],
    "part of a token": f"Bearer {TOKENS['trainer'][:-1]}",
    "more than a token": f"Bearer {TOKENS['trainer']}x",
    "two tokens": f"Bearer {TOKENS['trainer']} {TOKENS['agent']}",
    "no ASCII": "Bearer t\u00f6ken-0123456789".encode("latin-1"),
}


class Secretive(BaseEnv):
    deterministic = True

    def tasks(self, split):
        return [{"prompt": "What is it?", "ground_truth": TRUTH}]

    def list_tools(self):
        return [{"name": "look", "parameters": {}}]

    def run_tool(self, rollout_id, tool_name):
        return "nothing to see"

    def compute_reward(self, completion, ground_truth):
        return RewardResult(float(completion == ground_truth), reason=f"compared with {ground_truth}")


BODIES = {
    "start_rollout": {"rollout_id": "g.2", "split": "train", "index": 0},
    "fork_rollout": {"rollout_id": "g.mine", "new_rollout_id": "g.fork"},
    "list_tools": {"rollout_id": "g.mine"},
    "run_tool": {"rollout_id": "g.mine", "call_id": "c", "tool_name": "look"},
    "cancel": {"rollout_id": "g.mine", "call_id": "x"},
    "compute_reward": {"rollout_id": "g.mine", "completion": TRUTH},
    "compute_group_reward": {"group_id": "g", "members": [{"rollout_id": "g.other", "completion": "?"}]},
    "end_rollout": {"rollout_id": "g.mine"},
}
BODIES["batch"] = {"calls": [{"id": verb, "verb": verb, "body": body} for verb, body in BODIES.items()]}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
}


def routes():
    """Every route of the server as `METHOD path`, those that change most last."""
    found = [
        f"{method} {route.path}" for route in create_app(Secretive()).routes for method in route.methods - {"HEAD"}
    ]
    return sorted(found, key=lambda route: ("batch" in route, "end_" in route, "reward" in route, route))


class Served:
    """A server of its own with two rollouts, `g.mine` and `g.other`, and their tokens."""

    def __init__(self, config=CONFIG, env=None):
        app = create_app(env or Secretive(), config=config)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")
        self.app = app

    async def __aenter__(self):
        started = {}
        for name in ("mine", "other"):
            body = {"rollout_id": f"g.{name}", "split": "train", "index": 0}
            answer = await self.http.post("/v1/start_rollout", json=body, headers=bearer(TOKENS["trainer"]))
            started[name] = answer.json()["token"]
        self.mine, self.other = started["mine"], started["other"]
        return self

    async def __aexit__(self, *_):
        await self.http.aclose()
        await self.app.desk.readiness.stop()
        await self.app.desk.host.close()

    async def ask(self, route, headers):
        """The answer to the route's own request, right in all but its token."""
        method, path = route.split(" ")
        if path == "/mcp":
            return await self.http.post(path, json=INITIALIZE, headers={**headers, "X-Envport-Rollout": "g.mine"})
        if method == "GET":
            query = {"split": "train"} if path == "/v1/tasks" else {}
            return await self.http.get(path, params=query, headers=headers)
        return await self.http.post(path, json=BODIES[path.removeprefix("/v1/")], headers=headers)


class Stepping(Secretive):
    def list_tools(self):
        return [{"name": name, "parameters": {}} for name in ("look", "end")]

    def run_tool(self, rollout_id, tool_name):
        return ToolResult('"rewards":{},"done":true}', rewards={"step": 0.5}, done=tool_name == "end")


def bearer(token):
    return {} if token is None else {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    ("config", "whose", "told"),
    [
        (CONFIG, "mine", {}),
        (CONFIG, "agent", {}),
        (CONFIG, "trainer", {"step": 0.5}),
        (CONFIG, "admin", {"step": 0.5}),
        (ServeConfig(), "mine", {}),
        (ServeConfig(), None, {"step": 0.5}),
    ],
)
@pytest.mark.parametrize("name", ["look", "end"])
async def test_step_rewards_are_for_trainers_whoever_asks_first(config, whose, told, name):
    async with Served(config, Stepping()) as served:
        headers = bearer(served.mine if whose == "mine" else TOKENS.get(whose))
        body = {**BODIES["run_tool"], "tool_name": name}
        alone = (await served.http.post("/v1/run_tool", json=body, headers=headers)).json()
        batch = {"calls": [{"id": "a", "verb": "run_tool", "body": body}]}
        line = (await served.http.post("/v1/batch", json=batch, headers=headers)).json()
        whole = (await served.http.post("/v1/run_tool", json=body, headers=bearer(TOKENS["trainer"]))).json()
    assert whole == {
        "content": [{"type": "text", "text": '"rewards":{},"done":true}'}],
        "outcome": "ok",
        "trainable": True,
        "rewards": {"step": 0.5},
        "done": name == "end",
    }
    assert alone == line["body"] == {**whole, "rewards": told}


def test_every_route_of_the_server_has_its_row_here():
    assert sorted(routes()) == sorted(STATUS)


async def told(who):
    """The status of every route for one kind of caller, and all that it was told."""
    async with Served() as served:
        token = {"own rollout": served.mine, "other rollout": served.other}.get(who) or TOKENS.get(who)
        answers = {route: await served.ask(route, bearer(token)) for route in routes()}
    return {route: answer.status_code for route, answer in answers.items()}, answers


@pytest.mark.parametrize("who", ["agent", "trainer", "admin", "own rollout", "other rollout"])
async def test_a_known_token_reaches_as_far_as_its_scope_and_no_further(who):
    statuses, _ = await told(who)
    assert statuses == {route: 200 if needed in MAY[who] else 403 for route, needed in STATUS.items()}


@pytest.mark.parametrize("kind", UNKNOWN)
async def test_without_a_known_token_only_the_open_routes_answer(kind):
    headers = {} if UNKNOWN[kind] is None else {"Authorization": UNKNOWN[kind]}
    async with Served() as served:
        answers = {route: await served.ask(route, headers) for route in routes()}
    assert {route: answer.status_code for route, answer in answers.items()} == {
        route: 200 if needed == "anyone" else 401 for route, needed in STATUS.items()
    }
    for answer in answers.values():
        if answer.status_code == 401:
            assert (answer.headers["www-authenticate"], answer.json()["error"]["code"]) == ("Bearer", "unauthorized")


async def test_a_tampered_rollout_token_is_no_token():
    async with Served() as served:
        prefix, mac, rollout_id = served.mine.split(".", 2)
        flipped = ("A" if mac[0] != "A" else "B") + mac[1:]
        tampered = [
            f"{prefix}.{flipped}.{rollout_id}",
            f"{prefix}.{mac}.g.other",
            f"{prefix}.{mac}.{rollout_id}x",
            f"{prefix}.{mac}.",
            f"{prefix}..{rollout_id}",
            f"{prefix}.{mac[:-1]}.{rollout_id}",
            served.mine.upper(),
            RolloutKey(b"k" * 32).token(rollout_id),
        ]
        for token in tampered:
            statuses = {route: (await served.ask(route, bearer(token))).status_code for route in routes()}
            assert statuses == {route: 200 if needed == "anyone" else 401 for route, needed in STATUS.items()}


@pytest.mark.parametrize("who", ["agent", "own rollout", "other rollout"])
async def test_no_token_of_an_agent_is_told_a_reward_or_a_ground_truth(who):
    _, answers = await told(who)
    lines = {line["id"]: line for line in map(json.loads, answers["POST /v1/batch"].text.splitlines())}
    trainers = {"start_rollout", "fork_rollout", "compute_reward", "compute_group_reward", "end_rollout"}
    agents = 200 if who != "other rollout" else 403
    assert {verb: line["status"] for verb, line in lines.items()} == {
        verb: 403 if verb in trainers else agents for verb in BODIES if verb != "batch"
    }
    for answer in answers.values():
        assert TRUTH not in answer.text
        if answer.url.path not in ("/", "/openapi.json"):
            assert not re.search(r'"(reward|score|reason|answers)":', answer.text)


async def test_a_trainer_is_told_the_reward_and_the_reason():
    _, answers = await told("trainer")
    scored = answers["POST /v1/compute_reward"].json()
    assert scored["reward"] == 1.0
    assert scored["rewards"] == {"reward": {"score": 1.0, "weight": 1.0, "reason": f"compared with {TRUTH}"}}


async def test_a_rollouts_token_asks_for_its_own_rollout_by_name():
    async with Served() as served:
        refused = await served.http.post("/v1/list_tools", json={}, headers=bearer(served.mine))
        assert refused.status_code == 403
        assert refused.json()["error"]["message"] == (
            "/v1/list_tools was asked for no rollout with the token of one rollout; it takes that rollout's id, or an "
            "agent's token"
        )


async def test_without_tokens_everybody_may_do_everything_but_a_rollout_token_keeps_to_its_rollout():
    async with Served(ServeConfig()) as served:
        for headers in ({}, bearer("whatever-it-may-be-0123456789"), {"Authorization": "Basic eDp5"}):
            assert (await served.ask("GET /v1/rollouts", headers)).status_code == 200
        for route, needed in STATUS.items():
            status = (await served.ask(route, bearer(served.other))).status_code
            assert (route, status) == (route, 200 if needed in MAY["other rollout"] else 403)


async def test_a_scope_without_a_token_is_closed_to_all_but_those_above_it():
    alone = ServeConfig(tokens=Tokens.model_validate({"admin": TOKENS["admin"]}))
    gate = create_app(Secretive(), config=alone).desk.gate
    assert gate.admit("/v1/tasks", Scope.TRAINER, f"Bearer {TOKENS['admin']}".encode()) == Caller(Scope.ADMIN)
    with pytest.raises(UnauthorizedError, match="/v1/tasks needs a token, and that of the request is none of this"):
        gate.admit("/v1/tasks", Scope.TRAINER, b"Bearer None")


def test_the_scheme_is_read_whatever_its_case():
    gate = Gate(CONFIG.tokens, RolloutKey(b"k" * 32))
    caller = gate.admit("/v1/run_tool", Scope.ROLLOUT, f"bEARER  {TOKENS['agent']} ".encode())
    assert caller == Caller(Scope.AGENT)
    with pytest.raises(ForbiddenError, match=r"^/v1/tasks was asked for with the agent's token, which does not reach"):
        caller.check_scope("/v1/tasks", Scope.TRAINER)


def test_every_token_is_compared_in_constant_time(monkeypatch):
    compared = []

    def watched(known, token):
        compared.append((known, token))
        return honest(known, token)

    honest = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", watched)
    gate = Gate(CONFIG.tokens, RolloutKey(b"k" * 32))
    gate.admit("/v1/tasks", Scope.TRAINER, f"Bearer {TOKENS['trainer']}".encode())
    assert [known.decode() for known, _ in compared] == list(TOKENS.values())
    compared.clear()
    rollout = RolloutKey(b"k" * 32).token("r")
    assert gate.admit("/v1/run_tool", Scope.ROLLOUT, f"Bearer {rollout}".encode()) == Caller(Scope.ROLLOUT, "r")
    assert [token.decode() for _, token in compared] == [rollout] * 4


async def test_no_secret_is_ever_written_down(caplog):
    caplog.set_level(logging.DEBUG)
    secret = ServeConfig(tokens=Tokens.model_validate(TOKENS), rollout_secret="rollout-secret-" + "0" * 32)
    async with Served(secret) as served:
        tokens = {**TOKENS, "mine": served.mine, "other": served.other, "wrong": "a-wrong-token-0123456789"}
        texts = []
        for route in routes():
            for token in tokens.values():
                answer = await served.ask(route, bearer(token))
                if "start_rollout" not in answer.text and '"token"' not in answer.text:
                    texts.append(answer.text + str(answer.headers))
        await asyncio.sleep(0)
    texts += [repr(secret), str(secret), secret.model_dump_json(), caplog.text]
    macs = [token.split(".")[1] for token in (served.mine, served.other)]
    for name, word in {
        **TOKENS,
        "secret": "rollout-secret-",
        "wrong": "a-wrong-token-",
        **dict(enumerate(macs)),
    }.items():
        assert not [text for text in texts if word in text], name


def test_a_foreign_web_page_cannot_act_in_the_name_of_its_visitor(api):
    server = api(BaseEnv())
    body = {"rollout_id": "csrf", "messages": [{"role": "user", "content": "x"}]}
    refused = server.http.post("/v1/start_rollout", json=body, headers={"origin": "https://evil.example"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    own = server.http.post("/v1/start_rollout", json=body, headers={"origin": server.url})
    assert own.status_code == 200
