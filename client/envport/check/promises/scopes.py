"""Scopes: each token reaches as far as it should and no further."""

from __future__ import annotations

import ipaddress
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from envport.check.definition import BrokenError, NotApplicableError, check
from envport.check.expectations import good, refused

if TYPE_CHECKING:
    from envport.check.probe import Probe
    from envport.check.wire import Reply, Wire

_FOR_TRAINERS = ("start_rollout", "fork_rollout", "compute_reward", "compute_group_reward", "end_rollout")
_FOR_AGENTS = ("list_tools", "run_tool", "cancel")
_OPEN = ("/v1/manifest", "/livez", "/readyz", "/metrics", "/openapi.json", "/")


@check(
    promise=7,
    expected="401 for a start without a token, unless the server is on loopback",
    remedy="Start the server with tokens (a trainer's at least), or let it listen on 127.0.0.1 only.",
)
async def server_beyond_loopback_asks_for_tokens(probe: Probe) -> str:
    """Starts a rollout without a token."""
    reply = await probe.ask_start(probe.start_body(), probe.wire.using(None))
    host = urlsplit(probe.wire.url).hostname or ""
    if reply.status == 401:
        return "401 without a token"
    if _is_loopback(host):
        raise NotApplicableError(f"the server is reached at {host}, and only beyond loopback it must ask for tokens")
    raise BrokenError(f"{host} lets anybody start rollouts: {reply.told}")


@check(
    promise=7,
    expected="401 unauthorized with WWW-Authenticate: Bearer for each",
    remedy="The server must ask for a token on every path but the open ones, before it reads the body.",
)
async def nothing_is_done_without_a_token(probe: Probe) -> str:
    """Asks every guarded path without a token and with one that nobody has."""
    _needs_tokens(probe)
    replies = [
        reply
        for token in (None, secrets.token_urlsafe(24), "")
        for reply in await _ask_all(probe.wire.using(token), (*_FOR_TRAINERS, *_FOR_AGENTS, "batch"))
    ]
    for reply in replies:
        refused(reply, 401, "unauthorized")
        if not reply.headers.get("www-authenticate", "").lower().startswith("bearer"):
            raise BrokenError(f"{reply.told} without WWW-Authenticate: Bearer")
    return f"401 for {len(replies)} requests"


@check(
    promise=7,
    expected="200 for each",
    remedy="Probes and scrapers have no tokens: the server must answer these paths to anybody.",
)
async def open_paths_need_no_token(probe: Probe) -> str:
    """Reads the manifest, the probes, the metrics, the OpenAPI document and the page without a token."""
    for path in _OPEN:
        reply = await probe.wire.using(None).get(path)
        if reply.status != 200:
            raise BrokenError(reply.told)
    return f"200 for {', '.join(_OPEN)}"


@check(
    promise=7,
    expected="403 forbidden for tasks, starts, forks, rewards, ends and the list of rollouts; the tools work",
    remedy="The server must keep rewards, ground truths and the life of rollouts from an agent's token.",
)
async def agent_reaches_tools_only(probe: Probe) -> str:
    """Asks everything with the agent's token."""
    _needs_tokens(probe)
    if probe.access.agent is None:
        raise NotApplicableError("the agent's token is not at hand; give it by ENVPORT_AGENT_TOKEN")
    rollout = await probe.start()
    agent = probe.wire.using(probe.access.agent)
    replies = await _ask_all(agent, _FOR_TRAINERS, rollout.id)
    replies += [await agent.get("/v1/tasks", split="train"), await agent.get("/v1/rollouts")]
    for reply in replies:
        refused(reply, 403, "forbidden")
    good(await rollout.over(agent).list_tools())
    return f"403 for {len(replies)} requests, and the tools work"


@check(
    promise=7,
    expected="its own rollout's tools work; 403 forbidden for another rollout, for rewards, tasks and ends",
    remedy="The server must hold a rollout's token to the tools of that rollout.",
)
async def rollout_token_is_held_to_its_rollout(probe: Probe) -> str:
    """Asks everything with the token of one rollout."""
    rollout, other = await probe.start(), await probe.start()
    if not rollout.token:
        raise BrokenError("the answer of start_rollout has no token")
    own = probe.wire.using(rollout.token)
    (call,) = probe.calls(1)
    good(await rollout.over(own).list_tools())
    if (reply := await rollout.over(own).run_tool(call)).status in (401, 403):
        raise BrokenError(reply.told)
    replies = [
        await other.over(own).run_tool(call),
        await other.over(own).list_tools(),
        await other.over(own).cancel("c"),
        *await _ask_all(own, _FOR_TRAINERS, rollout.id),
        await own.get("/v1/tasks", split="train"),
    ]
    for reply in replies:
        refused(reply, 403, "forbidden")
    return f"its own tools work, 403 for {len(replies)} other requests"


@check(
    promise=7,
    expected="403 forbidden",
    remedy="The server must show the open rollouts of all clients to an admin's token only.",
)
async def trainer_does_not_see_all_rollouts(probe: Probe) -> str:
    """Reads the list of open rollouts with the trainer's token."""
    _needs_tokens(probe)
    refused(await probe.wire.get("/v1/rollouts"), 403, "forbidden")
    return "403 forbidden"


@check(
    promise=7,
    expected="the line of each call has the status that the call alone would have: 200 for the tools, 403 for the rest",
    remedy="The server must check each call of a batch by itself: a batch must not be a way around the scopes.",
)
async def batch_is_no_way_around(probe: Probe) -> str:
    """Sends a batch with the token of one rollout, of calls that it may and of others."""
    probe.needs("batch")
    rollout, other = await probe.start(), await probe.start()
    own = probe.wire.using(rollout.token)
    calls: list[dict[str, Any]] = [
        {"id": "own", "verb": "list_tools", "body": {"rollout_id": rollout.id}},
        {"id": "other", "verb": "list_tools", "body": {"rollout_id": other.id}},
        {"id": "reward", "verb": "compute_reward", "body": {"rollout_id": rollout.id, "completion": "An answer."}},
        {"id": "end", "verb": "end_rollout", "body": {"rollout_id": rollout.id}},
    ]
    lines = {line["id"]: line["status"] async for _, line in own.batch(calls)}
    if lines != {"own": 200, "other": 403, "reward": 403, "end": 403}:
        raise BrokenError(f"statuses by call: {lines}")
    return f"statuses by call: {lines}"


@check(
    promise=7,
    expected="no token in any answer, but a rollout's own in the answer of its start",
    remedy="The server must not repeat tokens: not in an error, a metric or a page.",
)
async def tokens_are_told_nowhere(probe: Probe) -> str:
    """Sends tokens where they are right and where they are wrong, and searches all answers of this run for them."""
    rollout = await probe.start()
    stranger = f"envport-check-{secrets.token_urlsafe(24)}"
    for token in (stranger, rollout.token, probe.wire.token):
        wire = probe.wire.using(token)
        await _ask_all(wire, ("start_rollout", "compute_reward", "run_tool"), probe.new_id())
        await wire.get("/v1/rollouts")
        await wire.get(f"/no-such-path/{probe.new_id()}")
        await wire.get("/metrics")
    secret = [stranger, probe.access.trainer, probe.access.agent]
    for token in filter(None, secret):
        if found := probe.wire.archive.find(token.encode()):
            raise BrokenError(f"{found} tells a token")
    if found := probe.wire.archive.find(rollout.token.encode(), but_in="POST /v1/start_rollout"):
        raise BrokenError(f"{found} tells a rollout's token")
    return f"none of {len(probe.wire.archive.bodies)} answers tells a token"


async def _ask_all(wire: Wire, verbs: tuple[str, ...], rollout_id: str = "envport-check-nobody") -> list[Reply]:
    bodies = _bodies(rollout_id)
    return [await wire.post(verb, bodies[verb]) for verb in verbs]


def _bodies(rollout_id: str) -> dict[str, dict[str, Any]]:
    """A body for each verb, about this rollout."""
    named = {"rollout_id": rollout_id}
    scored = {**named, "completion": "An answer."}
    return {
        "start_rollout": {**named, "task_id": "envport-check-no-such-task"},
        "fork_rollout": {**named, "new_rollout_id": f"{rollout_id}-fork"},
        "compute_reward": scored,
        "compute_group_reward": {"group_id": rollout_id, "members": [scored]},
        "end_rollout": named,
        "list_tools": named,
        "run_tool": {**named, "call_id": "c", "tool_name": "t", "arguments": {}},
        "cancel": {**named, "call_id": "c"},
        "batch": {"calls": [{"id": "1", "verb": "list_tools", "body": named}]},
    }


def _needs_tokens(probe: Probe) -> None:
    if not probe.asks_for_tokens:
        raise NotApplicableError("the server asks for no tokens")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
